/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of the connection at every step of a commit: end of file, nonsense, a lie, and the end of
 * our own service. Each request gets one answer, each job that was announced one result.
 */
#include <glib.h>
#include <stdbool.h>

#include "commit.h"
#include "event-wait.h"
#include "play.h"

typedef struct Walk {
    Play *play;
    QmpPeerCommand *open; /* what QEMU has not answered yet, NULL for nothing */
    const char *held;     /* the question that it is, NULL where it is none */
} Walk;

typedef void (*StepFunc)(Walk *w);

/* Holds the answer to a question back, from the next time on. */
static void hold(Walk *w, const char *question)
{
    qmp_peer_let_wait(w->play->peer, question);
    w->held = question;
}

/* The question has come; and is answered as it is from then on. */
static void expect_held(Walk *w)
{
    w->open = qmp_peer_expect(w->play->peer, w->held);
}

static void release(Walk *w)
{
    g_assert_nonnull(w->open);
    fake_vm_answer(w->play->vm, w->open);
    w->open = NULL;
    w->held = NULL;
}

static void ask_commit(Walk *w)
{
    Play *p = w->play;

    hold(w, "query-block");
    p->request = domain_commit(p->domain, p->disk, true);
    expect_held(w);
}

static void send_commit(Walk *w)
{
    release(w);
    w->open = qmp_peer_expect(w->play->peer, "block-commit");
}

static void create_job(Walk *w)
{
    fake_vm_add_job(w->play->vm, w->open, "created");
    fake_vm_move(w->play->vm, "running");
    event_wait_idle(w->play->domain->event);
}

static void start(Walk *w)
{
    qmp_peer_reply(w->play->peer, w->open, "{}");
    w->open = NULL;
    domain_wait(w->play->domain, "job-started");
    event_wait_idle(w->play->domain->event);
}

static void become_ready(Walk *w)
{
    fake_vm_move(w->play->vm, "ready");
    domain_wait(w->play->domain, "job-ready");
    event_wait_idle(w->play->domain->event);
}

static void ask_pivot(Walk *w)
{
    Play *p = w->play;

    hold(w, "query-block");
    p->request = domain_pivot(p->domain, p->disk);
    expect_held(w);
}

static void send_complete(Walk *w)
{
    release(w);
    w->open = qmp_peer_expect(w->play->peer, "job-complete");
}

static void accept_complete(Walk *w)
{
    qmp_peer_reply(w->play->peer, w->open, "{}");
    w->open = NULL;
    domain_check_answer(w->play->domain, w->play->request, REFUSAL_NONE);
    event_wait_idle(w->play->domain->event);
}

static void reach_barrier(Walk *w)
{
    hold(w, "query-block-exports");
    fake_vm_move(w->play->vm, "pending");
    expect_held(w);
}

static void send_finalize(Walk *w)
{
    release(w);
    w->open = qmp_peer_expect(w->play->peer, "job-finalize");
}

static void conclude(Walk *w)
{
    fake_vm_set_disk(w->play->vm, "vda", "base");
    hold(w, "query-block");
    fake_vm_move(w->play->vm, "concluded");
    qmp_peer_reply(w->play->peer, w->open, "{}");
    expect_held(w);
}

static void send_dismiss(Walk *w)
{
    release(w);
    w->open = qmp_peer_expect(w->play->peer, "job-dismiss");
}

static void dismiss(Walk *w)
{
    fake_vm_move(w->play->vm, NULL);
    qmp_peer_reply(w->play->peer, w->open, "{}");
    w->open = NULL;
    event_wait_idle(w->play->domain->event);
}

static const struct {
    const char *name;
    StepFunc step;
} steps[] = {
    {"ask-commit", ask_commit},
    {"send-commit", send_commit},
    {"create-job", create_job},
    {"start", start},
    {"ready", become_ready},
    {"ask-pivot", ask_pivot},
    {"send-complete", send_complete},
    {"accept-complete", accept_complete},
    {"barrier", reach_barrier},
    {"send-finalize", send_finalize},
    {"conclude", conclude},
    {"send-dismiss", send_dismiss},
    {"dismiss", dismiss},
};

static void cut_by_hanging_up(Walk *w)
{
    qmp_peer_hang_up(w->play->peer);
}

static void cut_by_nonsense(Walk *w)
{
    static const char nonsense[] = "\001\002{]";

    qmp_peer_send(w->play->peer, nonsense, sizeof(nonsense));
}

/* An answer that no QEMU gives, to the question that is open or to the next one. */
static void cut_by_lie(Walk *w)
{
    QmpPeer *peer = w->play->peer;

    qmp_peer_answer(peer, "x-debug-query-block-graph", "[]");
    qmp_peer_answer(peer, "query-block", "{}");
    qmp_peer_answer(peer, "query-block-exports", "[]");
    if (w->held)
        qmp_peer_reply(peer, w->open, "{}");
    qmp_peer_event(peer, "DEVICE_TRAY_MOVED", NULL);
}

/* The result was announced before, or it is "lost"; what has gone is told from the inside out. */
static void check_end(Domain *d, bool finished)
{
    bool started = domain_count(d, "job-started") > 0;

    g_assert_cmpuint(domain_count(d, "job-finished"), ==, started ? 1 : 0);
    g_assert_cmpuint(domain_count(d, "job-finished vda lost"), ==, started && !finished ? 1 : 0);
    g_assert_cmpuint(d->news->len, >=, 2);
    g_assert_cmpstr(g_ptr_array_index(d->news, d->news->len - 1), ==, "vm-removed web1");
    g_assert_cmpstr(g_ptr_array_index(d->news, d->news->len - 2), ==, "disk-removed vda");
    g_assert_null(manager_find_vm(d->manager, "web1"));
}

static Walk walk_to(size_t n)
{
    Walk w = {.play = play_new(PLAY_CHAIN)};

    for (size_t i = 0; i < n; i++)
        steps[i].step(&w);
    return w;
}

static void check_cut(StepFunc cut, size_t n)
{
    Walk w = walk_to(n);
    g_autoptr(Play) p = w.play;
    bool finished = domain_count(p->domain, "job-finished") > 0;

    g_test_message("after %s", n > 0 ? steps[n - 1].name : "nothing");
    if (p->request && p->request->n_answers > 0)
        p->request = NULL;
    cut(&w);
    domain_wait(p->domain, "vm-removed");
    event_wait_idle(p->domain->event);
    check_end(p->domain, finished);
    /* Where the answer to the very question is the lie, that is what the caller is told. */
    if (p->request && cut != cut_by_lie)
        domain_check_answer(p->domain, p->request, REFUSAL_DISCONNECTED);
    if (p->request)
        g_assert_cmpint(p->request->kind, !=, REFUSAL_NONE);
    g_assert_true(manager_is_idle(p->domain->manager));
}

static void check_all_cuts(StepFunc cut)
{
    for (size_t n = 0; n <= G_N_ELEMENTS(steps); n++)
        check_cut(cut, n);
}

static void test_end_of_file(void)
{
    check_all_cuts(cut_by_hanging_up);
}

static void test_nonsense(void)
{
    check_all_cuts(cut_by_nonsense);
}

static void test_lie(void)
{
    check_all_cuts(cut_by_lie);
}

/* QEMU goes on with the job, and a successor of ours finds it again: nothing is announced. */
static void test_service_ends(void)
{
    for (size_t n = 0; n <= G_N_ELEMENTS(steps); n++) {
        Walk w = walk_to(n);
        g_autoptr(Play) p = w.play;
        guint before = p->domain->news->len;

        p->domain->manager = manager_free(p->domain->manager);
        g_assert_cmpuint(p->domain->news->len, ==, before);
        if (p->request)
            g_assert_cmpuint(p->request->n_answers, ==, 1);
    }
}

/* The loss of the VM is the end of what callers have asked for besides. */
static void test_other_requests(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    Request *speed, *pause;

    play_start_ready(p);
    speed = domain_request(p->domain);
    commit_set_speed(disk_job(p->disk), 1, domain_done, speed);
    (void)qmp_peer_expect(p->peer, "block-job-set-speed");
    pause = domain_request(p->domain);
    commit_pause(disk_job(p->disk), domain_done, pause);
    (void)qmp_peer_expect(p->peer, "job-pause");
    qmp_peer_hang_up(p->peer);
    domain_check_answer(p->domain, speed, REFUSAL_DISCONNECTED);
    domain_check_answer(p->domain, pause, REFUSAL_DISCONNECTED);
    domain_wait(p->domain, "vm-removed");
    domain_check_news(p->domain, "job-finished vda lost, disk-removed vda, vm-removed web1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-lost/end-of-file", test_end_of_file);
    g_test_add_func("/commit-lost/nonsense", test_nonsense);
    g_test_add_func("/commit-lost/lie", test_lie);
    g_test_add_func("/commit-lost/service-ends", test_service_ends);
    g_test_add_func("/commit-lost/other-requests", test_other_requests);
    return g_test_run();
}
