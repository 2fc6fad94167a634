/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A user's limits as text and back: what a record of them has to be good for.
 */
#include <errno.h>
#include <glib.h>

#include "block-throttle.h"

static const BlockThrottle full = {
    .rate = {0, 1, 2, 3, 0, 0},
    .burst = {0, 10, 0, 30, 0, 0},
    .burst_seconds = {0, 5, 0, 1, 0, 0},
    .iops_size = 4096,
    .group = (char *)"g \" ü",
};

static void check_round_trip(const BlockThrottle *t)
{
    g_autofree char *text = block_throttle_to_text(t);
    BlockThrottle back;

    g_assert_cmpint(block_throttle_from_text(text, &back), ==, 0);
    g_assert_true(block_throttle_equal(t, &back));
    g_assert_cmpstr(t->group, ==, back.group);
    block_throttle_done(&back);
}

static void test_round_trip(void)
{
    check_round_trip(&full);
    check_round_trip(&(BlockThrottle){});
}

static void test_equal(void)
{
    BlockThrottle t = full;

    g_assert_true(block_throttle_equal(&t, &full));
    t.group = NULL;
    g_assert_true(block_throttle_equal(&t, &full));
    t.group = (char *)"other";
    g_assert_false(block_throttle_equal(&t, &full));
    t = full;
    t.rate[BLOCK_LIMIT_IOPS_WR] = 1;
    g_assert_false(block_throttle_equal(&t, &full));
    t = full;
    t.burst[BLOCK_LIMIT_IOPS]++;
    g_assert_false(block_throttle_equal(&t, &full));
    t = full;
    t.burst_seconds[BLOCK_LIMIT_IOPS]++;
    g_assert_false(block_throttle_equal(&t, &full));
    t = full;
    t.iops_size = 0;
    g_assert_false(block_throttle_equal(&t, &full));
}

static void test_not_ours(void)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"bps\":0}",
        "7",
        "{\"bps\":\"0\",\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}",
        "{\"bps\":-1,\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0}",
        "{\"bps\":0,\"bps_rd\":0,\"bps_wr\":0,\"iops\":0,\"iops_rd\":0,\"iops_wr\":0,\"group\":1}",
    };
    BlockThrottle t;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_cmpint(block_throttle_from_text(bad[i], &t), ==, -EBADMSG);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block-throttle/round-trip", test_round_trip);
    g_test_add_func("/block-throttle/equal", test_equal);
    g_test_add_func("/block-throttle/not-ours", test_not_ours);
    return g_test_run();
}
