/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QEMU that does not answer in time: the caller is told, nothing is taken for done or for undone,
 * and what QEMU does later is seen.
 */
#include <glib.h>
#include <stdbool.h>

#include "commit.h"
#include "event-wait.h"
#include "lapse.h"
#include "play.h"

/* QEMU has had the command, and time to answer: the caller is told. */
static void let_time_out(Play *p)
{
    lapse_end();
    domain_check_answer(p->domain, p->request, REFUSAL_TIMED_OUT);
    g_assert_cmpstr(vm_state(disk_vm(p->disk)), ==, "unresponsive");
}

/* The answer comes after all, and is nobody's any more. */
static void answer_late(Play *p, const QmpPeerCommand *c)
{
    qmp_peer_reply(p->peer, c, "{}");
    event_wait_idle(p->domain->event);
    g_assert_cmpstr(vm_state(disk_vm(p->disk)), ==, "running");
}

static void test_start_takes_place_later(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c, *question;

    lapse_begin();
    c = play_ask_commit(p, true);
    qmp_peer_let_wait(p->peer, "query-jobs");
    let_time_out(p);
    domain_check_news(p->domain, "vm-changed web1 unresponsive");
    question = qmp_peer_expect(p->peer, "query-jobs");
    fake_vm_add_job(p->vm, c, "running");
    fake_vm_answer(p->vm, question);
    domain_wait(p->domain, "job-started");
    answer_late(p, c);
    fake_vm_move(p->vm, "ready");
    domain_wait(p->domain, "job-ready");
    domain_check_news(p->domain, "vm-changed web1 running, job-started vda, "
                                 "job-changed vda ready, job-ready vda");
}

static void test_start_does_not_take_place(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    lapse_begin();
    c = play_ask_commit(p, true);
    let_time_out(p);
    domain_check_news(p->domain, "vm-changed web1 unresponsive");
    domain_check_answer(p->domain, domain_commit(p->domain, p->disk, true), REFUSAL_JOB_EXISTS);
    event_wait_idle(p->domain->event);
    qmp_peer_reply_error(p->peer, c, "GenericError", "too late");
    domain_wait(p->domain, "vm-changed web1 running");
    domain_check_news(p->domain, "vm-changed web1 running");
    g_assert_null(disk_job(p->disk));
    play_start_ready(p);
}

/* Nor is anything left of it: the base keeps no recorder. */
static void test_start_leaves_no_recorder(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_bitmaps(p->vm, "mid",
                        "[{'name': 'n', 'persistent': true, 'recording': true, 'busy': false, "
                        "'inconsistent': false, 'granularity': 65536, 'count': 131072}]");
    lapse_begin();
    p->request = domain_commit(p->domain, p->disk, true);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "block-dirty-bitmap-add"), "{}");
    c = qmp_peer_expect(p->peer, "block-commit");
    let_time_out(p);
    qmp_peer_reply_error(p->peer, c, "GenericError", "too late");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "block-dirty-bitmap-remove"), "{}");
}

static void test_nothing_is_started_unseen(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    lapse_begin();
    qmp_peer_let_wait(p->peer, "query-block");
    p->request = domain_commit(p->domain, p->disk, true);
    (void)qmp_peer_expect(p->peer, "query-block");
    let_time_out(p);
    g_assert_null(disk_job(p->disk));
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
}

/* What was sent cannot be taken back: it counts as accepted. */
static void test_pivot(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    lapse_begin();
    c = play_ask_pivot(p);
    let_time_out(p);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_PIVOTING);
    domain_check_answer(p->domain, domain_abort(p->domain, p->disk), REFUSAL_NOT_READY);

    answer_late(p, c);
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 1);
}

static void test_abort(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    lapse_begin();
    c = play_ask_abort(p);
    let_time_out(p);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_ABORTING);
    answer_late(p, c);
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-cancel"), PLAY_CHAIN));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

/* A guest that is faster than the copy, or a request that QEMU refused after its time-out: the end
 * that was asked for does not come. Another Abort gives it up. */
static void test_end_does_not_come(gconstpointer pivot)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    lapse_begin();
    c = pivot ? play_ask_pivot(p) : play_ask_abort(p);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    domain_check_answer(p->domain, domain_abort(p->domain, p->disk), REFUSAL_NOT_READY);
    lapse_end();

    p->request = domain_abort(p->domain, p->disk);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-cancel"), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_ABORTING);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda cancelled"), ==, 1);
}

/* The same of a job that was started again because of an export: it copies all anew. */
static void test_restarted_does_not_come(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    fake_vm_set_export(p->vm, "e0", "top");
    lapse_begin();
    p->request = domain_pivot(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    lapse_end();
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    fake_vm_move(p->vm, NULL);
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "block-commit");
    fake_vm_add_job(p->vm, c, "running");
    qmp_peer_reply(p->peer, c, "{}");

    p->request = domain_abort(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    fake_vm_move(p->vm, "ready");
    event_wait_idle(p->domain->event);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda cancelled"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 0);
}

/* It comes while it is given up: QEMU is at the barrier, with a cancel on its way. The guest stays
 * on the overlay, and so says the record. */
static void test_end_comes_while_given_up(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c, *again;

    play_start_ready(p);
    lapse_begin();
    qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    lapse_end();
    p->request = domain_abort(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    fake_vm_move(p->vm, "pending");
    again = qmp_peer_expect(p->peer, "job-cancel");
    g_assert_null(ledger_find_stale(p->domain->ledger, "web1", "/images/top"));
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    qmp_peer_reply_error(p->peer, again, "GenericError", "the job is aborting");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

/* The reading before a pivot: nothing was sent that could end the job. */
static void test_pivot_before_it_is_sent(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *question;

    play_start_ready(p);
    lapse_begin();
    qmp_peer_let_wait(p->peer, "query-block");
    p->request = domain_pivot(p->domain, p->disk);
    question = qmp_peer_expect(p->peer, "query-block");
    let_time_out(p);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
    fake_vm_answer(p->vm, question);
    play_dismiss(p, play_conclude(p, play_hold(p, play_ask_pivot(p)), "base"));
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 1);
}

static void test_speed(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    lapse_begin();
    p->request = domain_request(p->domain);
    commit_set_speed(disk_job(p->disk), 1, domain_done, p->request);
    c = qmp_peer_expect(p->peer, "block-job-set-speed");
    let_time_out(p);
    g_assert_cmpuint(commit_speed(disk_job(p->disk)), ==, 0);
    answer_late(p, c);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
}

/* Guest I/O stands still: it is asked for again. */
static void test_finalize(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    lapse_begin();
    fake_vm_move(p->vm, "pending");
    (void)qmp_peer_expect(p->peer, "job-finalize");
    lapse_end();
    c = qmp_peer_expect(p->peer, "job-finalize");
    play_dismiss(p, play_conclude(p, c, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 1);
}

/* What a pivot came to is read until it is known. */
static void test_settling(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    fake_vm_set_disk(p->vm, "vda", "base");
    qmp_peer_let_wait(p->peer, "query-block");
    lapse_begin();
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    (void)qmp_peer_expect(p->peer, "query-block");
    lapse_end();
    domain_wait(p->domain, "vm-changed web1 unresponsive");
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 0);
    fake_vm_answer(p->vm, qmp_peer_expect(p->peer, "query-block"));
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* The answer of a caller who asked at the barrier of a lost minute. */
static void test_barrier(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    qmp_peer_let_wait(p->peer, "query-block-exports");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    lapse_begin();
    fake_vm_move(p->vm, "pending");
    (void)qmp_peer_expect(p->peer, "query-block-exports");
    lapse_end();
    /* Whether an export is there cannot be known: the guest stays on the overlay. */
    c = qmp_peer_expect(p->peer, "job-cancel");
    fake_vm_set_export(p->vm, "none", NULL);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda failed"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

/* Whether the bitmaps are in the base cannot be known: the guest stays on the overlay. */
static void test_bitmaps(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c, *transaction;

    fake_vm_set_bitmaps(p->vm, "top",
                        "[{'name': 'n', 'persistent': true, 'recording': true, 'busy': false, "
                        "'granularity': 65536, 'count': 0}]");
    play_start_ready(p);
    c = play_ask_pivot(p);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    lapse_begin();
    fake_vm_move(p->vm, "pending");
    transaction = qmp_peer_expect(p->peer, "transaction");
    lapse_end();
    c = qmp_peer_expect(p->peer, "job-cancel");
    qmp_peer_reply(p->peer, transaction, "{}");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda failed"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

/* QEMU has not said whether the guest is slowed down, and it is not: that is tried again, and taken
 * for nobody's wish. */
static void test_slow_guest(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    const CommitOptions options = {
        .active = true, .deadline_usec = 1, .on_deadline = {JOB_ON_DEADLINE_SLOW_GUEST, true}};
    QmpPeerCommand *c;

    fake_vm_set_throttle(p->vm, "vda", FAKE_NO_LIMITS);
    p->request = domain_request(p->domain);
    disk_commit(p->disk, &options, /* uid= */ 1000, domain_done, p->request);
    c = qmp_peer_expect(p->peer, "block-commit");
    lapse_begin();
    fake_vm_add_job(p->vm, c, "running");
    qmp_peer_reply(p->peer, c, "{}");
    (void)qmp_peer_expect(p->peer, "block_set_io_throttle");
    lapse_end();
    domain_wait(p->domain, "vm-changed web1 unresponsive");
    fake_vm_take_throttle(p->vm, "vda", qmp_peer_expect(p->peer, "block_set_io_throttle"));
    event_wait_idle(p->domain->event);
    g_assert_true(commit_is_slowing(disk_job(p->disk)));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-silence/start-takes-place-later", test_start_takes_place_later);
    g_test_add_func("/commit-silence/start-does-not-take-place", test_start_does_not_take_place);
    g_test_add_func("/commit-silence/start-leaves-no-recorder", test_start_leaves_no_recorder);
    g_test_add_func("/commit-silence/nothing-is-started-unseen", test_nothing_is_started_unseen);
    g_test_add_func("/commit-silence/pivot", test_pivot);
    g_test_add_func("/commit-silence/abort", test_abort);
    g_test_add_data_func("/commit-silence/pivot-does-not-come", "pivot", test_end_does_not_come);
    g_test_add_data_func("/commit-silence/abort-does-not-come", NULL, test_end_does_not_come);
    g_test_add_func("/commit-silence/restarted-does-not-come", test_restarted_does_not_come);
    g_test_add_func("/commit-silence/pivot-comes-while-given-up", test_end_comes_while_given_up);
    g_test_add_func("/commit-silence/pivot-before-it-is-sent", test_pivot_before_it_is_sent);
    g_test_add_func("/commit-silence/speed", test_speed);
    g_test_add_func("/commit-silence/finalize-is-repeated", test_finalize);
    g_test_add_func("/commit-silence/settling-is-repeated", test_settling);
    g_test_add_func("/commit-silence/barrier", test_barrier);
    g_test_add_func("/commit-silence/bitmaps", test_bitmaps);
    g_test_add_func("/commit-silence/slow-guest-is-repeated", test_slow_guest);
    return g_test_run();
}
