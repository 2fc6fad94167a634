/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of the connection, and of our own service, at every step of a group: each request gets
 * one answer, each job that was announced one result, and so does the group.
 */
#include <glib.h>
#include <stdbool.h>

#include "event-wait.h"
#include "troupe.h"

static const CommitOptions active = {.active = true};

static void ask_commit(Troupe *t)
{
    troupe_ask_commit(t, &active);
}

static void accept_first(Troupe *t)
{
    if (!t->job[0] || qmp_peer_count(t->peer, "job-complete") == 0)
        troupe_create(t, 0);
    troupe_accept(t, 0);
}

static void accept_second(Troupe *t)
{
    if (qmp_peer_count(t->peer, "job-complete") == 0)
        troupe_create(t, 1);
    troupe_accept(t, 1);
}

static void refuse_second(Troupe *t)
{
    qmp_peer_reply_error(t->peer, t->command[1], "GenericError", "Block node is read-only");
    troupe_expect_one(t, 0, "job-cancel");
}

static void take_back(Troupe *t)
{
    troupe_conclude(t, 0, "Operation canceled", 3);
}

static void first_ready(Troupe *t)
{
    troupe_move(t, 0, "ready");
}

static void second_ready(Troupe *t)
{
    troupe_move(t, 1, "ready");
}

/* The answer to the reading is held back. */
static void ask_pivot(Troupe *t)
{
    qmp_peer_let_wait(t->peer, "query-block");
    troupe_call_pivot(t);
    t->command[0] = qmp_peer_expect(t->peer, "query-block");
}

static void send_complete(Troupe *t)
{
    fake_vm_answer(t->vm, t->command[0]);
    troupe_expect(t, "job-complete");
}

static void refuse_complete(Troupe *t)
{
    qmp_peer_reply_error(t->peer, t->command[1], "GenericError", "cannot be completed");
    troupe_expect_one(t, 1, "block-job-cancel");
}

static void hold_first(Troupe *t)
{
    troupe_move(t, 0, "pending");
}

static void hold_second(Troupe *t)
{
    qmp_peer_let_wait(t->peer, "query-block-exports");
    troupe_move(t, 1, "pending");
    t->command[0] = qmp_peer_expect(t->peer, "query-block-exports");
}

static void send_finalize(Troupe *t)
{
    fake_vm_answer(t->vm, t->command[0]);
    troupe_expect(t, "job-finalize");
}

static void conclude_first(Troupe *t)
{
    troupe_finish(t, 0, NULL, 1);
}

static void dismiss_first(Troupe *t)
{
    troupe_dismiss(t, 0);
}

static void conclude_second(Troupe *t)
{
    troupe_finish(t, 1, NULL, 1);
}

static void dismiss_second(Troupe *t)
{
    troupe_dismiss(t, 1);
}

static void keep_first(Troupe *t)
{
    troupe_keep(t, 0);
}

typedef void (*StepFunc)(Troupe *t);

static const StepFunc all_well[] = {
    ask_commit,     accept_first,  accept_second,   first_ready,    second_ready, ask_pivot,
    send_complete,  accept_first,  accept_second,   hold_first,     hold_second,  send_finalize,
    conclude_first, dismiss_first, conclude_second, dismiss_second, NULL,
};
static const StepFunc not_started[] = {
    ask_commit, accept_first, refuse_second, take_back, NULL,
};
static const StepFunc not_completed[] = {
    ask_commit,    accept_first, accept_second,   first_ready, second_ready, ask_pivot,
    send_complete, accept_first, refuse_complete, hold_first,  keep_first,   NULL,
};

static Troupe *walk(const StepFunc *steps, unsigned n)
{
    Troupe *t = troupe_new(2);

    for (unsigned i = 0; i < n; i++)
        steps[i](t);
    return t;
}

static unsigned length(const StepFunc *steps)
{
    unsigned n = 0;

    while (steps[n])
        n++;
    return n;
}

static void check_end(const Troupe *t, bool answered)
{
    const Domain *d = t->domain;
    const bool started = domain_count(d, "jobs-changed web1 running") > 0;

    g_assert_cmpuint(domain_count(d, "job-finished vda"), ==, started);
    g_assert_cmpuint(domain_count(d, "job-finished vdb"), ==, started);
    g_assert_cmpuint(domain_count(d, "jobs-finished web1 vd"), ==, started);
    g_assert_cmpstr(g_ptr_array_index(d->news, d->news->len - 1), ==, "vm-removed web1");
    g_assert_true(manager_is_idle(d->manager));
    if (t->request && !answered)
        g_assert_cmpint(t->request->kind, !=, REFUSAL_NONE);
}

static void test_end_of_file(gconstpointer data)
{
    const StepFunc *steps = data;

    for (unsigned n = 0; n <= length(steps); n++) {
        g_autoptr(Troupe) t = troupe_new(2);
        bool answered;

        /* The news of the whole way count. */
        for (unsigned i = 0; i < n; i++)
            steps[i](t);
        answered = t->request && t->request->n_answers > 0;
        g_test_message("after %u steps", n);
        qmp_peer_hang_up(t->peer);
        domain_wait(t->domain, "vm-removed");
        event_wait_idle(t->domain->event);
        check_end(t, answered);
    }
}

/* QEMU goes on with the jobs, and a successor of ours finds them again: nothing is announced. */
static void test_service_ends(gconstpointer data)
{
    const StepFunc *steps = data;

    for (unsigned n = 0; n <= length(steps); n++) {
        g_autoptr(Troupe) t = walk(steps, n);
        const guint before = t->domain->news->len;

        g_test_message("after %u steps", n);
        t->domain->manager = manager_free(t->domain->manager);
        g_assert_cmpuint(t->domain->news->len, ==, before);
        if (t->request)
            g_assert_cmpuint(t->request->n_answers, ==, 1);
    }
}

/* What had been announced when the answer came. */
typedef struct Answer {
    Domain *domain;
    RefusalKind kind;
    guint news;
} Answer;

static void on_answer(const Refusal *refusal, void *userdata)
{
    Answer *a = userdata;

    a->kind = refusal->kind;
    a->news = a->domain->news->len;
}

static void test_answer_comes_first(void)
{
    g_autoptr(Troupe) t = walk(all_well, 5);
    Answer a = {.domain = t->domain, .news = G_MAXUINT};

    g_ptr_array_set_size(t->domain->news, 0);
    group_pivot(disk_vm(t->disk[0]), on_answer, &a);
    troupe_expect(t, "job-complete");
    qmp_peer_hang_up(t->peer);
    domain_wait(t->domain, "vm-removed");
    g_assert_cmpint(a.kind, ==, REFUSAL_DISCONNECTED);
    g_assert_cmpuint(a.news, ==, 0);
    domain_check_news(t->domain, "job-finished vdb lost, disk-removed vdb, job-finished vda lost, "
                                 "jobs-changed web1 none, "
                                 "jobs-finished web1 vdb=lost vda=lost, disk-removed vda, "
                                 "vm-removed web1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/group-lost/end-of-file", all_well, test_end_of_file);
    g_test_add_data_func("/group-lost/end-of-file-while-taken-back", not_started, test_end_of_file);
    g_test_add_data_func("/group-lost/end-of-file-while-doomed", not_completed, test_end_of_file);
    g_test_add_data_func("/group-lost/service-ends", all_well, test_service_ends);
    g_test_add_data_func("/group-lost/service-ends-while-taken-back", not_started,
                         test_service_ends);
    g_test_add_data_func("/group-lost/service-ends-while-doomed", not_completed, test_service_ends);
    g_test_add_func("/group-lost/answer-comes-first", test_answer_comes_first);
    return g_test_run();
}
