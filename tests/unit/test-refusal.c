/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Refusals: their names on the bus, and that setting one never leaks the one before.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "refusal.h"

#define OURS "org.vmdisk1.Error."
#define STANDARD "org.freedesktop.DBus.Error."

static void test_round_trip(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (int i = 0; i < REFUSAL_KIND_MAX_; i++) {
        const char *name = refusal_kind_to_string((RefusalKind)i);

        g_assert_nonnull(name);
        g_assert_true(g_hash_table_add(seen, (char *)name));
        g_assert_cmpint(refusal_kind_from_string(name), ==, i);
    }
}

static void test_names(void)
{
    g_assert_cmpstr(refusal_kind_to_string(REFUSAL_NONE), ==, "");
    for (int i = REFUSAL_NONE + 1; i < REFUSAL_KIND_MAX_; i++) {
        const char *name = refusal_kind_to_string((RefusalKind)i);
        bool ours = g_str_has_prefix(name, OURS), standard = g_str_has_prefix(name, STANDARD);
        const char *word = name + strlen(ours ? OURS : STANDARD);

        g_assert_true(ours || standard);
        g_assert_true(g_ascii_isupper(*word));
        for (; *word; word++)
            g_assert_true(g_ascii_isalpha(*word));
    }
    /* What every bus knows is not named anew. */
    g_assert_cmpstr(refusal_kind_to_string(REFUSAL_INVALID_ARGS), ==, STANDARD "InvalidArgs");
    g_assert_cmpstr(refusal_kind_to_string(REFUSAL_ACCESS_DENIED), ==, STANDARD "AccessDenied");
    g_assert_cmpstr(refusal_kind_to_string(REFUSAL_ACTIVE_LAYER), ==, OURS "ActiveLayer");
}

static void test_unknown_name(void)
{
    static const char *const strangers[] = {
        "ActiveLayer", OURS, OURS "activelayer", OURS "ActiveLayer ", "org.example.Error.QMP",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(strangers); i++)
        g_assert_cmpint(refusal_kind_from_string(strangers[i]), ==, REFUSAL_NONE);
}

static void test_set_replaces(void)
{
    Refusal r = {REFUSAL_NONE, NULL};

    refusal_set(&r, REFUSAL_NO_JOB, "VM '%s': %d", "web1", 1);
    g_assert_cmpint(r.kind, ==, REFUSAL_NO_JOB);
    g_assert_cmpstr(r.text, ==, "VM 'web1': 1");

    /* The text may be made of the one before. */
    refusal_set(&r, REFUSAL_QMP, "%s, 2", r.text);
    g_assert_cmpint(r.kind, ==, REFUSAL_QMP);
    g_assert_cmpstr(r.text, ==, "VM 'web1': 1, 2");

    refusal_done(&r);
    g_assert_cmpint(r.kind, ==, REFUSAL_NONE);
    g_assert_null(r.text);
    refusal_done(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/refusal/round-trip", test_round_trip);
    g_test_add_func("/refusal/names", test_names);
    g_test_add_func("/refusal/unknown-name", test_unknown_name);
    g_test_add_func("/refusal/set-replaces", test_set_replaces);
    return g_test_run();
}
