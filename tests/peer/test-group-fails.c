/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What keeps one disk of a group from its end, on the way to the barrier, at it, or behind it:
 * whatever it is, all are pivoted or none is.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "event-wait.h"
#include "troupe.h"

#define GENERIC "GenericError"

static void test_export_comes_up_before_barrier(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_move(t, 0, "pending");
    fake_vm_set_export(t->vm, "e", "top1");
    troupe_move(t, 1, "pending");
    troupe_keep_all(t);
    troupe_check_all_kept(t);
    g_assert_cmpuint(troupe_count(t, "block-commit"), ==, 2);
}

static void test_barrier_unreadable(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    qmp_peer_refuse(t->peer, "query-block-exports", GENERIC, "out of order");
    troupe_hold_all(t);
    troupe_expect(t, "job-cancel");
    fake_vm_set_export(t->vm, "none", NULL);
    for (unsigned i = 0; i < t->n; i++)
        troupe_conclude(t, i, "Operation canceled", 3);
    troupe_check_all_kept(t);
}

/* A directory in the place of each new file; of one that is there already, where it is to go. */
static void obstruct(const Troupe *t, bool obstruct)
{
    g_autoptr(GDir) dir = g_dir_open(t->domain->directory, 0, NULL);
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    g_ptr_array_add(names, g_strdup("together"));
    while ((name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".ledger"))
            g_ptr_array_add(names, g_strdup(name));
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename(t->domain->directory, names->pdata[i], NULL);
        g_autofree char *new = g_strconcat(path, ".new", NULL);

        if (obstruct)
            g_assert_true(mkdir(new, 0700) == 0 || mkdir(path, 0700) == 0);
        else
            g_assert_true(rmdir(new) == 0 || rmdir(path) == 0);
    }
}

static void test_record_cannot_be_written_before_pivot(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    obstruct(t, true);
    troupe_call_pivot(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    g_assert_nonnull(strstr(t->request->text, "record"));
    g_assert_cmpuint(troupe_count(t, "job-complete"), ==, 0);
    obstruct(t, false);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

static void test_record_cannot_be_written_at_barrier(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    obstruct(t, true);
    troupe_hold_all(t);
    troupe_keep_all(t);
    troupe_check_all_kept(t);
    obstruct(t, false);
    /* Nor does a successor find there what was not believed. */
    troupe_restart(t);
    troupe_check_record(t, false);
}

/* There is no way back: the other is on its base already. */
static void test_finalize_fails(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-finalize");
    troupe_conclude(t, 0, NULL, 1);
    troupe_conclude(t, 1, "Permission conflict on node base1", 3);
    troupe_check_ends(t, "vda=completed vdb=failed");
    g_assert_null(ledger_find_stale(t->domain->ledger, "web1", "/images/top1"));
    g_assert_nonnull(ledger_find_stale(t->domain->ledger, "web1", "/images/top0"));
}

static void test_one_fails_while_running(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start(t, &(CommitOptions){.active = true});
    troupe_move(t, 0, "ready");
    troupe_finish(t, 1, "No space left on device", 3);
    troupe_expect_one(t, 0, "block-job-cancel");
    troupe_dismiss(t, 1);
    troupe_accept(t, 0);
    troupe_move(t, 0, "pending");
    troupe_keep(t, 0);
    troupe_check_ends(t, "vdb=failed vda=kept");
}

static void test_one_fails_on_the_way_to_the_barrier(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_move(t, 0, "pending");
    troupe_finish(t, 1, "Input/output error", 3);
    troupe_expect_one(t, 0, "job-cancel");
    troupe_dismiss(t, 1);
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_check_ends(t, "vdb=failed vda=kept");
    g_assert_cmpuint(troupe_count(t, "job-finalize"), ==, 0);
    troupe_check_record(t, false);
}

/* The first is back on its overlay; the other becomes ready yet, and is kept as well. */
static void test_doomed_waits_for_copy(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start(t, &(CommitOptions){.active = true});
    troupe_conclude(t, 0, "Input/output error", 3);
    g_assert_cmpuint(troupe_count(t, "block-job-cancel"), ==, 0);
    troupe_move(t, 1, "ready");
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=failed vdb=kept");
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 0);
}

static void test_doomed_is_cut_short(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start(t, &(CommitOptions){.active = true});
    troupe_conclude(t, 0, "Input/output error", 3);
    troupe_call_abort(t);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_check_ends(t, "vda=failed vdb=cancelled");
}

/* Nobody can know to what end somebody else has sent it, or an unplug (qmp.md, 2.13). */
static void test_one_is_ended_by_others(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_move(t, 0, "pending");
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    troupe_keep(t, 0);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_all_kept(t);
}

static void test_one_is_pivoted_by_others(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_finish(t, 0, NULL, 1);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_dismiss(t, 0);
    troupe_accept(t, 1);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=completed vdb=kept");
}

/* The device goes; its job goes on, and so does the group. */
static void test_one_is_unplugged(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    fake_vm_set_disk(t->vm, "vda", NULL);
    fake_vm_set_chain(t->vm, "vda", "top0 mid0 base0");
    qmp_peer_event(t->peer, "DEVICE_DELETED", "{'path': '/machine/peripheral/vda'}");
    event_wait_idle(t->domain->event);
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_complete_all(t);
    g_assert_cmpuint(domain_count(t->domain, "jobs-finished web1"), ==, 1);
    g_assert_cmpuint(domain_count(t->domain, "job-finished vdb completed"), ==, 1);
}

/* Device and job are gone at once: nobody can tell how. */
static void test_one_is_lost(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    fake_vm_set_disk(t->vm, "vda", NULL);
    troupe_move(t, 0, NULL);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=lost vdb=kept");
    g_assert_cmpuint(domain_count(t->domain, "disk-removed vda"), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-fails/export-comes-up-before-barrier",
                    test_export_comes_up_before_barrier);
    g_test_add_func("/group-fails/barrier-unreadable", test_barrier_unreadable);
    g_test_add_func("/group-fails/record-cannot-be-written-before-pivot",
                    test_record_cannot_be_written_before_pivot);
    g_test_add_func("/group-fails/record-cannot-be-written-at-barrier",
                    test_record_cannot_be_written_at_barrier);
    g_test_add_func("/group-fails/finalize-fails", test_finalize_fails);
    g_test_add_func("/group-fails/one-fails-while-running", test_one_fails_while_running);
    g_test_add_func("/group-fails/one-fails-on-the-way-to-the-barrier",
                    test_one_fails_on_the_way_to_the_barrier);
    g_test_add_func("/group-fails/doomed-waits-for-copy", test_doomed_waits_for_copy);
    g_test_add_func("/group-fails/doomed-is-cut-short", test_doomed_is_cut_short);
    g_test_add_func("/group-fails/one-is-ended-by-others", test_one_is_ended_by_others);
    g_test_add_func("/group-fails/one-is-pivoted-by-others", test_one_is_pivoted_by_others);
    g_test_add_func("/group-fails/one-is-unplugged", test_one_is_unplugged);
    g_test_add_func("/group-fails/one-is-lost", test_one_is_lost);
    return g_test_run();
}
