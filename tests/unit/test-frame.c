/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Framing: where messages end, whatever the pieces, and what a hostile peer cannot make us take.
 */
#include "frame.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

/* Feeds bytes in pieces of that size, and writes down all messages and, at the end, the error. */
static char *feed_pieces(const char *bytes, size_t n, size_t piece, bool resync)
{
    GString *seen = g_string_new(NULL);
    Frame f;
    int r = 0;

    g_assert_cmpint(frame_init(&f, resync), ==, 0);
    for (size_t at = 0; at < n && r == 0;) {
        size_t used = 0, size = MIN(piece - at % piece, n - at);
        json_object *message = NULL;

        r = frame_feed(&f, bytes + at, size, &used, &message);
        if (r < 0)
            break;
        g_assert_cmpuint(used, >, 0);
        g_assert_cmpuint(used, <=, size);
        at += used;
        if (message)
            g_string_append(seen, json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN));
        json_object_put(message);
    }
    frame_done(&f);

    if (r < 0)
        g_string_append_printf(seen, "!%s", g_strerror(-r));
    return g_string_free(seen, FALSE);
}

static void check_pieces(const char *bytes, size_t n, bool resync, const char *expected)
{
    for (size_t piece = 1; piece <= n; piece++) {
        g_autofree char *seen = feed_pieces(bytes, n, piece, resync);

        g_test_message("pieces of %zu", piece);
        g_assert_cmpstr(seen, ==, expected);
    }
}

static void check(const char *text, const char *expected)
{
    check_pieces(text, strlen(text), false, expected);
}

/* One piece only, for what is too large for all of them. */
static int feed_whole(const char *bytes, size_t n, bool *ret_message)
{
    json_object *message = NULL;
    size_t used;
    Frame f;

    g_assert_cmpint(frame_init(&f, false), ==, 0);
    int r = frame_feed(&f, bytes, n, &used, &message);
    *ret_message = message;
    json_object_put(message);
    frame_done(&f);
    return r;
}

static void check_whole(const GString *text, int expected)
{
    bool message;

    g_assert_cmpint(feed_whole(text->str, text->len, &message), ==, expected);
    g_assert_true(message == (expected == 0));
}

static char *error_text(int error)
{
    return g_strdup_printf("!%s", g_strerror(error));
}

static void test_pieces(void)
{
    check("{\"a\":1}", "{\"a\":1}");
    check("{}{}{\"a\":[true,false,null,-12.5,\"x\"]}{}",
          "{}{}{\"a\":[true,false,null,-12.5,\"x\"]}{}");
    check(" \r\n\t{}\r\n \n{\"b\":{\"c\":[]}}\r\n", "{}{\"b\":{\"c\":[]}}");
    check("{ \"a\" :\n 1 ,\r\n \"b\" : [ ] }\n", "{\"a\":1,\"b\":[]}");
    check("{\"n\":[0,-0,10,0.5,-2.50e+10,1E-3,9223372036854775807]}",
          "{\"n\":[0,0,10,0.5,-2.50e+10,1E-3,9223372036854775807]}");
    check("{\"q\":\"}{\\\"][\\\\\"}{\"r\":1}", "{\"q\":\"}{\\\"][\\\\\"}{\"r\":1}");
    check("{\"e\":\"\\u00e9\\ud83d\\ude00\"}", "{\"e\":\"é😀\"}");
    /* QEMU sends ASCII only; json-c 0.18 refuses anything else in strict mode. */
    check("{\"escaped\":\"\\u00e9\\ud83d\\ude00\"}", "{\"escaped\":\"é😀\"}");
    check("", "");
    check(" \n", "");
    check("{\"a\":[{", "");
}

static void test_no_object(void)
{
    static const char *const texts[] = {"[]",   "[{}]", "1", "\"a\"", "null",
                                        "true", "x",    "}", "\xff"};
    g_autofree char *bad = error_text(EBADMSG);

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *after = g_strdup_printf("{}\n%s", texts[i]);
        g_autofree char *expected = g_strdup_printf("{}%s", bad);

        check(texts[i], bad);
        check(after, expected);
    }
}

static void test_no_json(void)
{
    static const char *const texts[] = {
        "{]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{\"a\" 1}",
        "{\"a\"=1}",
        "{\"a\":1;}",
        "{\"a\":[1}",
        "{\"a\":[1,]}",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":1-2}",
        "{\"a\":1.}",
        "{\"a\":.5}",
        "{\"a\":-}",
        "{\"a\":1e}",
        "{\"a\":1e+}",
        "{\"a\":1.2.3}",
        "{\"a\":1e5e5}",
        "{\"a\":1true}",
        "{\"a\":truefalse}",
        "{\"a\":tru}",
        "{\"a\":TRUE}",
        "{\"a\":nul}",
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":-Infinity}",
        "{'a':1}",
        "{\"a\":'x'}",
        "{\"a\":/*c*/1}",
        "{\"a\":1//c\n}",
        "{\"a\":\"\\x\"}",
        "{\"a\":\"\\u00g0\"}",
        "{\"a\":\x01}",
        "{\x80\"a\":1}",
    };
    g_autofree char *bad = error_text(EBADMSG);

    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_test_message("text %zu", i);
        check(texts[i], bad);
    }
}

/* For json-c, NUL is the end. */
static void test_nul(void)
{
    g_autofree char *bad = error_text(EBADMSG);
    g_autofree char *after = g_strdup_printf("{}%s", bad);

#define CHECK(text, expected) check_pieces(text, sizeof(text) - 1, false, expected)
    CHECK("\0", bad);
    CHECK("{}\0", after);
    CHECK("{}\r\n\0{}", after);
    CHECK("{\0}", bad);
    CHECK("{\"a\0b\":1}", bad);
    CHECK("{\"a\":\"x\0y\"}", bad);
    CHECK("{\"a\":\0}", bad);
    CHECK("{\"a\":1\0}", bad);
    CHECK("{\"a\":12\0 3}", bad);
    CHECK("{\"a\":nu\0ll}", bad);
    CHECK("{\"a\":[]\0}", bad);
    CHECK("{\"a\":\"\\\0\"}", bad);
    CHECK("{\"a\":\"\\u00\0"
          "61\"}",
          bad);
#undef CHECK
}

static void test_resync(void)
{
#define CHECK(text, expected) check_pieces(text, sizeof(text) - 1, true, expected)
    CHECK("rest\": {}}]}\r\n{\"a\":1}\r\n", "{\"a\":1}");
    CHECK("\n{\"a\":1}", "{\"a\":1}");
    CHECK("\r\n{\"a\":1}", "{\"a\":1}");
    CHECK("\0\xff[[[}'\n{\"a\":1}\n{}", "{\"a\":1}{}");
    CHECK("{\"whole\":1}\n{\"a\":1}", "{\"a\":1}");
    CHECK("no newline yet", "");
#undef CHECK
}

static void test_resync_is_bounded(void)
{
    g_autofree char *rest = g_malloc(FRAME_LENGTH_MAX);
    json_object *message;
    size_t used;
    Frame f;

    memset(rest, 'x', FRAME_LENGTH_MAX);
    g_assert_cmpint(frame_init(&f, true), ==, 0);
    g_assert_cmpint(frame_feed(&f, rest, FRAME_LENGTH_MAX, &used, &message), ==, 0);
    g_assert_cmpint(frame_feed(&f, "x", 1, &used, &message), ==, -EMSGSIZE);
    frame_done(&f);
}

/* {"a":"xxx…"} of that many bytes, and CR LF. */
static GString *long_message(size_t length)
{
    GString *text = g_string_new("{\"a\":\"");

    g_string_set_size(text, length - 2);
    memset(text->str + 6, 'x', length - 8);
    return g_string_append(text, "\"}\r\n");
}

static void test_length(void)
{
    g_autoptr(GString) exact = long_message(FRAME_LENGTH_MAX);
    g_autoptr(GString) beyond = long_message(FRAME_LENGTH_MAX + 1);

    check_whole(exact, 0);
    check_whole(beyond, -EMSGSIZE);
}

/* The limit is one message's, not the connection's. */
static void test_length_starts_again(void)
{
    g_autoptr(GString) text = long_message(FRAME_LENGTH_MAX);
    json_object *message;
    size_t used;
    Frame f;

    g_assert_cmpint(frame_init(&f, false), ==, 0);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(frame_feed(&f, text->str, text->len, &used, &message), ==, 0);
        g_assert_nonnull(message);
        json_object_put(message);
    }
    frame_done(&f);
}

static GString *repeat(const char *head, const char *part, size_t times, const char *tail)
{
    GString *text = g_string_new(head);

    for (size_t i = 0; i < times; i++)
        g_string_append(text, part);
    return g_string_append(text, tail);
}

static void check_depth(const char *open, size_t opens, int expected)
{
    g_autoptr(GString) text = repeat("", open, opens, "");

    /* Where the nesting is allowed, the message is just not over. */
    if (expected == 0) {
        bool message;
        g_assert_cmpint(feed_whole(text->str, text->len, &message), ==, 0);
        g_assert_false(message);
        return;
    }
    check_whole(text, expected);
}

static void test_depth(void)
{
    check_depth("{\"a\":", FRAME_DEPTH_MAX - 1, 0);
    check_depth("{\"a\":", FRAME_DEPTH_MAX, 0); /* the value would be one level more */
    check_depth("{\"a\":", FRAME_DEPTH_MAX + 1, -ELOOP);

    g_autoptr(GString) deep = repeat("{\"a\":", "[", FRAME_DEPTH_MAX - 2, "1");
    g_autoptr(GString) too_deep = repeat("{\"a\":", "[", FRAME_DEPTH_MAX - 1, "1");
    for (unsigned i = 0; i < FRAME_DEPTH_MAX - 2; i++)
        g_string_append_c(deep, ']');
    g_string_append_c(deep, '}');
    check_whole(deep, 0);
    check_whole(too_deep, -ELOOP);
}

static void test_16_mib_of_opening(void)
{
    g_autoptr(GString) text = repeat("{\"a\":", "[", FRAME_LENGTH_MAX, "");

    check_whole(text, -ELOOP);
}

static void test_containers(void)
{
    /* The message itself and the array are two of them. */
    g_autoptr(GString) exact = repeat("{\"a\":[{}", ",[]", FRAME_CONTAINERS_MAX - 3, "]}");
    g_autoptr(GString) beyond = repeat("{\"a\":[{}", ",[]", FRAME_CONTAINERS_MAX - 2, "]}");

    check_whole(exact, 0);
    check_whole(beyond, -EMSGSIZE);
}

static void test_values(void)
{
    g_autoptr(GString) exact = repeat("{\"a\":[1", ",1", FRAME_VALUES_MAX - 2, "]}");
    g_autoptr(GString) beyond = repeat("{\"a\":[1", ",1", FRAME_VALUES_MAX - 1, "]}");
    g_autoptr(GString) text = repeat("{\"a\":\"", ",[{", FRAME_VALUES_MAX, "\"}");

    check_whole(exact, 0);
    check_whole(beyond, -EMSGSIZE);
    check_whole(text, 0); /* in a string they are letters */
}

static void test_number(void)
{
    /* json-c 0.18 refuses integers of more than 64 bits itself. */
    g_autoptr(GString) exact = repeat("{\"a\":0.", "1", FRAME_NUMBER_MAX - 2, "}");
    g_autoptr(GString) beyond = repeat("{\"a\":0.", "1", FRAME_NUMBER_MAX - 1, "}");

    check_whole(exact, 0);
    check_whole(beyond, -EBADMSG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/frame/pieces-of-every-size", test_pieces);
    g_test_add_func("/frame/not-an-object", test_no_object);
    g_test_add_func("/frame/not-json", test_no_json);
    g_test_add_func("/frame/nul-bytes", test_nul);
    g_test_add_func("/frame/resync-drops-the-first-line", test_resync);
    g_test_add_func("/frame/resync-is-bounded", test_resync_is_bounded);
    g_test_add_func("/frame/length-at-and-beyond-the-limit", test_length);
    g_test_add_func("/frame/length-is-one-message's", test_length_starts_again);
    g_test_add_func("/frame/depth-at-and-beyond-the-limit", test_depth);
    g_test_add_func("/frame/opening-for-ever", test_16_mib_of_opening);
    g_test_add_func("/frame/containers-at-and-beyond-the-limit", test_containers);
    g_test_add_func("/frame/values-at-and-beyond-the-limit", test_values);
    g_test_add_func("/frame/number-at-and-beyond-the-limit", test_number);
    return g_test_run();
}
