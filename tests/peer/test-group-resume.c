/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The service ends, at each step of a group, and its successor goes on with what it finds in QEMU
 * and on record: all are pivoted or none is, and each end is told.
 */
#include <glib.h>
#include <stdbool.h>

#include "event-wait.h"
#include "troupe.h"

static JobState state(const Troupe *t)
{
    return group_state(disk_vm(t->disk[t->n - 1]));
}

static void complete(Troupe *t)
{
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
    troupe_check_record(t, true);
}

static void keep(Troupe *t)
{
    troupe_keep_all(t);
    troupe_check_all_kept(t);
}

static void test_running(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start(t, &(CommitOptions){.active = true});
    troupe_move(t, 0, "ready");
    troupe_restart(t);
    g_assert_cmpint(state(t), ==, JOB_STATE_RUNNING);
    troupe_move(t, 1, "ready");
    g_assert_cmpuint(domain_count(t->domain, "job-ready vda"), ==, 0);
    g_assert_cmpuint(domain_count(t->domain, "job-ready vdb"), ==, 1);
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 1);
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_pivot(t);
    troupe_hold_all(t);
    complete(t);
}

static void test_ready(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_restart(t);
    g_assert_cmpint(state(t), ==, JOB_STATE_READY);
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 0);
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_pivot(t);
    troupe_hold_all(t);
    complete(t);
}

/* QEMU has taken the first command alone, or all, and shows nothing of it yet, or shows it. */
static void test_pivot_sent(gconstpointer pending)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    fake_vm_choose_job(t->vm, t->job[0]);
    if (GPOINTER_TO_UINT(pending))
        fake_vm_set_status(t->vm, "pending");
    troupe_restart(t);
    g_assert_cmpint(state(t), ==, JOB_STATE_PIVOTING);
    if (!GPOINTER_TO_UINT(pending)) {
        troupe_expect_one(t, 0, "job-complete");
        troupe_accept(t, 0);
    }
    troupe_expect_one(t, 1, "job-complete");
    g_assert_cmpuint(troupe_count(t, "job-finalize"), ==, 0);
    troupe_accept(t, 1);
    troupe_hold_all(t);
    complete(t);
}

/* The successor's own command is refused: nobody is pivoted alone. */
static void test_pivot_sent_and_refused(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    fake_vm_choose_job(t->vm, t->job[0]);
    fake_vm_set_status(t->vm, "pending");
    troupe_restart(t);
    troupe_expect_one(t, 1, "job-complete");
    qmp_peer_reply_error(t->peer, t->command[1], "GenericError", "cannot be completed");
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_expect_one(t, 0, "job-cancel");
    troupe_accept(t, 1);
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
}

static void test_pivot_refused_before(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    for (unsigned i = 0; i < t->n; i++)
        qmp_peer_reply_error(t->peer, t->command[i], "GenericError", "cannot be completed");
    domain_check_answer(t->domain, t->request, REFUSAL_QMP);
    troupe_restart(t);
    event_wait_idle(t->domain->event);
    g_assert_cmpint(state(t), ==, JOB_STATE_READY);
    g_assert_cmpuint(troupe_count(t, "job-complete"), ==, 0);
}

static void test_abort_sent(gconstpointer pending)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_abort(t);
    troupe_expect(t, "block-job-cancel");
    fake_vm_choose_job(t->vm, t->job[0]);
    if (GPOINTER_TO_UINT(pending))
        fake_vm_set_status(t->vm, "pending");
    troupe_restart(t);
    g_assert_cmpint(state(t), ==, JOB_STATE_ABORTING);
    if (!GPOINTER_TO_UINT(pending)) {
        troupe_expect_one(t, 0, "block-job-cancel");
        troupe_accept(t, 0);
    }
    troupe_expect_one(t, 1, "block-job-cancel");
    g_assert_cmpuint(troupe_count(t, "job-cancel"), ==, 0);
    troupe_accept(t, 1);
    troupe_hold_all(t);
    keep(t);
}

static void test_all_held(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    for (unsigned i = 0; i < t->n; i++) {
        fake_vm_choose_job(t->vm, t->job[i]);
        fake_vm_set_status(t->vm, "pending");
    }
    troupe_restart(t);
    complete(t);
}

/* They were cancelled at the barrier, and nobody had seen that. */
static void test_abort_concluded(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_abort(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-cancel");
    for (unsigned i = 0; i < t->n; i++) {
        fake_vm_choose_job(t->vm, t->job[i]);
        fake_vm_set_error(t->vm, "Operation canceled");
        fake_vm_set_status(t->vm, "concluded");
    }
    troupe_restart(t);
    troupe_check_ends(t, "vda=kept vdb=kept");
}

static void test_all_held_for_abort(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_abort(t);
    for (unsigned i = 0; i < t->n; i++) {
        fake_vm_choose_job(t->vm, t->job[i]);
        fake_vm_set_status(t->vm, "pending");
    }
    troupe_restart(t);
    keep(t);
}

/* Nothing can keep a disk back any more. */
static void test_on_record(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-finalize");
    fake_vm_set_export(t->vm, "e", "top1");
    troupe_restart(t);
    troupe_check_record(t, true);
    complete(t);
}

static void test_one_is_finalized(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-finalize");
    troupe_conclude(t, 0, NULL, 1);
    troupe_restart(t);
    troupe_complete(t, 1);
    troupe_check_ends(t, "vda=completed vdb=completed");
    troupe_check_record(t, true);
    g_assert_cmpuint(domain_count(t->domain, "job-finished vda"), ==, 0);
}

/* The first is merged and forgotten, the second is merged, and its overlay is closed. */
static void test_all_are_merged(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-finalize");
    troupe_conclude(t, 0, NULL, 1);
    fake_vm_choose_job(t->vm, t->job[1]);
    fake_vm_set_disk(t->vm, "vdb", "base1");
    fake_vm_set_status(t->vm, "concluded");
    troupe_restart(t);
    troupe_dismiss(t, 1);
    troupe_check_ends(t, "vda=completed vdb=completed");
    g_assert_cmpuint(domain_count(t->domain, "jobs-changed web1 aborting"), ==, 0);
    g_assert_cmpuint(domain_count(t->domain, "job-finished vdb"), ==, 1);
}

static void test_doomed(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_finish(t, 0, "Input/output error", 3);
    troupe_dismiss(t, 0);
    fake_vm_choose_job(t->vm, t->job[1]);
    fake_vm_set_status(t->vm, "pending");
    troupe_restart(t);
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=failed vdb=kept");
    troupe_check_record(t, false);
}

/* The last job is found again until all is announced. */
static void test_one_is_kept(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_abort(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-cancel");
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_restart(t);
    troupe_keep(t, 0);
    troupe_check_ends(t, "vdb=kept vda=kept");
}

/* Its device went, or somebody else has ended it: that was no Pivot of ours. */
static void test_ended_by_others(gconstpointer before)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    fake_vm_choose_job(t->vm, t->job[0]);
    if (GPOINTER_TO_UINT(before))
        fake_vm_set_status(t->vm, "pending");
    troupe_restart(t);
    event_wait_idle(t->domain->event);
    if (!GPOINTER_TO_UINT(before))
        troupe_move(t, 0, "pending");
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_expect_one(t, 0, "job-cancel");
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_accept(t, 1);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
    g_assert_cmpuint(troupe_count(t, "job-complete"), ==, 0);
}

static void test_chosen_in_advance(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start(t, &(CommitOptions){.active = true, .on_ready = JOB_ON_READY_PIVOT});
    troupe_move(t, 0, "ready");
    troupe_restart(t);
    troupe_move(t, 1, "ready");
    troupe_expect(t, "job-complete");
    troupe_accept_all(t);
    troupe_hold_all(t);
    complete(t);
}

static void test_below_active(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start(t, &(CommitOptions){.active = false});
    troupe_move(t, 0, "pending");
    troupe_restart(t);
    troupe_move(t, 1, "pending");
    troupe_expect(t, "job-finalize");
    troupe_conclude(t, 0, NULL, 2);
    troupe_conclude(t, 1, NULL, 2);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-resume/running", test_running);
    g_test_add_func("/group-resume/ready", test_ready);
    g_test_add_data_func("/group-resume/pivot-sent", GUINT_TO_POINTER(false), test_pivot_sent);
    g_test_add_data_func("/group-resume/pivot-sent-and-one-held", GUINT_TO_POINTER(true),
                         test_pivot_sent);
    g_test_add_func("/group-resume/pivot-sent-and-refused", test_pivot_sent_and_refused);
    g_test_add_func("/group-resume/pivot-refused-before", test_pivot_refused_before);
    g_test_add_data_func("/group-resume/abort-sent", GUINT_TO_POINTER(false), test_abort_sent);
    g_test_add_data_func("/group-resume/abort-sent-and-one-held", GUINT_TO_POINTER(true),
                         test_abort_sent);
    g_test_add_func("/group-resume/all-held", test_all_held);
    g_test_add_func("/group-resume/all-held-for-abort", test_all_held_for_abort);
    g_test_add_func("/group-resume/abort-concluded", test_abort_concluded);
    g_test_add_func("/group-resume/on-record", test_on_record);
    g_test_add_func("/group-resume/one-is-finalized", test_one_is_finalized);
    g_test_add_func("/group-resume/all-are-merged", test_all_are_merged);
    g_test_add_func("/group-resume/doomed", test_doomed);
    g_test_add_func("/group-resume/one-is-kept", test_one_is_kept);
    g_test_add_data_func("/group-resume/ended-by-others-before", GUINT_TO_POINTER(true),
                         test_ended_by_others);
    g_test_add_data_func("/group-resume/ended-by-others-afterwards", GUINT_TO_POINTER(false),
                         test_ended_by_others);
    g_test_add_func("/group-resume/chosen-in-advance", test_chosen_in_advance);
    g_test_add_func("/group-resume/below-active", test_below_active);
    return g_test_run();
}
