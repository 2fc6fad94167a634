/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast a guest may write, step by step.
 */
#include <glib.h>

#include "slowdown.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static void test_first(void)
{
    g_assert_cmpuint(slowdown_first(8 * MIB), ==, 4 * MIB);
    g_assert_cmpuint(slowdown_first(0), ==, SLOWDOWN_START);
    g_assert_cmpuint(slowdown_first(1), ==, SLOWDOWN_FLOOR);
    g_assert_cmpuint(slowdown_first(UINT64_MAX), ==, UINT64_MAX / 2);
}

typedef struct Step {
    uint64_t limit, before, after, next;
} Step;

static const Step steps[] = {
    /* It shrinks by an eighth or more. */
    {4 * MIB, 80 * MIB, 70 * MIB, 4 * MIB},
    {4 * MIB, 80 * MIB, 0, 4 * MIB},
    {4 * MIB, 1, 0, 4 * MIB},
    /* By less, not at all, or it grows. */
    {4 * MIB, 80 * MIB, 71 * MIB, 2 * MIB},
    {4 * MIB, 80 * MIB, 80 * MIB, 2 * MIB},
    {4 * MIB, 80 * MIB, 90 * MIB, 2 * MIB},
    {4 * MIB, 5, 5, 2 * MIB},
    {4 * MIB, 0, 0, 2 * MIB},
    {4 * MIB, UINT64_MAX, UINT64_MAX, 2 * MIB},
    /* Not below the floor. */
    {SLOWDOWN_FLOOR + 1, MIB, MIB, SLOWDOWN_FLOOR},
    {SLOWDOWN_FLOOR, MIB, MIB, SLOWDOWN_FLOOR},
};

/* A quarter of a second's copying. */
static void test_close(void)
{
    g_assert_true(slowdown_is_close(0, 0));
    g_assert_false(slowdown_is_close(1, 0));
    g_assert_true(slowdown_is_close(MIB, 4 * MIB));
    g_assert_false(slowdown_is_close(MIB + 1, 4 * MIB));
    g_assert_true(slowdown_is_close(0, UINT64_MAX));
}

static void test_next(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++)
        g_assert_cmpuint(slowdown_next(steps[i].limit, steps[i].before, steps[i].after), ==,
                         steps[i].next);
}

/* Whatever the guest does, it gets through and is not slowed down for ever. */
static void test_reaches_the_floor(void)
{
    uint64_t limit = slowdown_first(UINT64_C(1) << 40);
    unsigned n = 0;

    for (; limit > SLOWDOWN_FLOOR && n < 100; n++)
        limit = slowdown_next(limit, MIB, MIB);
    g_assert_cmpuint(limit, ==, SLOWDOWN_FLOOR);
    g_assert_cmpuint(n, <, 30);
}

static void test_operations(void)
{
    g_assert_cmpuint(slowdown_operations(MIB), ==, 16);
    g_assert_cmpuint(slowdown_operations(SLOWDOWN_FLOOR), ==, 1);
    g_assert_cmpuint(slowdown_operations(1), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/slowdown/first", test_first);
    g_test_add_func("/slowdown/next", test_next);
    g_test_add_func("/slowdown/close", test_close);
    g_test_add_func("/slowdown/reaches-the-floor", test_reaches_the_floor);
    g_test_add_func("/slowdown/operations", test_operations);
    return g_test_run();
}
