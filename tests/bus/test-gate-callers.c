/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the gate remembers about callers, and when it forgets.
 */
#include <glib.h>

#include "gate-callers.h"

static void clear(GateCallers *cs)
{
    while (cs->first) {
        cs->first->first = NULL;
        gate_callers_remove(cs, cs->first);
    }
    g_assert_cmpuint(cs->n_callers, ==, 0);
    g_assert_cmpuint(cs->n_verdicts, ==, 0);
    g_assert_null(cs->last);
}

static GateCaller *add(GateCallers *cs, guint number)
{
    g_autofree char *name = g_strdup_printf(":1.%u", number);
    GateCaller *c = gate_callers_add(cs, name);

    g_assert_nonnull(c);
    return c;
}

static GateCaller *find(GateCallers *cs, guint number)
{
    g_autofree char *name = g_strdup_printf(":1.%u", number);

    return gate_callers_find(cs, name);
}

static void test_names(void)
{
    GateCallers cs = {};

    g_assert_null(find(&cs, 1));
    GateCaller *one = add(&cs, 1), *two = add(&cs, 2), *three = add(&cs, 3);
    g_assert_true(find(&cs, 1) == one);
    g_assert_true(find(&cs, 2) == two);
    g_assert_true(find(&cs, 3) == three);
    g_assert_false(one->uid_known);
    g_assert_cmpuint(one->uid, ==, (uid_t)-1);

    gate_callers_remove(&cs, two);
    g_assert_null(find(&cs, 2));
    g_assert_true(find(&cs, 1) == one);
    g_assert_true(find(&cs, 3) == three);
    clear(&cs);
}

static void test_quiet_one_is_forgotten(void)
{
    GateCallers cs = {};

    for (guint i = 0; i < GATE_CALLERS_MAX; i++)
        add(&cs, i);
    g_assert_nonnull(find(&cs, 0)); /* calls again; 1 is quiet for longest now */
    add(&cs, GATE_CALLERS_MAX);
    g_assert_nonnull(find(&cs, 0));
    g_assert_null(find(&cs, 1));
    g_assert_nonnull(find(&cs, 2));
    g_assert_cmpuint(cs.n_callers, ==, GATE_CALLERS_MAX);
    clear(&cs);
}

static void test_busy_one_is_kept(void)
{
    GateCallers cs = {};
    char call; /* only its address counts */

    for (guint i = 0; i < GATE_CALLERS_MAX; i++)
        add(&cs, i)->first = (GateCall *)(void *)&call;
    add(&cs, GATE_CALLERS_MAX);
    for (guint i = 0; i <= GATE_CALLERS_MAX; i++)
        g_assert_nonnull(find(&cs, i));
    clear(&cs);
}

static void test_verdicts(void)
{
    GateCallers cs = {};
    GateCaller *one = add(&cs, 1), *two = add(&cs, 2);

    g_assert_false(gate_caller_remembers(one, "a"));
    g_assert_cmpint(gate_callers_remember(&cs, one, "a"), ==, 0);
    g_assert_cmpint(gate_callers_remember(&cs, one, "a"), ==, 0);
    g_assert_cmpint(gate_callers_remember(&cs, one, "b"), ==, 0);
    g_assert_cmpuint(cs.n_verdicts, ==, 2);
    g_assert_true(gate_caller_remembers(one, "a"));
    g_assert_true(gate_caller_remembers(one, "b"));
    g_assert_false(gate_caller_remembers(one, "c"));
    g_assert_false(gate_caller_remembers(two, "a"));

    gate_callers_remove(&cs, one);
    g_assert_cmpuint(cs.n_verdicts, ==, 0);
    one = add(&cs, 1);
    g_assert_false(gate_caller_remembers(one, "a"));
    clear(&cs);
}

static void test_verdicts_are_limited(void)
{
    GateCallers cs = {};
    GateCaller *one = add(&cs, 1), *two = add(&cs, 2);

    for (guint i = 0; i < GATE_VERDICTS_MAX; i++) {
        g_autofree char *question = g_strdup_printf("%u", i);
        g_assert_cmpint(gate_callers_remember(&cs, i % 2 == 0 ? one : two, question), ==, 0);
    }
    g_assert_cmpuint(cs.n_verdicts, ==, GATE_VERDICTS_MAX);
    g_assert_true(gate_caller_remembers(one, "0"));
    g_assert_true(gate_caller_remembers(two, "1"));

    g_assert_cmpint(gate_callers_remember(&cs, one, "more"), ==, 0);
    g_assert_cmpuint(cs.n_verdicts, ==, 1);
    g_assert_true(gate_caller_remembers(one, "more"));
    g_assert_false(gate_caller_remembers(one, "0"));
    g_assert_false(gate_caller_remembers(two, "1"));
    clear(&cs);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/gate-callers/are-found-by-name", test_names);
    g_test_add_func("/gate-callers/quiet-one-is-forgotten", test_quiet_one_is_forgotten);
    g_test_add_func("/gate-callers/busy-one-is-kept", test_busy_one_is_kept);
    g_test_add_func("/gate-callers/verdicts-end-with-the-caller", test_verdicts);
    g_test_add_func("/gate-callers/verdicts-are-limited", test_verdicts_are_limited);
    return g_test_run();
}
