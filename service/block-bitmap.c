/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The requests of block that are about dirty bitmaps.
 */
#include "block.h"

#include <errno.h>

#include "json.h"

static json_object *name_bitmap(const char *node, const char *name)
{
    json_object *o = json_object_new_object();
    if (!o)
        return NULL;

    json_object_object_add(o, "node", json_object_new_string(node));
    json_object_object_add(o, "name", json_object_new_string(name));
    return o;
}

int block_add_bitmap(Qmp *q, const char *node, const char *name, QmpReplyFunc callback,
                     void *userdata)
{
    json_object *args = name_bitmap(node, name);

    return args ? qmp_call(q, "block-dirty-bitmap-add", args, QMP_COMMAND_USEC, callback, userdata)
                : -ENOMEM;
}

int block_remove_bitmap(Qmp *q, const char *node, const char *name, QmpReplyFunc callback,
                        void *userdata)
{
    json_object *args = name_bitmap(node, name);

    return args ? qmp_call(q, "block-dirty-bitmap-remove", args, QMP_COMMAND_USEC, callback,
                           userdata)
                : -ENOMEM;
}

static void add_action(json_object *actions, const char *type, json_object *data)
{
    json_object *action = json_object_new_object();

    json_object_object_add(action, "type", json_object_new_string(type));
    json_object_object_add(action, "data", data);
    json_object_array_add(actions, action);
}

/* It records before it gets the marks of the others, so that nothing falls in between. */
static int add_item(json_object *actions, const char *base, const BitmapItem *item)
{
    json_object *data = name_bitmap(base, item->name), *merge = json_object_new_object(),
                *bitmaps = json_object_new_array();

    if (!data || !merge || !bitmaps) {
        json_object_put(data);
        json_object_put(merge);
        json_object_put(bitmaps);
        return -ENOMEM;
    }
    if (item->missing) {
        json_object_object_add(data, "persistent", json_object_new_boolean(item->persistent));
        json_object_object_add(data, "granularity",
                               json_object_new_int64((int64_t)item->granularity));
        json_object_object_add(data, "disabled", json_object_new_boolean(!item->recording));
        add_action(actions, "block-dirty-bitmap-add", data);
    } else if (item->recording) {
        add_action(actions, "block-dirty-bitmap-enable", data);
    } else {
        json_object_put(data);
    }

    for (size_t i = 0; i < item->n_sources; i++)
        json_object_array_add(bitmaps, name_bitmap(item->sources[i], item->name));
    if (item->recorder)
        json_object_array_add(bitmaps, name_bitmap(base, BITMAP_RECORDER));
    json_object_object_add(merge, "node", json_object_new_string(base));
    json_object_object_add(merge, "target", json_object_new_string(item->name));
    json_object_object_add(merge, "bitmaps", bitmaps);
    add_action(actions, "block-dirty-bitmap-merge", merge);
    return 0;
}

int block_carry_bitmaps(Qmp *q, const char *base, const BitmapPlan *plan, QmpReplyFunc callback,
                        void *userdata)
{
    _cleanup_(json_object_putp) json_object *args = json_object_new_object();
    json_object *actions = json_object_new_array();

    if (!args || !actions) {
        json_object_put(actions);
        return -ENOMEM;
    }
    json_object_object_add(args, "actions", actions);
    for (size_t i = 0; i < plan->n; i++) {
        int r =
            plan->items[i].fate == BITMAP_CARRIED ? add_item(actions, base, &plan->items[i]) : 0;
        if (r < 0)
            return r;
    }
    return qmp_call(q, "transaction", TAKE_PTR(args), QMP_COMMAND_USEC, callback, userdata);
}
