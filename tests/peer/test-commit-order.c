/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Events in orders that a real QEMU takes only by chance, ends that nobody here has asked for, and
 * events that mean nothing.
 */
#include <glib.h>
#include <stdbool.h>

#include "commit.h"
#include "event-wait.h"
#include "play.h"

/* Events of a long copy with many neighbours: all at once. */
#define FLOOD 20000
/* Readings that such a flood may cost. The peer sends it in pieces, each may begin one. */
#define FLOOD_READINGS_MAX 200

static void finish(Play *p, const char *news)
{
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "job-dismiss");

    domain_check_news(p->domain, news);
    play_dismiss(p, c);
    domain_check_quiet(p->domain);
    g_assert_null(disk_job(p->disk));
}

static void test_ready_twice(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    fake_vm_move(p->vm, "ready");
    qmp_peer_event(p->peer, "BLOCK_JOB_READY", "{'type': 'commit', 'device': 'x'}");
    domain_check_quiet(p->domain);
}

/* Right after progress was announced, too. */
static void test_new_state_comes_with_progress(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    play_ready(p);
    g_assert_cmpuint(p->domain->offset, ==, 2);
}

/* QEMU drains the job for its own reasons: nobody has paused it. */
static void test_drains_are_silent(void)
{
    static const char *const statuses[] = {"standby", "ready", "standby", "ready"};
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_move(p->vm, "paused");
    domain_check_quiet(p->domain);
    fake_vm_move(p->vm, "running");
    domain_check_quiet(p->domain);
    play_ready(p);
    for (size_t i = 0; i < G_N_ELEMENTS(statuses); i++) {
        fake_vm_move(p->vm, statuses[i]);
        domain_check_quiet(p->domain);
    }
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
}

static void test_ready_before_reply(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c = play_ask_commit(p, true);

    fake_vm_add_job(p->vm, c, "created");
    fake_vm_move(p->vm, "running");
    fake_vm_move(p->vm, "ready");
    domain_check_quiet(p->domain);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    domain_wait(p->domain, "job-ready");
    domain_check_news(p->domain, "job-started vda, job-changed vda ready, job-ready vda");
}

static void test_concluded_before_reply(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c = play_ask_commit(p, true);

    fake_vm_add_job(p->vm, c, "created");
    fake_vm_set_error(p->vm, "Input/output error");
    fake_vm_move(p->vm, "concluded");
    domain_check_quiet(p->domain);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    finish(p, "job-started vda, job-finished vda failed");
}

/* Another monitor was quick: ready, completed and finalized before we looked once. */
static void test_ready_and_concluded_unseen(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    qmp_peer_event(p->peer, "JOB_STATUS_CHANGE", "{'id': 'x', 'status': 'ready'}");
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    finish(p, "disk-changed vda, job-finished vda completed");
}

static void test_pending_unseen(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    finish(p, "job-changed vda pivoting, disk-changed vda, job-finished vda completed");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
}

/* The status is seen before the reply to what has led to it. */
static void test_pending_before_reply(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *complete, *finalize;

    play_start_ready(p);
    complete = play_ask_pivot(p);
    fake_vm_move(p->vm, "pending");
    finalize = qmp_peer_expect(p->peer, "job-finalize");
    qmp_peer_reply(p->peer, complete, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, finalize, "{}");
    finish(p,
           "job-changed vda running, job-changed vda pivoting, disk-changed vda, job-finished vda "
           "completed");
}

/* Another monitor has completed the job. Its barrier is ours to pass. */
static void test_foreign_complete(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    fake_vm_move(p->vm, "pending");
    c = qmp_peer_expect(p->peer, "job-finalize");
    domain_check_news(p->domain, "job-changed vda running");
    c = play_conclude(p, c, "base");
    domain_check_news(p->domain, "disk-changed vda, job-finished vda completed");
    play_dismiss(p, c);
}

static void test_foreign_finalize(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply_error(p->peer, c, "GenericError",
                         "Job 'j' in state 'concluded' cannot accept command verb 'finalize'");
    finish(p, "job-changed vda pivoting, disk-changed vda, job-finished vda completed");
}

static void test_foreign_cancel(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    finish(p, "job-changed vda running, job-finished vda cancelled");
}

/* The pivot was on its way when somebody cancelled: one result, the true one. */
static void test_foreign_cancel_of_pivot(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply_error(p->peer, c, "GenericError",
                         "Job 'j' in state 'concluded' cannot accept command verb 'complete'");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    finish(p, "job-changed vda running, job-finished vda cancelled");
}

typedef struct Vanishing {
    bool pivot;
    const char *nodes, *news;
} Vanishing;

/* Somebody has dismissed the job before we saw its end. */
static void check_vanishing(const Vanishing *v)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    if (v->pivot) {
        qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
        domain_check_answer(p->domain, p->request, REFUSAL_NONE);
        event_wait_idle(p->domain->event);
    }
    fake_vm_set_disk(p->vm, "vda", v->nodes);
    fake_vm_move(p->vm, NULL);
    domain_wait(p->domain, "job-finished");
    domain_check_news(p->domain, v->news);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-dismiss"), ==, 0);
}

static void test_vanishing(void)
{
    static const Vanishing cases[] = {
        {false, PLAY_CHAIN, "job-changed vda running, job-finished vda cancelled"},
        {false, "base", "job-changed vda running, disk-changed vda, job-finished vda completed"},
        {true, PLAY_CHAIN, "job-changed vda pivoting, job-finished vda cancelled"},
        {true, "base", "job-changed vda pivoting, disk-changed vda, job-finished vda completed"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++)
        check_vanishing(&cases[i]);
}

/* Dismissed by somebody else while the graph is read back: we have seen how it ended. */
static void test_dismissed_while_settling(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *finalize, *reading;

    play_start_ready(p);
    finalize = play_hold(p, play_ask_abort(p));
    qmp_peer_let_wait(p->peer, "query-block-exports");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, finalize, "{}");
    reading = qmp_peer_expect(p->peer, "query-block-exports");
    fake_vm_move(p->vm, NULL);
    event_wait_idle(p->domain->event);
    fake_vm_answer(p->vm, reading);
    domain_wait(p->domain, "job-finished");
    domain_check_news(p->domain, "job-changed vda aborting, job-finished vda kept");
}

/* What QEMU has been asked since the play began. */
static unsigned count_questions(const Play *p)
{
    static const char *const commands[] = {
        "x-debug-query-block-graph",
        "query-named-block-nodes",
        "query-block",
        "query-block-exports",
        "query-jobs",
        "query-block-jobs",
    };
    unsigned n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++)
        n += qmp_peer_count(p->peer, commands[i]);
    return n;
}

/* A guest waits from the answer to job-complete to job-finalize, for each question. */
static void test_few_questions_at_the_barrier(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;
    unsigned before;

    play_start_ready(p);
    c = play_ask_pivot(p);
    before = count_questions(p);
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_move(p->vm, "waiting");
    fake_vm_move(p->vm, "pending");
    qmp_peer_event(p->peer, "BLOCK_JOB_PENDING", NULL);
    c = qmp_peer_expect(p->peer, "job-finalize");
    g_assert_cmpuint(count_questions(p) - before, ==, 2);
    play_dismiss(p, play_conclude(p, c, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* And one reading of everything tells how it ended. */
static void test_few_questions_at_the_end(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;
    unsigned before;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    before = count_questions(p);
    c = play_conclude(p, c, "base");
    qmp_peer_event(p->peer, "BLOCK_JOB_COMPLETED", NULL);
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    play_dismiss(p, c);
    g_assert_cmpuint(count_questions(p) - before, ==, 6);
}

/* Of another job, or of none that can be made out. */
static void test_pending_of_another(void)
{
    static const char *const others[] = {
        "{'id': 'theirs', 'status': 'pending'}",
        "{'status': 'pending'}",
        "{'id': 7, 'status': 'pending'}",
        NULL,
    };
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    for (size_t i = 0; i < G_N_ELEMENTS(others); i++)
        qmp_peer_event(p->peer, "JOB_STATUS_CHANGE", others[i]);
    domain_check_news(p->domain, "job-changed vda pivoting");
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
    g_assert_null(ledger_find_stale(p->domain->ledger, "web1", "/images/top"));

    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
}

/* A reading that began before the end still shows the job when it comes: it is no new one. */
static void test_reading_from_before_the_end(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *question, *flush;

    play_start(p, false);
    fake_vm_move(p->vm, "pending");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-finalize"), "{}");
    qmp_peer_let_wait(p->peer, "blockdev-reopen");
    fake_vm_set_disk(p->vm, "vda", "top base");
    fake_vm_move(p->vm, "concluded");
    flush = qmp_peer_expect(p->peer, "blockdev-reopen");

    qmp_peer_let_wait(p->peer, "query-block-exports");
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    question = qmp_peer_expect(p->peer, "query-block-exports");
    qmp_peer_reply_error(p->peer, flush, "GenericError", "Cannot change the option 'driver'");
    domain_wait(p->domain, "job-finished");
    domain_check_news(p->domain, "disk-changed vda, job-finished vda completed");
    fake_vm_answer(p->vm, question);
    domain_check_quiet(p->domain);
    g_assert_null(disk_job(p->disk));
}

static void test_flood(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(GString) events = g_string_new("");
    unsigned before;

    play_start(p, true);
    for (unsigned i = 0; i < FLOOD; i++)
        g_string_append_printf(events,
                               "{\"event\": \"JOB_STATUS_CHANGE\", \"timestamp\": {\"seconds\": 1, "
                               "\"microseconds\": 2}, \"data\": {\"id\": \"j\", \"status\": "
                               "\"%s\"}}\r\n",
                               i % 2 ? "running" : "paused");
    before = qmp_peer_count(p->peer, "query-jobs");
    qmp_peer_send(p->peer, events->str, events->len);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "query-jobs") - before, <=, FLOOD_READINGS_MAX);

    /* And it is still listened to. */
    play_ready(p);
}

/* And the end that is told over and over is read once. */
static void test_flood_of_ends(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(GString) events = g_string_new("");
    unsigned before;

    play_start_ready(p);
    for (unsigned i = 0; i < FLOOD; i++)
        g_string_append_printf(events,
                               "{\"event\": \"JOB_STATUS_CHANGE\", \"timestamp\": {\"seconds\": 1, "
                               "\"microseconds\": 2}, \"data\": {\"id\": \"%s\", \"status\": "
                               "\"concluded\"}}\r\n",
                               fake_vm_job_id(p->vm));
    before = qmp_peer_count(p->peer, "query-jobs");
    qmp_peer_send(p->peer, events->str, events->len);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "query-jobs") - before, <=, FLOOD_READINGS_MAX);
    play_dismiss(p, play_conclude(p, play_hold(p, play_ask_pivot(p)), "base"));
}

/* Somebody else's job is shown for as long as it runs, and left alone. */
static void test_foreign_job(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_job(p->vm, "theirs", "running", true);
    fake_vm_set_job_node(p->vm, "top");
    qmp_peer_event(p->peer, "JOB_STATUS_CHANGE", "{'id': 'theirs', 'status': 'running'}");
    domain_wait(p->domain, "job-started");
    domain_check_answer(p->domain, domain_commit(p->domain, p->disk, true), REFUSAL_JOB_EXISTS);
    fake_vm_move(p->vm, "ready");
    domain_wait(p->domain, "job-changed");
    domain_check_answer(p->domain, domain_pivot(p->domain, p->disk), REFUSAL_NOT_SUPPORTED);
    domain_check_answer(p->domain, domain_abort(p->domain, p->disk), REFUSAL_NOT_SUPPORTED);
    fake_vm_move(p->vm, "concluded");
    domain_wait(p->domain, "job-hidden");
    domain_check_news(p->domain, "job-started vda, job-changed vda ready, job-hidden vda");

    /* Its starter has not dismissed it yet, and the graph is read once more. */
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    domain_check_quiet(p->domain);
    fake_vm_move(p->vm, NULL);
    domain_check_quiet(p->domain);
    play_start_ready(p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-order/ready-twice", test_ready_twice);
    g_test_add_func("/commit-order/new-state-comes-with-progress",
                    test_new_state_comes_with_progress);
    g_test_add_func("/commit-order/drains-are-silent", test_drains_are_silent);
    g_test_add_func("/commit-order/ready-before-reply", test_ready_before_reply);
    g_test_add_func("/commit-order/concluded-before-reply", test_concluded_before_reply);
    g_test_add_func("/commit-order/ready-and-concluded-unseen", test_ready_and_concluded_unseen);
    g_test_add_func("/commit-order/pending-unseen", test_pending_unseen);
    g_test_add_func("/commit-order/pending-before-reply", test_pending_before_reply);
    g_test_add_func("/commit-order/foreign-complete", test_foreign_complete);
    g_test_add_func("/commit-order/foreign-finalize", test_foreign_finalize);
    g_test_add_func("/commit-order/foreign-cancel", test_foreign_cancel);
    g_test_add_func("/commit-order/foreign-cancel-of-pivot", test_foreign_cancel_of_pivot);
    g_test_add_func("/commit-order/vanishing", test_vanishing);
    g_test_add_func("/commit-order/dismissed-while-settling", test_dismissed_while_settling);
    g_test_add_func("/commit-order/few-questions-at-the-barrier",
                    test_few_questions_at_the_barrier);
    g_test_add_func("/commit-order/few-questions-at-the-end", test_few_questions_at_the_end);
    g_test_add_func("/commit-order/pending-of-another", test_pending_of_another);
    g_test_add_func("/commit-order/reading-from-before-the-end", test_reading_from_before_the_end);
    g_test_add_func("/commit-order/flood", test_flood);
    g_test_add_func("/commit-order/flood-of-ends", test_flood_of_ends);
    g_test_add_func("/commit-order/foreign-job", test_foreign_job);
    return g_test_run();
}
