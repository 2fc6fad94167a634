/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast a job copies.
 */
#include <glib.h>

#include "pace.h"

#define SECOND UINT64_C(1000000)

static void test_unknown(void)
{
    Pace p = {};

    g_assert_cmpuint(pace_rate(&p), ==, 0);
    pace_add(&p, 5 * SECOND, 1000);
    g_assert_cmpuint(pace_rate(&p), ==, 0);
    pace_add(&p, 5 * SECOND + PACE_GAP_USEC - 1, 2000);
    g_assert_cmpuint(pace_rate(&p), ==, 0);
}

static void test_steady(void)
{
    Pace p = {};

    for (unsigned i = 0; i < 100; i++)
        pace_add(&p, i * SECOND / 2, i * 500);
    g_assert_cmpuint(pace_rate(&p), ==, 1000);
}

/* The last seconds count. */
static void test_stands_still(void)
{
    Pace p = {};
    uint64_t usec = 0, before = UINT64_MAX;

    for (; usec < 10 * SECOND; usec += SECOND / 2)
        pace_add(&p, usec, usec);
    for (unsigned i = 0; i < 2 * PACE_WINDOW_USEC / SECOND; i++, usec += SECOND / 2) {
        pace_add(&p, usec, 10 * SECOND);
        g_assert_cmpuint(pace_rate(&p), <=, before);
        before = pace_rate(&p);
    }
    pace_add(&p, usec, 10 * SECOND);
    pace_add(&p, usec + SECOND / 2, 10 * SECOND);
    g_assert_cmpuint(pace_rate(&p), ==, 0);
}

static void test_begins_anew(void)
{
    Pace p = {};

    pace_add(&p, 0, 1000);
    pace_add(&p, SECOND, 2000);
    g_assert_cmpuint(pace_rate(&p), ==, 1000);
    pace_add(&p, 2 * SECOND, 10);
    g_assert_cmpuint(pace_rate(&p), ==, 0);
    pace_add(&p, 3 * SECOND, 30);
    g_assert_cmpuint(pace_rate(&p), ==, 20);
}

/* Seldom looked at, and by a lot. */
static void test_far_apart(void)
{
    Pace p = {};

    pace_add(&p, 0, 0);
    pace_add(&p, 128 * SECOND, UINT64_C(1) << 62);
    g_assert_cmpuint(pace_rate(&p), ==, UINT64_C(1) << 55);
    pace_add(&p, 228 * SECOND, (UINT64_C(1) << 62) + 100);
    g_assert_cmpuint(pace_rate(&p), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/pace/unknown", test_unknown);
    g_test_add_func("/pace/steady", test_steady);
    g_test_add_func("/pace/stands-still", test_stands_still);
    g_test_add_func("/pace/begins-anew", test_begins_anew);
    g_test_add_func("/pace/far-apart", test_far_apart);
    return g_test_run();
}
