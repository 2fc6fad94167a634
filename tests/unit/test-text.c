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

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/equal", test_equal);
    g_test_add_func("/text/prefix", test_prefix);
    g_test_add_func("/text/suffix", test_suffix);
    g_test_add_func("/text/format", test_format);
    return g_test_run();
}
