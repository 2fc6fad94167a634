/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The typed getters: one table of values, by every getter.
 */
#include "json.h"

#include <errno.h>
#include <glib.h>

/* What json_get_X() answers for the member "k" of an object. */
typedef struct GetCase {
    const char *value; /* JSON; NULL: no such member */
    int object, array, string, uint64, boolean;
} GetCase;

#define BAD (-EBADMSG)

static const GetCase cases[] = {
    /* value, object, array, string, uint64, boolean */
    {NULL, -ENODATA, -ENODATA, -ENODATA, -ENODATA, -ENODATA},
    {"null", BAD, BAD, BAD, BAD, BAD},
    {"{}", 0, BAD, BAD, BAD, BAD},
    {"[]", BAD, 0, BAD, BAD, BAD},
    {"true", BAD, BAD, BAD, BAD, 0},
    {"false", BAD, BAD, BAD, BAD, 0},
    {"0", BAD, BAD, BAD, 0, BAD},
    {"-0", BAD, BAD, BAD, 0, BAD},
    {"9223372036854775807", BAD, BAD, BAD, 0, BAD},
    {"9223372036854775808", BAD, BAD, BAD, BAD, BAD},
    {"18446744073709551615", BAD, BAD, BAD, BAD, BAD},
    {"18446744073709551616", BAD, BAD, BAD, BAD, BAD},
    {"-1", BAD, BAD, BAD, BAD, BAD},
    {"-9223372036854775808", BAD, BAD, BAD, BAD, BAD},
    {"-99999999999999999999", BAD, BAD, BAD, BAD, BAD},
    {"1.0", BAD, BAD, BAD, BAD, BAD},
    {"1e3", BAD, BAD, BAD, BAD, BAD},
    {"1e999", BAD, BAD, BAD, BAD, BAD},
    {"\"\"", BAD, BAD, 0, BAD, BAD},
    {"\"12\"", BAD, BAD, 0, BAD, BAD},
    {"\"true\"", BAD, BAD, 0, BAD, BAD},
    {"\"\\u0001 \\\" \\\\\"", BAD, BAD, 0, BAD, BAD},
    {"\"a\\u0000b\"", BAD, BAD, BAD, BAD, BAD},
    {"\"\\u0000\"", BAD, BAD, BAD, BAD, BAD},
};

static json_object *make_object(const char *value)
{
    g_autofree char *text = value ? g_strdup_printf("{\"k\": %s}", value) : g_strdup("{}");
    json_object *o = json_tokener_parse(text);

    g_assert_nonnull(o);
    return o;
}

static void test_types(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const GetCase *c = &cases[i];
        json_object *o = make_object(c->value), *inner;
        const char *string;
        uint64_t number;
        bool boolean;

        g_test_message("%s", c->value ? c->value : "no member");
        g_assert_cmpint(json_get_object(o, "k", &inner), ==, c->object);
        g_assert_cmpint(json_get_array(o, "k", &inner), ==, c->array);
        g_assert_cmpint(json_get_string(o, "k", &string), ==, c->string);
        g_assert_cmpint(json_get_uint64(o, "k", &number), ==, c->uint64);
        g_assert_cmpint(json_get_bool(o, "k", &boolean), ==, c->boolean);
        json_object_put(o);
    }
}

/* A missing member is the default; a wrong one stays wrong. */
static void test_optional(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const GetCase *c = &cases[i];
        json_object *o = make_object(c->value);
        const char *string = NULL;
        uint64_t number = 1;
        bool boolean = false;

        g_test_message("%s", c->value ? c->value : "no member");
        g_assert_cmpint(json_get_string_or(o, "k", "default", &string), ==,
                        c->value ? c->string : 0);
        g_assert_cmpint(json_get_uint64_or(o, "k", 42, &number), ==, c->value ? c->uint64 : 0);
        g_assert_cmpint(json_get_bool_or(o, "k", true, &boolean), ==, c->value ? c->boolean : 0);
        if (!c->value) {
            g_assert_cmpstr(string, ==, "default");
            g_assert_cmpuint(number, ==, 42);
            g_assert_true(boolean);
        }
        json_object_put(o);
    }
}

static void test_values(void)
{
    json_object *o =
        json_tokener_parse("{\"s\": \"\\u00e9\\ud83d\\ude00\", \"t\": true, \"f\": false,"
                           " \"n\": 9223372036854775807, \"a\": [7], \"o\": {\"x\": 1}}");
    json_object *inner;
    const char *string;
    uint64_t number;
    bool boolean;

    g_assert_cmpint(json_get_string(o, "s", &string), ==, 0);
    g_assert_cmpstr(string, ==, "é😀");
    g_assert_cmpint(json_get_bool(o, "t", &boolean), ==, 0);
    g_assert_true(boolean);
    g_assert_cmpint(json_get_bool_or(o, "f", true, &boolean), ==, 0);
    g_assert_false(boolean);
    g_assert_cmpint(json_get_uint64(o, "n", &number), ==, 0);
    g_assert_cmpuint(number, ==, INT64_MAX);
    g_assert_cmpint(json_get_array(o, "a", &inner), ==, 0);
    g_assert_cmpuint(json_object_array_length(inner), ==, 1);
    g_assert_cmpint(json_get_object(o, "o", &inner), ==, 0);
    g_assert_cmpint(json_get_uint64(inner, "x", &number), ==, 0);
    g_assert_cmpuint(number, ==, 1);
    json_object_put(o);
}

static void test_outputs_stay_on_failure(void)
{
    json_object *o = make_object("null");
    const char *string = "before";
    uint64_t number = 11;
    bool boolean = true;

    g_assert_cmpint(json_get_string_or(o, "k", "default", &string), ==, -EBADMSG);
    g_assert_cmpint(json_get_uint64_or(o, "k", 42, &number), ==, -EBADMSG);
    g_assert_cmpint(json_get_bool_or(o, "k", false, &boolean), ==, -EBADMSG);
    g_assert_cmpstr(string, ==, "before");
    g_assert_cmpuint(number, ==, 11);
    g_assert_true(boolean);
    json_object_put(o);
}

static void test_no_object(void)
{
    json_object *array = json_tokener_parse("[1]"), *inner;
    const char *string;
    uint64_t number;

    g_assert_cmpint(json_get_object(NULL, "k", &inner), ==, -EBADMSG);
    g_assert_cmpint(json_get_string_or(NULL, "k", "", &string), ==, -EBADMSG);
    g_assert_cmpint(json_get_uint64(array, "k", &number), ==, -EBADMSG);
    json_object_put(array);
}

/* json-c takes any bytes in a string; GLib is the judge of what is UTF-8. */
static void test_utf8(void)
{
    static const char *const strings[] = {
        "plain",
        "\x7f",
        "\xc2\x80",
        "\xdf\xbf",
        "\xe0\xa0\x80",
        "\xed\x9f\xbf",
        "\xee\x80\x80",
        "\xef\xbf\xbf",
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xc3",
        "\xc3(",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xe2\x82",
        "\xe2\x28\xa1",
        "\xe2\x82\x28",
        "\xf0\x90\x80\x80",
        "\xf4\x8f\xbf\xbf",
        "\xf0\x8f\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf0\x9f\x98",
        "\xf0\x9f\x98(",
        "\xf5\x80\x80\x80",
        "\xfe",
        "\xff",
        "good\xc3\xa9 bad\xe9",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(strings); i++) {
        json_object *o = json_object_new_object();
        const char *string;
        int expected = g_utf8_validate(strings[i], -1, NULL) ? 0 : -EBADMSG;

        g_test_message("string %zu", i);
        json_object_object_add(o, "k", json_object_new_string(strings[i]));
        g_assert_cmpint(json_get_string(o, "k", &string), ==, expected);
        json_object_put(o);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/json/every-type-by-every-getter", test_types);
    g_test_add_func("/json/missing-member-is-the-default", test_optional);
    g_test_add_func("/json/values", test_values);
    g_test_add_func("/json/outputs-stay-on-failure", test_outputs_stay_on_failure);
    g_test_add_func("/json/not-an-object", test_no_object);
    g_test_add_func("/json/strings-are-utf8", test_utf8);
    return g_test_run();
}
