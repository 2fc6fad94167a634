/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The small questions about strings.
 */
#include <glib.h>
#include <stdlib.h>

#include "text.h"

static void test_equal(void)
{
    g_assert_true(text_equal("a", "a"));
    g_assert_true(text_equal("", ""));
    g_assert_true(text_equal(NULL, NULL));
    g_assert_false(text_equal("a", "b"));
    g_assert_false(text_equal("a", NULL));
    g_assert_false(text_equal(NULL, ""));
}

static void test_prefix(void)
{
    g_assert_true(text_has_prefix("node:top", "node:"));
    g_assert_true(text_has_prefix("node:", "node:"));
    g_assert_true(text_has_prefix("", ""));
    g_assert_false(text_has_prefix("node", "node:"));
    g_assert_false(text_has_prefix("anode:", "node:"));
}

static void test_suffix(void)
{
    g_assert_true(text_has_suffix("web1.service", ".service"));
    g_assert_true(text_has_suffix(".service", ".service"));
    g_assert_true(text_has_suffix("x", ""));
    g_assert_false(text_has_suffix("service", ".service"));
    g_assert_false(text_has_suffix("web1.service.d", ".service"));
}

static void test_format(void)
{
    char *text = text_format("%s:%d", "disk", 7);

    g_assert_cmpstr(text, ==, "disk:7");
    free(text);
}

static void test_same_path(void)
{
    static const char *const same[][2] = {
        {"/a/b", "/a/b"},
        {"/a/../b", "/b"},
        {"/vm/web1/../base/b", "/vm/base/b"},
        {"/a//b", "/a/b"},
        {"/a/./b/../c", "/a/c"},
        {"/../a", "/a"},
        {"/a/b/../../c", "//c"},
        {"b", "b"},
    };
    static const char *const different[][2] = {
        {"/a/b", "/a/c"},
        {"/a/../b", "/a/b"},
        {"a/../b", "b"},
        {"", "/"},
        {"/a/..b", "/b"},
        {"/a/b..", "/a"},
        {"nbd://h//x", "nbd://h/x"},
        {"/a/...", "/a/.."},
        {"/vm/../x/a", "/vm/x/a"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(same); i++)
        g_assert_true(text_same_path(same[i][0], same[i][1]));
    for (unsigned i = 0; i < G_N_ELEMENTS(different); i++)
        if (text_same_path(different[i][0], different[i][1]))
            g_error("%s is taken for %s", different[i][0], different[i][1]);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/equal", test_equal);
    g_test_add_func("/text/prefix", test_prefix);
    g_test_add_func("/text/suffix", test_suffix);
    g_test_add_func("/text/format", test_format);
    g_test_add_func("/text/same-path", test_same_path);
    return g_test_run();
}
