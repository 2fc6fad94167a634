/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits from beginning to end: each of the ends, what is said to QEMU, who may ask for what when.
 */
#include <glib.h>
#include <stdbool.h>

#include "commit.h"
#include "event-wait.h"
#include "play.h"

static json_object *argument(const QmpPeerCommand *c, const char *key)
{
    json_object *value = NULL;

    json_object_object_get_ex(c->args, key, &value);
    return value;
}

static void check_text(const QmpPeerCommand *c, const char *key, const char *expected)
{
    g_assert_cmpstr(json_object_get_string(argument(c, key)), ==, expected);
}

static void check_job(const Play *p, const QmpPeerCommand *c)
{
    check_text(c, "id", fake_vm_job_id(p->vm));
}

static void test_start_active(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c = play_ask_commit(p, true);

    check_text(c, "device", "top");
    check_text(c, "base-node", "base");
    g_assert_null(argument(c, "top-node"));
    g_assert_null(argument(c, "speed"));
    g_assert_false(json_object_get_boolean(argument(c, "auto-finalize")));
    g_assert_false(json_object_get_boolean(argument(c, "auto-dismiss")));
    /* Nothing is told before QEMU has accepted. */
    g_assert_cmpuint(p->request->n_answers, ==, 0);
    domain_check_quiet(p->domain);
    qmp_peer_reply_error(p->peer, c, "GenericError", "no");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
}

/* Whatever the names: QEMU takes few characters in an id. */
static void test_id(void)
{
    static const char *const chains[] = {
        PLAY_CHAIN,
        "#block123 #block456 #block789",
        "t-o.p_1 m i-d b_a-s.e",
        "_ - _2d",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(chains); i++)
        for (unsigned active = 0; active < 2; active++) {
            g_autoptr(Play) p = play_new(chains[i]);

            play_start(p, active);
            play_check_id(p);
            for (const char *c = fake_vm_job_id(p->vm); *c; c++)
                g_assert_true(g_ascii_isalnum(*c) || *c == '-' || *c == '.' || *c == '_');
        }
}

static void test_pivot(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    check_job(p, c);
    domain_check_quiet(p->domain);
    c = play_hold(p, c);
    check_job(p, c);
    domain_check_news(p->domain, "job-changed vda pivoting");
    g_assert_true(manager_is_holding(p->domain->manager));
    domain_check_quiet(p->domain);

    c = play_conclude(p, c, "base");
    check_job(p, c);
    domain_check_news(p->domain, "disk-changed vda, job-finished vda completed");
    g_assert_false(manager_is_holding(p->domain->manager));
    g_assert_cmpuint(disk_chain(p->disk)->n, ==, 1);
    play_dismiss(p, c);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-cancel"), ==, 0);
}

/* Nodes that a user has named stay open after a pivot, with their locks. */
static void test_pivot_closes_what_is_left(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    qmp_peer_let_wait(p->peer, "blockdev-del");
    fake_vm_set_chain(p->vm, "left", PLAY_CHAIN);
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");

    c = qmp_peer_expect(p->peer, "blockdev-del");
    check_text(c, "node-name", "top");
    /* Somebody else uses it: its own business. */
    qmp_peer_reply_error(p->peer, c, "GenericError", "Node top is in use");
    c = qmp_peer_expect(p->peer, "blockdev-del");
    check_text(c, "node-name", "mid");
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 0);
    qmp_peer_reply(p->peer, c, "{}");

    /* Whoever takes the next snapshot on JobFinished finds the base free. */
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain,
                      "job-changed vda pivoting, disk-changed vda, job-finished vda completed");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "blockdev-del"), ==, 2);
}

static void test_keep(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_abort(p);
    check_text(c, "device", fake_vm_job_id(p->vm));
    g_assert_null(argument(c, "force"));
    c = play_hold(p, c);
    domain_check_news(p->domain, "job-changed vda aborting");
    c = play_conclude(p, c, PLAY_CHAIN);
    domain_check_news(p->domain, "job-finished vda kept");
    play_dismiss(p, c);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "blockdev-del"), ==, 0);
}

/* The base was read-only before the job, and QEMU leaves it open for writing. */
static void test_keep_restores_read_only(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_abort(p));
    qmp_peer_let_wait(p->peer, "human-monitor-command");
    fake_vm_set_writable(p->vm, "base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");

    c = qmp_peer_expect(p->peer, "human-monitor-command");
    check_text(c, "command-line", "qemu-io base \"reopen -r\"");
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 0);
    qmp_peer_reply(p->peer, c, "''");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

static void test_cancel(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start(p, true);
    c = play_ask_abort(p);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_move(p->vm, "aborting");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain, "job-changed vda aborting, job-finished vda cancelled");
    play_dismiss(p, c);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

/* One phase; and what QEMU has not flushed is flushed before anything is announced. */
static void test_below(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    c = play_ask_commit(p, false);
    check_text(c, "device", "top");
    check_text(c, "top-node", "mid");
    check_text(c, "base-node", "base");
    fake_vm_add_job(p->vm, c, "pending");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-finalize");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    domain_check_news(p->domain, "job-started vda");

    qmp_peer_let_wait(p->peer, "blockdev-reopen");
    fake_vm_set_disk(p->vm, "vda", "top base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "blockdev-reopen");
    domain_check_news(p->domain, "disk-changed vda");
    qmp_peer_reply_error(p->peer, c, "GenericError", "Cannot change the option 'driver'");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain, "job-finished vda completed");
}

static void test_failure(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start(p, true);
    fake_vm_set_error(p->vm, "No space left on device");
    fake_vm_move(p->vm, "concluded");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain, "job-finished vda failed");
    g_assert_cmpint(disk_last_job(p->disk)->error, ==, REFUSAL_QMP);
    g_assert_cmpstr(disk_last_job(p->disk)->message, ==, "No space left on device");
    play_dismiss(p, c);

    /* And the next one works. */
    play_start_ready(p);
}

static void refuse(Play *p, Request *r, RefusalKind kind)
{
    domain_check_answer(p->domain, r, kind);
}

static void test_out_of_turn(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    Domain *d = p->domain;
    QmpPeerCommand *c;

    refuse(p, domain_pivot(d, p->disk), REFUSAL_NO_JOB);
    refuse(p, domain_abort(d, p->disk), REFUSAL_NO_JOB);

    c = play_ask_commit(p, true);
    refuse(p, domain_commit(d, p->disk, true), REFUSAL_JOB_EXISTS);
    refuse(p, domain_pivot(d, p->disk), REFUSAL_NOT_READY);
    refuse(p, domain_abort(d, p->disk), REFUSAL_NOT_READY);
    fake_vm_add_job(p->vm, c, "running");
    qmp_peer_reply(p->peer, c, "{}");
    domain_wait(d, "job-started");

    refuse(p, domain_commit(d, p->disk, false), REFUSAL_JOB_EXISTS);
    refuse(p, domain_pivot(d, p->disk), REFUSAL_NOT_READY);
    fake_vm_move(p->vm, "ready");
    domain_wait(d, "job-ready");

    c = play_hold(p, play_ask_pivot(p));
    refuse(p, domain_pivot(d, p->disk), REFUSAL_NOT_READY);
    refuse(p, domain_abort(d, p->disk), REFUSAL_NOT_READY);
    play_dismiss(p, play_conclude(p, c, "base"));
    refuse(p, domain_pivot(d, p->disk), REFUSAL_NO_JOB);
    refuse(p, domain_commit(d, p->disk, true), REFUSAL_NOTHING_TO_COMMIT);
    g_assert_cmpuint(domain_count(d, "job-finished"), ==, 1);
}

static void test_pivot_of_one_phase(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, false);
    refuse(p, domain_pivot(p->domain, p->disk), REFUSAL_NOT_READY);
}

/* Two callers at the same instant: one wins, the other is told. */
static void test_pivot_before_abort(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    Request *abort;

    play_start_ready(p);
    p->request = domain_pivot(p->domain, p->disk);
    abort = domain_abort(p->domain, p->disk);
    refuse(p, abort, REFUSAL_NOT_READY);
    play_dismiss(p,
                 play_conclude(p, play_hold(p, qmp_peer_expect(p->peer, "job-complete")), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-job-cancel"), ==, 0);
}

static void test_abort_before_pivot(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    Request *pivot;
    QmpPeerCommand *c;

    play_start_ready(p);
    p->request = domain_abort(p->domain, p->disk);
    pivot = domain_pivot(p->domain, p->disk);
    refuse(p, pivot, REFUSAL_NOT_READY);
    c = play_hold(p, qmp_peer_expect(p->peer, "block-job-cancel"));
    play_dismiss(p, play_conclude(p, c, PLAY_CHAIN));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 0);
}

static void test_plan(void)
{
    static const struct {
        const char *nodes;
        bool active;
        RefusalKind kind;
    } cases[] = {
        {"", true, REFUSAL_NOTHING_TO_COMMIT},
        {"top", true, REFUSAL_NOTHING_TO_COMMIT},
        {"top", false, REFUSAL_NOTHING_TO_COMMIT},
        {"top base", false, REFUSAL_ACTIVE_LAYER},
        {"libvirt-2-format libvirt-1-format", true, REFUSAL_NOT_SUPPORTED},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Play) p = play_new(cases[i].nodes);

        refuse(p, domain_commit(p->domain, p->disk, cases[i].active), cases[i].kind);
        g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit/start-active", test_start_active);
    g_test_add_func("/commit/id", test_id);
    g_test_add_func("/commit/pivot", test_pivot);
    g_test_add_func("/commit/pivot-closes-what-is-left", test_pivot_closes_what_is_left);
    g_test_add_func("/commit/abort-when-ready-keeps-overlay", test_keep);
    g_test_add_func("/commit/keep-restores-read-only", test_keep_restores_read_only);
    g_test_add_func("/commit/abort-while-running-cancels", test_cancel);
    g_test_add_func("/commit/below-is-flushed-before-it-is-announced", test_below);
    g_test_add_func("/commit/failure", test_failure);
    g_test_add_func("/commit/out-of-turn", test_out_of_turn);
    g_test_add_func("/commit/pivot-of-one-phase", test_pivot_of_one_phase);
    g_test_add_func("/commit/pivot-before-abort", test_pivot_before_abort);
    g_test_add_func("/commit/abort-before-pivot", test_abort_before_pivot);
    g_test_add_func("/commit/what-cannot-be-committed", test_plan);
    return g_test_run();
}
