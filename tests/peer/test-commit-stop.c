/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O errors that pause a job: what is shown, what goes on, what ends it, and how much is logged.
 */
#include <glib.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "commit.h"
#include "event-wait.h"
#include "log.h"
#include "message-ids.h"
#include "play.h"

/* Lines that tell of a paused job. The program is linked with --wrap=log_line. */
static unsigned n_lines;

void __wrap_log_line(int priority, const LogContext *context, const char *format, ...);

void __wrap_log_line(int priority, const LogContext *context, const char *format, ...)
{
    if (context && g_strcmp0(context->message_id, MESSAGE_JOB_STOPPED) == 0)
        n_lines++;
}

static void check_logged(unsigned lines)
{
    g_assert_cmpuint(n_lines, ==, lines);
    n_lines = 0;
}

static void check_error(const Play *p, const char *error)
{
    g_assert_cmpstr(commit_io_error(disk_job(p->disk)), ==, error);
}

static void check_stopped(Play *p)
{
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-changed vda paused");
    check_error(p, "No space left on device");
    check_logged(1);
}

/* QEMU has taken the Resume. */
static void resume(Play *p, const char *status)
{
    p->request = domain_request(p->domain);
    commit_resume(disk_job(p->disk), domain_done, p->request);

    QmpPeerCommand *c = qmp_peer_expect(p->peer, "job-resume");
    fake_vm_set_io_status(p->vm, "ok");
    fake_vm_set_status(p->vm, status);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    event_wait_idle(p->domain->event);
    check_error(p, "");
}

static void check_pivot_names_resume(Play *p)
{
    Request *r = domain_pivot(p->domain, p->disk);

    domain_check_answer(p->domain, r, REFUSAL_NOT_READY);
    g_assert_nonnull(strstr(r->text, "Resume"));
    g_assert_nonnull(strstr(r->text, "No space left on device"));
}

static void test_running(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    /* The status follows when what was under way has come back. */
    fake_vm_stop(p->vm, "running", "nospace");
    domain_check_quiet(p->domain);
    fake_vm_move(p->vm, "paused");
    check_stopped(p);
    check_pivot_names_resume(p);
    domain_check_quiet(p->domain);
    resume(p, "running");
    domain_check_news(p->domain, "job-changed vda running");
    fake_vm_stop(p->vm, "paused", "nospace");
    check_stopped(p);
    resume(p, "running");
    domain_check_news(p->domain, "job-changed vda running");
    play_ready(p);
}

/* QEMU's "cont", of the machine, forgets the errors of all jobs and resumes none. */
static void test_machine_continued(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_stop(p->vm, "paused", "nospace");
    check_stopped(p);
    fake_vm_set_io_status(p->vm, "ok");
    fake_vm_set_paused(p->vm, true);
    fake_vm_move(p->vm, "paused");
    domain_check_quiet(p->domain);
    check_error(p, "No space left on device");
    resume(p, "running");
    domain_check_news(p->domain, "job-changed vda running");
    check_error(p, "");
}

static void test_read_error(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_stop(p->vm, "paused", "failed");
    event_wait_idle(p->domain->event);
    check_error(p, "Input/output error");
    check_logged(1);
}

static void test_drain_is_no_error(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_move(p->vm, "paused");
    domain_check_quiet(p->domain);
    check_error(p, "");
    check_logged(0);
}

static void test_ready(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    fake_vm_stop(p->vm, "standby", "nospace");
    check_stopped(p);
    check_pivot_names_resume(p);
    resume(p, "ready");
    domain_check_news(p->domain, "job-changed vda ready");
    play_dismiss(p, play_conclude(p, play_hold(p, play_ask_pivot(p)), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* It stopped before anybody saw it ready: that is announced when it can be ended. */
static void test_standby_is_not_ready(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_stop(p->vm, "standby", "nospace");
    check_stopped(p);
    resume(p, "ready");
    domain_check_news(p->domain, "job-changed vda running, job-changed vda ready, job-ready vda");
}

/* A job that a predecessor of ours has started, found stopped. */
static Play *take_up(const char *on_ready, const char *status)
{
    Play *p = play_new(PLAY_CHAIN);
    g_autofree char *id = g_strdup_printf(
        "vmdisk-commit-active-ro-%s-stop-carry-1000-7-0-0-keep_2dwaiting-vda-top-base", on_ready);

    fake_vm_set_job(p->vm, id, status, false);
    fake_vm_set_io_status(p->vm, "nospace");
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    domain_wait(p->domain, "job-started");
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-started vda");
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_PAUSED);
    check_error(p, "No space left on device");
    check_logged(1);
    return p;
}

static void test_taken_up(void)
{
    g_autoptr(Play) p = take_up("wait", "paused");

    resume(p, "running");
    domain_check_news(p->domain, "job-changed vda running");
}

static void test_choice_in_advance(void)
{
    g_autoptr(Play) p = take_up("pivot", "standby");

    resume(p, "ready");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-complete"), "{}");
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* Up to the job-complete that QEMU has accepted; then the base is full. */
static Play *stop_on_the_way_to_the_end(void)
{
    Play *p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-changed vda pivoting");
    fake_vm_stop(p->vm, "standby", "nospace");
    check_stopped(p);
    check_pivot_names_resume(p);
    return p;
}

static void test_ending(void)
{
    g_autoptr(Play) p = stop_on_the_way_to_the_end();

    resume(p, "ready");
    domain_check_news(p->domain, "job-changed vda pivoting");
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    domain_check_news(p->domain, "disk-changed vda, job-finished vda completed");
}

/* By force: a soft cancel would wait for a copy that nobody can make. */
static void check_abort(Play *p)
{
    QmpPeerCommand *c;

    p->request = domain_abort(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-changed vda aborting");
    check_error(p, "");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    domain_check_news(p->domain, "job-finished vda cancelled");
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-job-cancel"), ==, 0);
}

static void test_abort_running(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_stop(p->vm, "paused", "nospace");
    check_stopped(p);
    check_abort(p);
}

/* QEMU would refuse a soft cancel already. */
static void test_abort_stopping(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    fake_vm_stop(p->vm, "ready", "nospace");
    domain_check_quiet(p->domain);
    check_abort(p);
}

static void test_abort_ready(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    fake_vm_stop(p->vm, "standby", "nospace");
    check_stopped(p);
    check_abort(p);
}

static void test_abort_ending(void)
{
    g_autoptr(Play) p = stop_on_the_way_to_the_end();

    check_abort(p);
}

/* Somebody else has resumed it, or ended it. */
static void test_resumed_elsewhere(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    fake_vm_stop(p->vm, "paused", "nospace");
    check_stopped(p);
    fake_vm_set_io_status(p->vm, "ok");
    fake_vm_move(p->vm, "running");
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-changed vda running");
    check_error(p, "");
}

/* A peer with no end of errors: each pause is shown, and the journal is not filled. */
static void test_flood(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    for (unsigned i = 0; i < 40; i++) {
        fake_vm_stop(p->vm, "paused", i % 2 ? "ok" : "nospace");
        event_wait_idle(p->domain->event);
    }
    check_logged(1);
    g_assert_cmpuint(domain_count(p->domain, "job-changed vda paused"), ==, 20);
}

static void test_strange_events(void)
{
    static const char *const strange[] = {"{}", "{'device': 1, 'operation': 'read'}",
                                          "{'device': 'nobody', 'operation': 'read'}"};
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    qmp_peer_event(p->peer, "BLOCK_JOB_ERROR", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(strange); i++)
        qmp_peer_event(p->peer, "BLOCK_JOB_ERROR", strange[i]);
    domain_check_quiet(p->domain);
    check_logged(0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-stop/running", test_running);
    g_test_add_func("/commit-stop/machine-continued", test_machine_continued);
    g_test_add_func("/commit-stop/read-error", test_read_error);
    g_test_add_func("/commit-stop/drain-is-no-error", test_drain_is_no_error);
    g_test_add_func("/commit-stop/ready", test_ready);
    g_test_add_func("/commit-stop/standby-is-not-ready", test_standby_is_not_ready);
    g_test_add_func("/commit-stop/taken-up", test_taken_up);
    g_test_add_func("/commit-stop/choice-in-advance", test_choice_in_advance);
    g_test_add_func("/commit-stop/on-the-way-to-the-end", test_ending);
    g_test_add_func("/commit-stop/abort-running", test_abort_running);
    g_test_add_func("/commit-stop/abort-stopping", test_abort_stopping);
    g_test_add_func("/commit-stop/abort-ready", test_abort_ready);
    g_test_add_func("/commit-stop/abort-on-the-way-to-the-end", test_abort_ending);
    g_test_add_func("/commit-stop/resumed-elsewhere", test_resumed_elsewhere);
    g_test_add_func("/commit-stop/flood", test_flood);
    g_test_add_func("/commit-stop/strange-events", test_strange_events);
    return g_test_run();
}
