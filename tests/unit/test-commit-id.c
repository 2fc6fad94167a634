/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Ids of jobs: what a restart reads out of them, and that nothing else is taken for one of ours.
 * That ids are made as they are read is in the peer tests.
 */
#include <errno.h>
#include <glib.h>

#include "commit-id.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(CommitId, commit_id_free)

static void test_parse(void)
{
    g_autoptr(CommitId) id = NULL;

    g_assert_cmpint(
        commit_id_parse("vmdisk-commit-active-ro-pivot-stop-drop-1000-1700000000123456-77-99-"
                        "slow_2dguest-disk_2d1_2e2-_23block123-libvirt_5f",
                        &id),
        ==, 0);
    g_assert_true(id->active);
    g_assert_true(id->base_read_only);
    g_assert_cmpint(id->on_ready, ==, JOB_ON_READY_PIVOT);
    g_assert_cmpint(id->on_error, ==, JOB_ON_ERROR_STOP);
    g_assert_true(id->drop_bitmaps);
    g_assert_cmpuint(id->uid, ==, 1000);
    g_assert_cmpuint(id->group, ==, 77);
    g_assert_cmpuint(id->deadline_usec, ==, 99);
    g_assert_cmpint(id->on_deadline, ==, JOB_ON_DEADLINE_SLOW_GUEST);
    g_assert_cmpuint(id->started_usec, ==, 1700000000123456);
    g_assert_cmpstr(id->disk, ==, "disk-1.2");
    g_assert_cmpstr(id->top, ==, "#block123");
    g_assert_cmpstr(id->base, ==, "libvirt_");
}

static void test_other_words(void)
{
    g_autoptr(CommitId) id = NULL;

    g_assert_cmpint(
        commit_id_parse("vmdisk-commit-below-rw-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
                        &id),
        ==, 0);
    g_assert_false(id->active);
    g_assert_false(id->base_read_only);
    g_assert_false(id->drop_bitmaps);
    g_assert_cmpint(id->on_ready, ==, JOB_ON_READY_WAIT);
    g_assert_cmpuint(id->uid, ==, 0);
}

static void test_greatest_numbers(void)
{
    g_autoptr(CommitId) id = NULL;

    g_assert_cmpint(commit_id_parse("vmdisk-commit-active-ro-keep-report-carry-4294967295-"
                                    "18446744073709551615-0-0-keep_2dwaiting-a-b-c",
                                    &id),
                    ==, 0);
    g_assert_cmpuint(id->uid, ==, UINT32_MAX);
    g_assert_cmpuint(id->started_usec, ==, UINT64_MAX);
}

/* Somebody may choose names that look like ours, and QEMU may be hostile. */
static void test_strangers(void)
{
    static const char *const strangers[] = {
        "",
        "commit",
        "vmdisk-",
        "vmdisk-commit-",
        "vmdisk-commit-active",
        "Vmdisk-commit-active-ro-wait-0-1-a-b-c",
        "vmdisk-commit--ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a--c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c-d",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c ",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c.d",
        /* words */
        "vmdisk-commit-passive-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-actives-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-wo-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-r-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-never-report-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-ignore-carry-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting_2dlong_2dlong-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-a-b-c",
        "vmdisk-commit-active-ro-wait-report-0-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-lose-0-1-0-0-keep_2dwaiting-a-b-c",
        /* numbers */
        "vmdisk-commit-active-ro-wait-report-carry--1-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-+1-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry- 1-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-01-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-4294967296-1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0--1-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-18446744073709551616-0-0-keep_2dwaiting-a-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0x1-1-0-0-keep_2dwaiting-a-b-c",
        /* escapes */
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c_",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c_4",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_4-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_4z-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_zz-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_00-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_0x-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_2D-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a_61-b-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b_20-c",
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-a-b-c_c3_a9",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(strangers); i++) {
        CommitId *id = NULL;

        g_test_message("%s", strangers[i]);
        g_assert_cmpint(commit_id_parse(strangers[i], &id), ==, -EINVAL);
        g_assert_null(id);
    }
}

static void test_long(void)
{
    g_autofree char *name = g_strnfill(100000, 'x');
    g_autofree char *text = g_strdup_printf(
        "vmdisk-commit-active-ro-wait-report-carry-0-1-0-0-keep_2dwaiting-%s-b-c", name);
    g_autoptr(CommitId) id = NULL;

    g_assert_cmpint(commit_id_parse(text, &id), ==, 0);
    g_assert_cmpstr(id->disk, ==, name);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-id/parse", test_parse);
    g_test_add_func("/commit-id/other-words", test_other_words);
    g_test_add_func("/commit-id/greatest-numbers", test_greatest_numbers);
    g_test_add_func("/commit-id/strangers", test_strangers);
    g_test_add_func("/commit-id/long", test_long);
    return g_test_run();
}
