/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Typed getters on top of json-c, whose own ones convert and clamp where we want to refuse.
 */
#include "json.h"

#include <errno.h>
#include <string.h>

/* Length of the UTF-8 sequence that begins at s (a string ended by NUL), 0 for an invalid one:
 * Unicode standard, table 3-7. */
static size_t utf8_length(const unsigned char *s)
{
    size_t n;
    unsigned char second_min = 0x80, second_max = 0xbf;

    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;

    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (s[0] == 0xe0)
        second_min = 0xa0; /* overlong */
    else if (s[0] == 0xed)
        second_max = 0x9f; /* surrogates */
    else if (s[0] == 0xf0)
        second_min = 0x90; /* overlong */
    else if (s[0] == 0xf4)
        second_max = 0x8f; /* beyond U+10FFFF */

    if (s[1] < second_min || s[1] > second_max)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    }
    return n;
}

static bool is_utf8(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s) {
        size_t n = utf8_length(s);
        if (n == 0)
            return false;
        s += n;
    }
    return true;
}

static int get(json_object *o, const char *key, json_type type, json_object **ret)
{
    json_object *value;

    if (!json_object_is_type(o, json_type_object))
        return -EBADMSG;
    if (!json_object_object_get_ex(o, key, &value))
        return -ENODATA;
    if (!json_object_is_type(value, type))
        return -EBADMSG;

    *ret = value;
    return 0;
}

int json_get_object(json_object *o, const char *key, json_object **ret)
{
    return get(o, key, json_type_object, ret);
}

int json_get_array(json_object *o, const char *key, json_object **ret)
{
    return get(o, key, json_type_array, ret);
}

int json_get_string(json_object *o, const char *key, const char **ret)
{
    json_object *value;
    int r = get(o, key, json_type_string, &value);
    if (r < 0)
        return r;

    const char *s = json_object_get_string(value);
    if (strlen(s) != (size_t)json_object_get_string_len(value) || !is_utf8(s))
        return -EBADMSG;

    *ret = s;
    return 0;
}

int json_get_string_or(json_object *o, const char *key, const char *fallback, const char **ret)
{
    int r = json_get_string(o, key, ret);
    if (r != -ENODATA)
        return r;

    *ret = fallback;
    return 0;
}

int json_get_uint64(json_object *o, const char *key, uint64_t *ret)
{
    json_object *value;
    int r = get(o, key, json_type_int, &value);
    if (r < 0)
        return r;

    /* json-c clamps what does not fit, each getter at its own end. */
    uint64_t number = json_object_get_uint64(value);
    if (json_object_get_int64(value) < 0 || number > INT64_MAX)
        return -EBADMSG;

    *ret = number;
    return 0;
}

int json_get_uint64_or(json_object *o, const char *key, uint64_t fallback, uint64_t *ret)
{
    int r = json_get_uint64(o, key, ret);
    if (r != -ENODATA)
        return r;

    *ret = fallback;
    return 0;
}

int json_get_bool(json_object *o, const char *key, bool *ret)
{
    json_object *value;
    int r = get(o, key, json_type_boolean, &value);
    if (r < 0)
        return r;

    *ret = json_object_get_boolean(value);
    return 0;
}

int json_get_bool_or(json_object *o, const char *key, bool fallback, bool *ret)
{
    int r = json_get_bool(o, key, ret);
    if (r != -ENODATA)
        return r;

    *ret = fallback;
    return 0;
}
