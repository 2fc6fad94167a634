/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The start of a group: all or none. What has been started when another start fails is taken back,
 * and nobody hears of it.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "event-wait.h"
#include "troupe.h"

#define GENERIC "GenericError"

static const CommitOptions active = {.active = true};

/* What had been announced when the answer came. */
typedef struct Answer {
    Domain *domain;
    guint news;
    unsigned n;
} Answer;

static void on_answer(const Refusal *refusal, void *userdata)
{
    Answer *a = userdata;

    g_assert_cmpint(refusal->kind, ==, REFUSAL_NONE);
    a->news = a->domain->news->len;
    a->n++;
}

static bool is_answered(gpointer data)
{
    return ((const Answer *)data)->n > 0;
}

static void test_answer_comes_first(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    Answer a = {.domain = t->domain};

    group_start(disk_vm(t->disk[0]), &active, NULL, 1000, on_answer, &a);
    troupe_expect(t, "block-commit");
    for (unsigned i = 0; i < t->n; i++) {
        g_assert_cmpuint(a.n, ==, 0);
        troupe_create(t, i);
        troupe_accept(t, i);
    }
    event_wait_until(t->domain->event, "the answer", is_answered, &a);
    event_wait_idle(t->domain->event);
    g_assert_cmpuint(a.n, ==, 1);
    g_assert_cmpuint(a.news, ==, 0);
    domain_check_news(t->domain, "jobs-changed web1 running, job-started vda, job-started vdb");
}

/* The first job is seen to run while the start of the second may yet fail. */
static void test_seen_before_all_are_answered(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_ask_commit(t, &active);
    troupe_create(t, 0);
    troupe_accept(t, 0);
    troupe_move(t, 0, "running");
    domain_check_quiet(t->domain);
    troupe_move(t, 0, "ready");
    domain_check_quiet(t->domain);
    troupe_create(t, 1);
    troupe_accept(t, 1);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    domain_check_news(t->domain, "jobs-changed web1 running, job-started vda, job-started vdb, "
                                 "job-changed vda ready, job-ready vda");
}

/* The job that was started is cancelled, then forgotten; and all is as if nothing had been. */
static void take_back(Troupe *t, unsigned i)
{
    g_assert_cmpuint(t->request->n_answers, ==, 0);
    troupe_accept(t, i);
    troupe_conclude(t, i, "Operation canceled", 3);
}

static void check_next_call(Troupe *t)
{
    domain_check_quiet(t->domain);
    g_assert_null(vm_group(disk_vm(t->disk[0])));
    troupe_start_ready(t);
}

static void test_one_is_refused(gconstpointer which)
{
    g_autoptr(Troupe) t = troupe_new(3);
    const unsigned refused = GPOINTER_TO_UINT(which);

    troupe_ask_commit(t, &active);
    for (unsigned i = 0; i < t->n; i++)
        if (i != refused) {
            troupe_create(t, i);
            troupe_accept(t, i);
        } else {
            qmp_peer_reply_error(t->peer, t->command[i], GENERIC, "Block node is read-only");
        }
    for (unsigned i = 0; i < t->n; i++)
        if (i != refused)
            troupe_expect_one(t, i, "job-cancel");
    for (unsigned i = 0; i < t->n; i++)
        if (i != refused)
            take_back(t, i);
    domain_check_answer(t->domain, t->request, REFUSAL_READ_ONLY);
    g_assert_nonnull(strstr(t->request->text, "web1"));
    check_next_call(t);
}

static void test_all_are_refused(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_ask_commit(t, &active);
    for (unsigned i = 0; i < t->n; i++)
        qmp_peer_reply_error(t->peer, t->command[i], GENERIC, "Block node is read-only");
    domain_check_answer(t->domain, t->request, REFUSAL_READ_ONLY);
    g_assert_cmpuint(qmp_peer_count(t->peer, "job-cancel"), ==, 0);
    check_next_call(t);
}

/* While the others are taken back, the disks are not free yet. */
static void test_meanwhile_others_are_refused(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    Request *first;

    troupe_ask_commit(t, &active);
    first = t->request;
    troupe_create(t, 0);
    troupe_accept(t, 0);
    qmp_peer_reply_error(t->peer, t->command[1], GENERIC, "Block node is read-only");
    troupe_expect_one(t, 0, "job-cancel");
    troupe_call_commit(t, &active);
    domain_check_answer(t->domain, t->request, REFUSAL_JOB_EXISTS);
    troupe_call_pivot(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    troupe_call_abort(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NOT_READY);
    t->request = first;
    take_back(t, 0);
    domain_check_answer(t->domain, t->request, REFUSAL_READ_ONLY);
    check_next_call(t);
}

static void test_taking_back_is_repeated(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_ask_commit(t, &active);
    troupe_create(t, 0);
    troupe_accept(t, 0);
    qmp_peer_reply_error(t->peer, t->command[1], GENERIC, "Block node is read-only");
    troupe_expect_one(t, 0, "job-cancel");
    qmp_peer_reply_error(t->peer, t->command[0], GENERIC, "not now");
    event_wait_idle(t->domain->event);
    troupe_move(t, 0, "running");
    troupe_expect_one(t, 0, "job-cancel");
    take_back(t, 0);
    domain_check_answer(t->domain, t->request, REFUSAL_READ_ONLY);
    check_next_call(t);
}

/* The second command finds the queue full: the first is taken back. */
static void test_queue_is_full(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_crowd(t, 1);
    troupe_call_commit(t, &active);
    troupe_drain(t);
    troupe_expect_one(t, 0, "block-commit");
    troupe_create(t, 0);
    troupe_accept(t, 0);
    /* The other one has never been there. */
    troupe_expect_one(t, 0, "job-cancel");
    qmp_peer_reply_error(t->peer, qmp_peer_expect(t->peer, "job-cancel"), GENERIC, "Job not found");
    take_back(t, 0);
    domain_check_answer(t->domain, t->request, REFUSAL_LIMIT_EXCEEDED);
    check_next_call(t);
}

static void test_nothing_can_be_sent(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    troupe_crowd(t, 0);
    troupe_call_commit(t, &active);
    domain_check_answer(t->domain, t->request, REFUSAL_LIMIT_EXCEEDED);
    troupe_drain(t);
    g_assert_cmpuint(qmp_peer_count(t->peer, "block-commit"), ==, 0);
    check_next_call(t);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-start/answer-comes-first", test_answer_comes_first);
    g_test_add_func("/group-start/seen-before-all-are-answered", test_seen_before_all_are_answered);
    g_test_add_data_func("/group-start/first-is-refused", GUINT_TO_POINTER(0), test_one_is_refused);
    g_test_add_data_func("/group-start/second-is-refused", GUINT_TO_POINTER(1),
                         test_one_is_refused);
    g_test_add_data_func("/group-start/last-is-refused", GUINT_TO_POINTER(2), test_one_is_refused);
    g_test_add_func("/group-start/all-are-refused", test_all_are_refused);
    g_test_add_func("/group-start/meanwhile-others-are-refused", test_meanwhile_others_are_refused);
    g_test_add_func("/group-start/taking-back-is-repeated", test_taking_back_is_repeated);
    g_test_add_func("/group-start/queue-is-full", test_queue_is_full);
    g_test_add_func("/group-start/nothing-can-be-sent", test_nothing_can_be_sent);
    return g_test_run();
}
