/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block-throttle.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "json.h"
#include "text.h"

/* The members of a limit. */
static const struct {
    const char *rate, *burst, *seconds;
} members[] = {
    [BLOCK_LIMIT_BPS] = {"bps", "bps_max", "bps_max_length"},
    [BLOCK_LIMIT_BPS_RD] = {"bps_rd", "bps_rd_max", "bps_rd_max_length"},
    [BLOCK_LIMIT_BPS_WR] = {"bps_wr", "bps_wr_max", "bps_wr_max_length"},
    [BLOCK_LIMIT_IOPS] = {"iops", "iops_max", "iops_max_length"},
    [BLOCK_LIMIT_IOPS_RD] = {"iops_rd", "iops_rd_max", "iops_rd_max_length"},
    [BLOCK_LIMIT_IOPS_WR] = {"iops_wr", "iops_wr_max", "iops_wr_max_length"},
};
static_assert(ELEMENTSOF(members) == BLOCK_LIMIT_MAX_, "each limit has its members");

int block_throttle_copy(const BlockThrottle *t, BlockThrottle *ret)
{
    BlockThrottle copy = *t;

    copy.group = t->group ? strdup(t->group) : NULL;
    if (t->group && !copy.group)
        return -ENOMEM;
    *ret = copy;
    return 0;
}

void block_throttle_done(BlockThrottle *t)
{
    free(t->group);
    *t = (BlockThrottle){};
}

bool block_throttle_equal(const BlockThrottle *a, const BlockThrottle *b)
{
    for (size_t i = 0; i < BLOCK_LIMIT_MAX_; i++)
        if (a->rate[i] != b->rate[i] || a->burst[i] != b->burst[i] ||
            a->burst_seconds[i] != b->burst_seconds[i])
            return false;
    return a->iops_size == b->iops_size &&
           (!a->group || !b->group || strcmp(a->group, b->group) == 0);
}

static void put(json_object *o, const char *key, uint64_t value)
{
    json_object_object_add(o, key, json_object_new_int64((int64_t)value));
}

/* Adds what both block_set_io_throttle and our text hold. */
static void to_json(const BlockThrottle *t, json_object *o)
{
    for (size_t i = 0; i < BLOCK_LIMIT_MAX_; i++) {
        put(o, members[i].rate, t->rate[i]);
        if (t->burst[i] > 0) {
            put(o, members[i].burst, t->burst[i]);
            put(o, members[i].seconds, t->burst_seconds[i]);
        }
    }
    if (t->iops_size > 0)
        put(o, "iops_size", t->iops_size);
    if (t->group)
        json_object_object_add(o, "group", json_object_new_string(t->group));
}

static int from_json(json_object *o, BlockThrottle *ret)
{
    BlockThrottle t = {};
    const char *group;

    for (size_t i = 0; i < BLOCK_LIMIT_MAX_; i++)
        if (json_get_uint64(o, members[i].rate, &t.rate[i]) < 0 ||
            json_get_uint64_or(o, members[i].burst, 0, &t.burst[i]) < 0 ||
            json_get_uint64_or(o, members[i].seconds, t.burst[i] > 0, &t.burst_seconds[i]) < 0)
            return -EBADMSG;
    if (json_get_uint64_or(o, "iops_size", 0, &t.iops_size) < 0 ||
        json_get_string_or(o, "group", NULL, &group) < 0)
        return -EBADMSG;

    t.group = group ? strdup(group) : NULL;
    if (group && !t.group)
        return -ENOMEM;
    *ret = t;
    return 0;
}

char *block_throttle_to_text(const BlockThrottle *t)
{
    json_object *o = json_object_new_object();
    if (!o)
        return NULL;

    to_json(t, o);
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    char *copy = text ? strdup(text) : NULL;
    json_object_put(o);
    return copy;
}

int block_throttle_from_text(const char *text, BlockThrottle *ret)
{
    json_object *o = json_tokener_parse(text);
    int r = json_object_is_type(o, json_type_object) ? from_json(o, ret) : -EBADMSG;

    json_object_put(o);
    return r;
}

typedef struct Reading {
    BlockThrottleFunc callback;
    void *userdata;
    char *device;
} Reading;

static json_object *inserted_of(json_object *list, size_t i)
{
    json_object *device = json_object_array_get_idx(list, i), *inserted;

    return json_get_object(device, "inserted", &inserted) < 0 ? NULL : inserted;
}

static json_object *find_device(json_object *list, const char *name)
{
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        const char *qdev;

        if (json_get_string(json_object_array_get_idx(list, i), "qdev", &qdev) >= 0 &&
            strcmp(qdev, name) == 0)
            return inserted_of(list, i);
    }
    return NULL;
}

static bool is_shared(json_object *list, const char *group)
{
    unsigned n = 0;

    for (size_t i = 0; group && i < json_object_array_length(list); i++) {
        json_object *inserted = inserted_of(list, i);
        const char *other;

        n += inserted && json_get_string(inserted, "group", &other) >= 0 &&
             strcmp(other, group) == 0;
    }
    return n > 1;
}

static void on_devices(Qmp *q, const QmpReply *reply, void *userdata)
{
    Reading *r = userdata;
    BlockThrottle throttle = {};
    BlockThrottleReading reading = {.error = reply->error, .text = reply->error_text};

    if (!reply->error && !json_object_is_type(reply->value, json_type_array))
        reading.error = -EBADMSG;
    if (!reading.error) {
        json_object *inserted = find_device(reply->value, r->device);

        reading.error = inserted ? from_json(inserted, &throttle) : 0;
        reading.throttle = inserted && !reading.error ? &throttle : NULL;
        reading.shared = is_shared(reply->value, throttle.group);
    }
    r->callback(&reading, r->userdata);
    block_throttle_done(&throttle);
    free(r->device);
    free(r);
}

int block_read_throttle(Qmp *q, const char *device, BlockThrottleFunc callback, void *userdata)
{
    Reading *r = malloc(sizeof(Reading));
    if (!r)
        return -ENOMEM;

    *r = (Reading){callback, userdata, strdup(device)};
    int k = r->device
                ? qmp_call(q, "query-block", /* args= */ NULL, QMP_COMMAND_USEC, on_devices, r)
                : -ENOMEM;
    if (k < 0) {
        free(r->device);
        free(r);
    }
    return k;
}

int block_set_throttle(Qmp *q, const char *device, const BlockThrottle *t, QmpReplyFunc callback,
                       void *userdata)
{
    json_object *args = json_object_new_object();
    if (!args)
        return -ENOMEM;

    json_object_object_add(args, "id", json_object_new_string(device));
    to_json(t, args);
    return qmp_call(q, "block_set_io_throttle", args, QMP_DRAIN_USEC, callback, userdata);
}
