/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QEMU that does not answer in time, and a disk that does not get to the barrier in time: the
 * other disks of the group do not wait for ever, and none is pivoted alone.
 */
#include <glib.h>
#include <stdbool.h>

#include "event-wait.h"
#include "lapse.h"
#include "troupe.h"

static const CommitOptions active = {.active = true};

/* While the clock is behind, the loop does not become idle: what the troupe does is left to later.
 */
static void accept(Troupe *t, unsigned i)
{
    qmp_peer_reply(t->peer, t->command[i], "{}");
    t->command[i] = NULL;
}

static void create(Troupe *t, unsigned i)
{
    fake_vm_add_job(t->vm, t->command[i], "running");
    accept(t, i);
}

static void let_time_out(Troupe *t)
{
    lapse_end();
    domain_wait(t->domain, "vm-changed web1 unresponsive");
}

static void test_start(gconstpointer takes_place)
{
    g_autoptr(Troupe) t = troupe_new(2);
    QmpPeerCommand *question, *cancel;

    lapse_begin();
    troupe_ask_commit(t, &active);
    create(t, 0);
    qmp_peer_let_wait(t->peer, "query-jobs");
    lapse_end();
    question = qmp_peer_expect(t->peer, "query-jobs");
    troupe_expect_one(t, 0, "job-cancel");
    cancel = qmp_peer_expect(t->peer, "job-cancel");
    if (GPOINTER_TO_UINT(takes_place)) {
        create(t, 1);
        fake_vm_answer(t->vm, question);
        t->command[1] = cancel;
        troupe_conclude(t, 1, "Operation canceled", 3);
    } else {
        qmp_peer_reply_error(t->peer, t->command[1], "GenericError", "too late");
        qmp_peer_reply_error(t->peer, cancel, "GenericError", "Job not found");
        fake_vm_answer(t->vm, question);
    }
    g_assert_cmpuint(t->request->n_answers, ==, 0);
    troupe_conclude(t, 0, "Operation canceled", 3);
    domain_check_answer(t->domain, t->request, REFUSAL_TIMED_OUT);
    event_wait_idle(t->domain->event);
    domain_check_news(t->domain, "vm-changed web1 unresponsive, vm-changed web1 running");
    troupe_start_ready(t);
}

static void test_nothing_is_started_unseen(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    lapse_begin();
    qmp_peer_let_wait(t->peer, "query-block");
    troupe_call_commit(t, &active);
    (void)qmp_peer_expect(t->peer, "query-block");
    lapse_end();
    domain_check_answer(t->domain, t->request, REFUSAL_TIMED_OUT);
    g_assert_cmpuint(qmp_peer_count(t->peer, "block-commit"), ==, 0);
}

static void test_reading_before_pivot(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    QmpPeerCommand *question;

    troupe_start_ready(t);
    lapse_begin();
    qmp_peer_let_wait(t->peer, "query-block");
    troupe_call_pivot(t);
    question = qmp_peer_expect(t->peer, "query-block");
    lapse_end();
    domain_check_answer(t->domain, t->request, REFUSAL_TIMED_OUT);
    g_assert_cmpuint(qmp_peer_count(t->peer, "job-complete"), ==, 0);
    fake_vm_answer(t->vm, question);
    event_wait_idle(t->domain->event);
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_pivot(t);
}

/* What was sent cannot be taken back: it counts as accepted. */
static void ask_pivot_without_second_answer(Troupe *t)
{
    troupe_start_ready(t);
    lapse_begin();
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    accept(t, 0);
    let_time_out(t);
    domain_check_answer(t->domain, t->request, REFUSAL_TIMED_OUT);
    g_assert_cmpint(group_state(disk_vm(t->disk[0])), ==, JOB_STATE_PIVOTING);
}

static void test_pivot_takes_place_later(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    ask_pivot_without_second_answer(t);
    troupe_move(t, 0, "pending");
    g_assert_cmpuint(qmp_peer_count(t->peer, "job-finalize"), ==, 0);
    troupe_accept(t, 1);
    troupe_move(t, 1, "pending");
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
    troupe_check_record(t, true);
}

/* The time that a held guest has is over as soon as it begins. */
static void hold_too_long(Troupe *t, unsigned i)
{
    lapse_begin();
    fake_vm_choose_job(t->vm, t->job[i]);
    fake_vm_move(t->vm, "pending");
    troupe_expect_one(t, i, "job-cancel");
    lapse_end();
    troupe_conclude(t, i, "Operation canceled", 3);
}

static void test_pivot_never_takes_place(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    ask_pivot_without_second_answer(t);
    qmp_peer_reply_error(t->peer, t->command[1], "GenericError", "cannot be completed");
    hold_too_long(t, 0);
    /* The other one is still there: a caller can end it. */
    troupe_call_abort(t);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
}

/* The guest stands still already while QEMU still owes an answer for the other disk: it is not held
 * for as long as that takes. */
static void test_answer_does_not_come(gconstpointer pivot)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    if (pivot)
        troupe_call_pivot(t);
    else
        troupe_call_abort(t);
    troupe_expect(t, pivot ? "job-complete" : "block-job-cancel");
    troupe_accept(t, 0);
    hold_too_long(t, 0);
    g_assert_cmpuint(t->request->n_answers, ==, 0);
    troupe_accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
}

/* The answer is no, when it comes: the other one is not as it was before, for all that. */
static void test_answer_comes_too_late(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    troupe_accept(t, 0);
    hold_too_long(t, 0);
    qmp_peer_reply_error(t->peer, t->command[1], "GenericError", "cannot be completed");
    domain_check_answer(t->domain, t->request, REFUSAL_QMP);
    g_assert_cmpint(group_state(disk_vm(t->disk[1])), ==, JOB_STATE_ABORTING);
    troupe_expect_one(t, 1, "block-job-cancel");
    troupe_accept(t, 1);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
}

static void test_one_is_never_held(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    hold_too_long(t, 0);
    g_assert_cmpint(group_state(disk_vm(t->disk[0])), ==, JOB_STATE_ABORTING);
    /* Too late to be pivoted. */
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
    g_assert_cmpuint(qmp_peer_count(t->peer, "job-finalize"), ==, 0);
}

static void test_abort_is_not_held_for_ever(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_abort(t);
    hold_too_long(t, 1);
    troupe_move(t, 0, "pending");
    troupe_keep(t, 0);
    troupe_check_ends(t, "vdb=kept vda=kept");
}

/* However long the copy has taken: the time counts from the first disk that is held. */
static void test_long_copy(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    lapse_begin();
    troupe_ask_commit(t, &active);
    create(t, 0);
    create(t, 1);
    lapse_end();
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_move(t, 0, "ready");
    troupe_move(t, 1, "ready");
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_pivot(t);
    troupe_move(t, 0, "pending");
    domain_check_quiet(t->domain);
    g_assert_cmpuint(qmp_peer_count(t->peer, "job-cancel"), ==, 0);
    troupe_move(t, 1, "pending");
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

/* What must be known at the barrier, bitmaps and exports, cannot be known. */
static void test_barrier(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    troupe_pivot(t);
    qmp_peer_let_wait(t->peer, "query-block-exports");
    lapse_begin();
    fake_vm_choose_job(t->vm, t->job[0]);
    fake_vm_move(t->vm, "pending");
    (void)qmp_peer_expect(t->peer, "query-block-exports");
    lapse_end();
    troupe_expect_one(t, 0, "job-cancel");
    fake_vm_set_export(t->vm, "none", NULL);
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_move(t, 1, "pending");
    troupe_keep(t, 1);
    troupe_check_ends(t, "vda=kept vdb=kept");
    troupe_check_record(t, false);
}

/* A guest that is faster than the copy of each disk: none comes to the barrier. Another Abort gives
 * the end up that was asked for. */
static void test_end_does_not_come(gconstpointer pivot)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_start_ready(t);
    lapse_begin();
    if (pivot)
        troupe_call_pivot(t);
    else
        troupe_call_abort(t);
    troupe_expect(t, pivot ? "job-complete" : "block-job-cancel");
    accept(t, 0);
    accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_call_abort(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    lapse_end();

    troupe_call_abort(t);
    troupe_expect(t, "job-cancel");
    troupe_accept_all(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_check_ends(t, "vda=cancelled vdb=cancelled");
    troupe_check_record(t, false);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/group-silence/start-takes-place-later", GUINT_TO_POINTER(true),
                         test_start);
    g_test_add_data_func("/group-silence/start-does-not-take-place", GUINT_TO_POINTER(false),
                         test_start);
    g_test_add_func("/group-silence/nothing-is-started-unseen", test_nothing_is_started_unseen);
    g_test_add_func("/group-silence/reading-before-pivot", test_reading_before_pivot);
    g_test_add_func("/group-silence/pivot-takes-place-later", test_pivot_takes_place_later);
    g_test_add_func("/group-silence/pivot-never-takes-place", test_pivot_never_takes_place);
    g_test_add_data_func("/group-silence/answer-to-pivot-does-not-come", "pivot",
                         test_answer_does_not_come);
    g_test_add_data_func("/group-silence/answer-to-abort-does-not-come", NULL,
                         test_answer_does_not_come);
    g_test_add_func("/group-silence/answer-comes-too-late", test_answer_comes_too_late);
    g_test_add_func("/group-silence/one-is-never-held", test_one_is_never_held);
    g_test_add_func("/group-silence/abort-is-not-held-for-ever", test_abort_is_not_held_for_ever);
    g_test_add_func("/group-silence/long-copy", test_long_copy);
    g_test_add_func("/group-silence/barrier", test_barrier);
    g_test_add_data_func("/group-silence/pivot-does-not-come", "pivot", test_end_does_not_come);
    g_test_add_data_func("/group-silence/abort-does-not-come", NULL, test_end_does_not_come);
    return g_test_run();
}
