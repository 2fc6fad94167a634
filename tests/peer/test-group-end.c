/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a group that callers ask for: Pivot and Abort, what QEMU answers to them, and what is
 * asked meanwhile. Whatever happens, all are pivoted or none is.
 */
#include <glib.h>

#include "troupe.h"

#define GENERIC "GenericError"

static void test_pivot(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_move(t, 0, "pending");
    g_assert_cmpuint(troupe_count(t, "job-finalize"), ==, 0);
    troupe_check_record(t, false);
    domain_check_quiet(t->domain);
    troupe_move(t, 1, "pending");
    troupe_check_record(t, true);
    troupe_complete_all(t);
    domain_check_news(t->domain, "disk-changed vda, job-finished vda completed, disk-changed vdb, "
                                 "job-finished vdb completed, jobs-changed web1 none, "
                                 "jobs-finished web1 vda=completed vdb=completed");
}

/* A successor of ours finds the last job until the end of all is announced. */
static void test_announced_before_dismissed(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_expect(t, "job-finalize");
    troupe_conclude(t, 0, NULL, 1);
    g_assert_cmpuint(domain_count(t->domain, "jobs-finished"), ==, 0);
    fake_vm_set_disk(t->vm, "vdb", "base1");
    troupe_move(t, 1, "concluded");
    (void)qmp_peer_expect(t->peer, "job-dismiss");
    g_assert_cmpuint(domain_count(t->domain, "jobs-finished"), ==, 1);
}

/* Kept is one instant of all, too. */
static void test_abort_waits_for_all(void)
{
    g_autoptr(Troupe) t = troupe_new(3);

    troupe_start_ready(t);
    troupe_abort(t);
    troupe_move(t, 2, "pending");
    troupe_move(t, 0, "pending");
    g_assert_cmpuint(troupe_count(t, "job-cancel"), ==, 0);
    troupe_move(t, 1, "pending");
    troupe_keep_all(t);
    troupe_check_all_kept(t);
}

static void test_abort_mixed(void)
{
    g_autoptr(Troupe) t = troupe_new(3);

    troupe_start(t, &(CommitOptions){.active = true});
    troupe_move(t, 0, "ready");
    troupe_move(t, 2, "ready");
    troupe_call_abort(t);
    troupe_expect(t, "block-job-cancel");
    troupe_accept_all(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_move(t, 0, "pending");
    troupe_conclude(t, 1, "Operation canceled", 3);
    /* One is gone; those that are ready are still kept at one instant. */
    g_assert_cmpuint(troupe_count(t, "job-cancel"), ==, 0);
    troupe_move(t, 2, "pending");
    troupe_expect_one(t, 0, "job-cancel");
    troupe_expect_one(t, 2, "job-cancel");
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_conclude(t, 2, "Operation canceled", 3);
    troupe_check_ends(t, "vdb=cancelled vda=kept vdc=kept");
}

/* QEMU refuses to complete the one job, and has accepted the others. */
static void test_complete_is_refused(gconstpointer which)
{
    g_autoptr(Troupe) t = troupe_new(3);
    const unsigned refused = GPOINTER_TO_UINT(which);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    for (unsigned i = 0; i < t->n; i++)
        if (i == refused)
            qmp_peer_reply_error(t->peer, t->command[i], GENERIC, "cannot be completed");
        else
            troupe_accept(t, i);
    domain_check_answer(t->domain, t->request, REFUSAL_QMP);
    troupe_expect_one(t, refused, "block-job-cancel");
    troupe_accept(t, refused);
    for (unsigned i = 0; i < t->n; i++) {
        troupe_move(t, i, "pending");
        troupe_keep(t, i);
    }
    troupe_check_all_kept(t);
}

static void test_complete_is_refused_to_all(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    for (unsigned i = 0; i < t->n; i++)
        qmp_peer_reply_error(t->peer, t->command[i], GENERIC, "cannot be completed");
    domain_check_answer(t->domain, t->request, REFUSAL_QMP);
    domain_check_quiet(t->domain);
    /* It is as it was: both ends are open. */
    g_assert_cmpint(group_state(disk_vm(t->disk[0])), ==, JOB_STATE_READY);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

static void test_complete_finds_queue_full(gconstpointer left)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_crowd(t, GPOINTER_TO_UINT(left));
    troupe_call_pivot(t);
    troupe_drain(t);
    if (GPOINTER_TO_UINT(left) == 0) {
        domain_check_answer(t->domain, t->request, REFUSAL_LIMIT_EXCEEDED);
        domain_check_quiet(t->domain);
        troupe_abort(t);
        troupe_hold_all(t);
    } else {
        troupe_expect_one(t, 0, "job-complete");
        troupe_accept(t, 0);
        domain_check_answer(t->domain, t->request, REFUSAL_LIMIT_EXCEEDED);
        troupe_expect_one(t, 1, "block-job-cancel");
        troupe_accept(t, 1);
        troupe_hold_all(t);
    }
    troupe_keep_all(t);
    troupe_check_all_kept(t);
}

/* The other one is asked again. */
static void test_cancel_is_refused(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_abort(t);
    troupe_expect(t, "block-job-cancel");
    troupe_accept(t, 0);
    qmp_peer_reply_error(t->peer, t->command[1], GENERIC, "not now");
    domain_check_answer(t->domain, t->request, REFUSAL_QMP);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    troupe_hold_all(t);
    troupe_keep_all(t);
    troupe_check_all_kept(t);
}

static void test_cancel_is_refused_to_all(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_abort(t);
    troupe_expect(t, "block-job-cancel");
    for (unsigned i = 0; i < t->n; i++)
        qmp_peer_reply_error(t->peer, t->command[i], GENERIC, "not now");
    domain_check_answer(t->domain, t->request, REFUSAL_QMP);
    domain_check_quiet(t->domain);
    troupe_abort(t);
    troupe_hold_all(t);
    troupe_keep_all(t);
    troupe_check_all_kept(t);
}

/* The one is at the barrier before QEMU has answered for the other: it waits there. */
static void test_held_before_all_are_answered(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    troupe_accept(t, 0);
    troupe_move(t, 0, "pending");
    domain_check_quiet(t->domain);
    troupe_accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_move(t, 1, "pending");
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

static void test_requests_meanwhile(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    Request *first;

    troupe_start_ready(t);
    troupe_call_pivot(t);
    first = t->request;
    troupe_expect(t, "job-complete");
    troupe_call_pivot(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    troupe_call_abort(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    domain_check_answer(t->domain, domain_pivot(t->domain, t->disk[0]), REFUSAL_NOT_SUPPORTED);
    domain_check_answer(t->domain, domain_abort(t->domain, t->disk[1]), REFUSAL_NOT_SUPPORTED);
    troupe_accept_all(t);
    domain_check_answer(t->domain, first, REFUSAL_NONE);
    troupe_call_abort(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    troupe_hold_all(t);
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
    troupe_call_pivot(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NO_JOB);
}

static void test_export_before_pivot(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    fake_vm_set_export(t->vm, "e", "top1");
    troupe_call_pivot(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_SUPPORTED);
    domain_check_quiet(t->domain);
    fake_vm_set_export(t->vm, "e", NULL);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

static void start_below(Troupe *t)
{
    troupe_start(t, &(CommitOptions){.active = false});
}

static void test_below_active(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_below(t);
    troupe_call_pivot(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    troupe_move(t, 0, "pending");
    g_assert_cmpuint(troupe_count(t, "job-finalize"), ==, 0);
    troupe_move(t, 1, "pending");
    troupe_expect(t, "job-finalize");
    troupe_conclude(t, 0, NULL, 2);
    troupe_conclude(t, 1, NULL, 2);
    troupe_check_ends(t, "vda=completed vdb=completed");
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 0);
}

/* What waits for the others can be had back. */
static void test_below_active_aborted_at_barrier(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_below(t);
    troupe_move(t, 0, "pending");
    troupe_call_abort(t);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_keep(t, 0);
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_check_ends(t, "vda=cancelled vdb=cancelled");
    g_assert_cmpuint(domain_count(t->domain, "jobs-changed web1 aborting"), ==, 1);
}

static void test_below_active_one_fails(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_below(t);
    troupe_move(t, 0, "pending");
    troupe_conclude(t, 1, "Input/output error", 3);
    troupe_move(t, 0, "pending");
    troupe_expect_one(t, 0, "job-finalize");
    troupe_conclude(t, 0, NULL, 2);
    troupe_check_ends(t, "vdb=failed vda=completed");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-end/pivot", test_pivot);
    g_test_add_func("/group-end/announced-before-dismissed", test_announced_before_dismissed);
    g_test_add_func("/group-end/abort-waits-for-all", test_abort_waits_for_all);
    g_test_add_func("/group-end/abort-mixed", test_abort_mixed);
    g_test_add_data_func("/group-end/complete-is-refused-to-first", GUINT_TO_POINTER(0),
                         test_complete_is_refused);
    g_test_add_data_func("/group-end/complete-is-refused-to-last", GUINT_TO_POINTER(2),
                         test_complete_is_refused);
    g_test_add_func("/group-end/complete-is-refused-to-all", test_complete_is_refused_to_all);
    g_test_add_data_func("/group-end/one-complete-cannot-be-sent", GUINT_TO_POINTER(1),
                         test_complete_finds_queue_full);
    g_test_add_data_func("/group-end/no-complete-can-be-sent", GUINT_TO_POINTER(0),
                         test_complete_finds_queue_full);
    g_test_add_func("/group-end/cancel-is-refused-to-one", test_cancel_is_refused);
    g_test_add_func("/group-end/cancel-is-refused-to-all", test_cancel_is_refused_to_all);
    g_test_add_func("/group-end/held-before-all-are-answered", test_held_before_all_are_answered);
    g_test_add_func("/group-end/requests-meanwhile", test_requests_meanwhile);
    g_test_add_func("/group-end/export-before-pivot", test_export_before_pivot);
    g_test_add_func("/group-end/below-active", test_below_active);
    g_test_add_func("/group-end/below-active-aborted-at-barrier",
                    test_below_active_aborted_at_barrier);
    g_test_add_func("/group-end/below-active-one-fails", test_below_active_one_fails);
    return g_test_run();
}
