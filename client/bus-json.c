/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-json.h"

#include <string.h>

#include "memory.h"
#include "output.h"

static int read_basic(sd_bus_message *m, char type, json_object **ret)
{
    union {
        const char *text;
        int truth;
        uint32_t small;
        uint64_t number;
    } value;

    if (!strchr("bsoutx", type))
        return sd_bus_message_skip(m, (char[]){type, '\0'});

    int r = sd_bus_message_read_basic(m, type, &value);
    if (r < 0)
        return r;
    switch (type) {
    case 'b':
        *ret = need(json_object_new_boolean(value.truth));
        return 0;
    case 'u':
        *ret = need(json_object_new_uint64(value.small));
        return 0;
    case 't':
        *ret = need(json_object_new_uint64(value.number));
        return 0;
    case 'x':
        *ret = need(json_object_new_int64((int64_t)value.number));
        return 0;
    default:
        *ret = json_text(value.text, /* empty_is_null= */ false);
        return 0;
    }
}

static int read_entry(sd_bus_message *m, const char *contents, json_object *object)
{
    json_object *value = NULL;
    const char *key;

    int r = sd_bus_message_enter_container(m, 'e', contents);
    if (r < 0)
        return r;
    r = sd_bus_message_read_basic(m, 's', &key);
    if (r < 0)
        return r;
    r = bus_json_read(m, &value);
    if (r < 0)
        return r;
    json_put(object, key, value);
    return sd_bus_message_exit_container(m);
}

static int read_elements(sd_bus_message *m, const char *contents, json_object *into)
{
    bool is_dictionary = json_object_is_type(into, json_type_object);
    int r;

    while ((r = sd_bus_message_at_end(m, /* complete= */ false)) == 0) {
        if (is_dictionary) {
            _cleanup_(freep) char *entry = need(strndup(contents + 1, strlen(contents) - 2));

            r = read_entry(m, entry, into);
        } else {
            json_object *element = NULL;

            r = bus_json_read(m, &element);
            if (r >= 0)
                json_append(into, element);
        }
        if (r < 0)
            return r;
    }
    return r;
}

static int read_array(sd_bus_message *m, const char *contents, json_object **ret)
{
    bool is_dictionary = *contents == '{' && contents[1] == 's';

    int r = sd_bus_message_enter_container(m, 'a', contents);
    if (r < 0)
        return r;

    json_object *into = need(is_dictionary ? json_object_new_object() : json_object_new_array());
    r = read_elements(m, contents, into);
    if (r >= 0)
        r = sd_bus_message_exit_container(m);
    if (r < 0) {
        json_object_put(into);
        return r;
    }
    *ret = into;
    return 0;
}

int bus_json_read(sd_bus_message *m, json_object **ret)
{
    const char *contents;
    char type;

    *ret = NULL;
    int r = sd_bus_message_peek_type(m, &type, &contents);
    if (r < 0)
        return r;
    switch (type) {
    case 'v':
        r = sd_bus_message_enter_container(m, 'v', contents);
        if (r >= 0)
            r = bus_json_read(m, ret);
        return r < 0 ? r : sd_bus_message_exit_container(m);
    case 'a':
        return read_array(m, contents, ret);
    case 'r':
    case 'e':
        return sd_bus_message_skip(m, NULL);
    default:
        return read_basic(m, type, ret);
    }
}
