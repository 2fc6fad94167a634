/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pause, resume and speed; a choice made in advance; a queue of commands that is full; an image
 * record that cannot be written.
 */
#include <errno.h>
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>

#include "commit.h"
#include "event-wait.h"
#include "group.h"
#include "play.h"
#include "process.h"

typedef void (*ControlFunc)(Commit *c, DoneFunc done, void *userdata);

static Request *control(Play *p, ControlFunc func)
{
    p->request = domain_request(p->domain);
    func(disk_job(p->disk), domain_done, p->request);
    return p->request;
}

static Request *set_speed(Play *p, uint64_t speed)
{
    p->request = domain_request(p->domain);
    commit_set_speed(disk_job(p->disk), speed, domain_done, p->request);
    return p->request;
}

/* QEMU accepts. */
static void accept(Play *p, const char *command)
{
    QmpPeerCommand *c = qmp_peer_expect(p->peer, command);

    if (strcmp(command, "job-pause") == 0 || strcmp(command, "job-resume") == 0)
        fake_vm_set_paused(p->vm, strcmp(command, "job-pause") == 0);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    event_wait_idle(p->domain->event);
}

static void test_pause_and_resume(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    domain_check_answer(p->domain, control(p, commit_resume), REFUSAL_NOT_READY);
    (void)control(p, commit_pause);
    accept(p, "job-pause");
    domain_check_news(p->domain, "job-changed vda paused");
    fake_vm_move(p->vm, "paused");
    domain_check_quiet(p->domain);
    domain_check_answer(p->domain, control(p, commit_pause), REFUSAL_NOT_READY);
    (void)control(p, commit_resume);
    accept(p, "job-resume");
    domain_check_news(p->domain, "job-changed vda running");
}

static void test_resumed_by_others(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    (void)control(p, commit_pause);
    accept(p, "job-pause");
    domain_check_news(p->domain, "job-changed vda paused");
    fake_vm_set_paused(p->vm, false);
    fake_vm_move(p->vm, "running");
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-changed vda running");
}

static void test_pause_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    (void)control(p, commit_pause);
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "job-pause"), "GenericError",
                         "Job is already paused");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    domain_check_quiet(p->domain);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_RUNNING);
}

/* QEMU would take it, and not carry it out before the job is resumed. */
static void test_pivot_of_paused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    (void)control(p, commit_pause);
    accept(p, "job-pause");
    domain_check_answer(p->domain, domain_pivot(p->domain, p->disk), REFUSAL_NOT_READY);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 0);
}

/* QEMU refuses a soft cancel of a paused job: it is resumed for that. */
static void test_abort_of_paused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    (void)control(p, commit_pause);
    accept(p, "job-pause");
    domain_check_news(p->domain, "job-changed vda paused");
    p->request = domain_abort(p->domain, p->disk);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-resume"), "{}");
    play_dismiss(p, play_conclude(p, play_hold(p, qmp_peer_expect(p->peer, "block-job-cancel")),
                                  PLAY_CHAIN));
    domain_check_news(p->domain, "job-changed vda aborting, job-finished vda kept");
}

static void test_speed(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    domain_check_answer(p->domain, set_speed(p, UINT64_C(1) << 63), REFUSAL_INVALID_ARGS);
    (void)set_speed(p, 4096);
    accept(p, "block-job-set-speed");
    (void)set_speed(p, INT64_MAX);
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "block-job-set-speed"), "GenericError",
                         "no");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-job-set-speed"), ==, 2);
}

static void test_nothing_while_ending(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    domain_check_answer(p->domain, control(p, commit_pause), REFUSAL_NOT_READY);
    domain_check_answer(p->domain, control(p, commit_resume), REFUSAL_NOT_READY);
    domain_check_answer(p->domain, set_speed(p, 1), REFUSAL_NOT_READY);
    play_dismiss(p, play_conclude(p, c, "base"));
}

/* The answer comes when the job has ended. */
static void test_job_ends_meanwhile(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *accepted, *refused;
    Request *first, *second;

    play_start_ready(p);
    first = set_speed(p, 1);
    accepted = qmp_peer_expect(p->peer, "block-job-set-speed");
    second = set_speed(p, 2);
    refused = qmp_peer_expect(p->peer, "block-job-set-speed");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    qmp_peer_reply(p->peer, accepted, "{}");
    domain_check_answer(p->domain, first, REFUSAL_NONE);
    qmp_peer_reply_error(p->peer, refused, "DeviceNotActive", "Block job 'j' not found");
    domain_check_answer(p->domain, second, REFUSAL_NO_JOB);
    domain_check_news(p->domain, "job-changed vda running, job-finished vda cancelled");
}

/* A QEMU that answers nothing: callers are told, and the job goes on when it answers again. */
static void test_full_queue(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *waiting[QMP_PENDING_MAX];

    play_start_ready(p);
    for (unsigned i = 0; i < QMP_PENDING_MAX; i++) {
        (void)set_speed(p, 1 + i);
        waiting[i] = qmp_peer_expect(p->peer, "block-job-set-speed");
    }
    domain_check_answer(p->domain, set_speed(p, 1), REFUSAL_LIMIT_EXCEEDED);
    domain_check_answer(p->domain, domain_pivot(p->domain, p->disk), REFUSAL_LIMIT_EXCEEDED);
    domain_check_answer(p->domain, domain_abort(p->domain, p->disk), REFUSAL_LIMIT_EXCEEDED);
    domain_check_quiet(p->domain);

    for (unsigned i = 0; i < QMP_PENDING_MAX; i++)
        qmp_peer_reply(p->peer, waiting[i], "{}");
    event_wait_idle(p->domain->event);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
    play_dismiss(p, play_conclude(p, play_hold(p, play_ask_pivot(p)), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* There is room for a part of what is to be asked before the start: nobody is told that the VM is
 * gone. */
static void test_full_queue_at_the_start(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    Vm *vm = disk_vm(p->disk);
    Request *both = domain_request(p->domain);

    for (unsigned i = 0; i < QMP_PENDING_MAX - 1; i++)
        g_assert_cmpint(qmp_call(vm_qmp(vm), "stop", NULL, 0, NULL, NULL), ==, 0);
    domain_check_answer(p->domain, domain_commit(p->domain, p->disk, true), REFUSAL_LIMIT_EXCEEDED);
    group_start(vm, &(CommitOptions){.active = true}, /* disks= */ NULL, 0, domain_done, both);
    domain_check_answer(p->domain, both, REFUSAL_LIMIT_EXCEEDED);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
}

/* The queue is full for as long as the job stands at its barrier: what it came to is still read. */
static void test_full_queue_at_the_end(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *waiting[QMP_PENDING_MAX - 1];

    play_start_ready(p);
    for (unsigned i = 0; i < G_N_ELEMENTS(waiting); i++) {
        (void)set_speed(p, 1 + i);
        waiting[i] = qmp_peer_expect(p->peer, "block-job-set-speed");
    }
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(waiting); i++)
        qmp_peer_reply(p->peer, waiting[i], "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* There is room for so many of the questions at the barrier. */
static QmpPeerCommand *pass_full_queue(Play *p, unsigned left, const char *expected)
{
    QmpPeerCommand *waiting[QMP_PENDING_MAX];
    const unsigned n = QMP_PENDING_MAX - left;

    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(qmp_call(vm_qmp(disk_vm(p->disk)), "stop", NULL, 0, NULL, NULL), ==, 0);
        waiting[i] = qmp_peer_expect(p->peer, "stop");
    }
    fake_vm_move(p->vm, "pending");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-cancel"), ==, 0);
    for (unsigned i = 0; i < n; i++)
        qmp_peer_reply(p->peer, waiting[i], "{}");
    return qmp_peer_expect(p->peer, expected);
}

/* What found no room is asked again. */
static void test_full_queue_at_the_barrier(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    play_dismiss(p, play_conclude(p, pass_full_queue(p, 1, "job-finalize"), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* And so is the rest, where the first answers make it necessary: nobody takes a part for all. */
static void test_full_queue_at_the_barrier_of_exported(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_set_export(p->vm, "late", "top");
    (void)pass_full_queue(p, 2, "job-cancel");
}

/* A job that a predecessor of ours has started: what its caller has chosen still holds. */
static Play *take_up(const char *on_ready, const char *status)
{
    Play *p = play_new(PLAY_CHAIN);
    g_autofree char *id = g_strdup_printf(
        "vmdisk-commit-active-ro-%s-report-carry-1000-7-0-0-keep_2dwaiting-vda-top-base", on_ready);

    fake_vm_set_job(p->vm, id, status, false);
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    domain_wait(p->domain, "job-started");
    g_assert_cmpstr(commit_id(disk_job(p->disk)), ==, id);
    g_assert_cmpuint(commit_uid(disk_job(p->disk)), ==, 1000);
    g_assert_cmpuint(commit_started_usec(disk_job(p->disk)), ==, 7);
    return p;
}

static void test_pivot_in_advance(void)
{
    g_autoptr(Play) p = take_up("pivot", "ready");

    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-complete"), "{}");
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    domain_check_news(p->domain, "job-started vda, job-changed vda ready, job-ready vda, "
                                 "job-changed vda pivoting, disk-changed vda, "
                                 "job-finished vda completed");
}

static void test_keep_in_advance(void)
{
    g_autoptr(Play) p = take_up("keep", "ready");

    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "block-job-cancel"), "{}");
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-cancel"), PLAY_CHAIN));
    g_assert_cmpuint(domain_count(p->domain, "job-ready"), ==, 1);
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

/* Nobody else would ask for the end that was chosen in advance, and no one learns that QEMU refuses
 * it: it is asked for again. */
static void test_choice_in_advance_refused(void)
{
    g_autoptr(Play) p = take_up("pivot", "ready");

    for (unsigned i = 0; i < 2; i++)
        qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "job-complete"), "GenericError",
                             "no");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-complete"), "{}");
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* An Abort is on record, which the predecessor may not have sent any more: it is newer than the
 * choice. */
static void test_choice_in_advance_overruled(void)
{
    static const char id[] =
        "vmdisk-commit-active-ro-pivot-report-carry-1000-7-0-0-keep_2dwaiting-vda-top-base";
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    g_assert_cmpint(ledger_note_abort(p->domain->ledger, "web1", "vda", id), ==, 0);
    fake_vm_set_job(p->vm, id, "ready", false);
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "block-job-cancel"), "{}");
    fake_vm_move(p->vm, "pending");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-cancel"), PLAY_CHAIN));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

/* QEMU may have the job ready by the time it reads the cancel: whoever finds it at the barrier must
 * know that it is not a pivot. */
static void test_abort_is_on_record(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start(p, true);
    (void)play_ask_abort(p);
    g_assert_cmpstr(ledger_find(p->domain->ledger, "web1", "vda")->abort_job, ==,
                    fake_vm_job_id(p->vm));
}

/* Of a cancelled job QEMU does not say whether its copy was whole. That it was is on record. */
static void test_kept_after_restart(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    (void)play_hold(p, play_ask_abort(p));
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_set_status(p->vm, "concluded");
    play_restart(p);
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

/* Another monitor has cancelled it on its way to the barrier. */
static void test_cancelled_after_restart(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    qmp_peer_reply(p->peer, play_ask_abort(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_set_status(p->vm, "concluded");
    play_restart(p);
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda cancelled"), ==, 1);
}

static void lose_record(Play *p)
{
    g_free(process_run("rm", "-r", p->domain->directory, NULL));
}

/* Without a record of where the guest went, it goes nowhere. */
static void test_barrier_without_record(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    lose_record(p);
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_move(p->vm, "pending");
    c = qmp_peer_expect(p->peer, "job-cancel");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda failed"), ==, 1);
    g_assert_nonnull(strstr(disk_last_job(p->disk)->message, "record"));
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
    g_assert_cmpint(g_mkdir(p->domain->directory, 0700), ==, 0);
}

/* The same where QEMU would switch by itself: it is not even asked. */
static void test_export_without_record(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_export(p->vm, "e0", "top");
    c = play_ask_commit(p, true);
    fake_vm_add_job(p->vm, c, "ready");
    qmp_peer_reply(p->peer, c, "{}");
    domain_wait(p->domain, "job-ready");
    lose_record(p);
    domain_check_answer(p->domain, domain_pivot(p->domain, p->disk), REFUSAL_NOT_READY);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 0);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
    g_assert_cmpint(g_mkdir(p->domain->directory, 0700), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-control/pause-and-resume", test_pause_and_resume);
    g_test_add_func("/commit-control/resumed-by-others", test_resumed_by_others);
    g_test_add_func("/commit-control/pause-refused", test_pause_refused);
    g_test_add_func("/commit-control/pivot-of-paused", test_pivot_of_paused);
    g_test_add_func("/commit-control/abort-of-paused", test_abort_of_paused);
    g_test_add_func("/commit-control/speed", test_speed);
    g_test_add_func("/commit-control/nothing-while-ending", test_nothing_while_ending);
    g_test_add_func("/commit-control/job-ends-meanwhile", test_job_ends_meanwhile);
    g_test_add_func("/commit-control/full-queue", test_full_queue);
    g_test_add_func("/commit-control/full-queue-at-the-start", test_full_queue_at_the_start);
    g_test_add_func("/commit-control/full-queue-at-the-end", test_full_queue_at_the_end);
    g_test_add_func("/commit-control/full-queue-at-the-barrier", test_full_queue_at_the_barrier);
    g_test_add_func("/commit-control/full-queue-at-the-barrier-of-exported",
                    test_full_queue_at_the_barrier_of_exported);
    g_test_add_func("/commit-control/pivot-in-advance", test_pivot_in_advance);
    g_test_add_func("/commit-control/keep-in-advance", test_keep_in_advance);
    g_test_add_func("/commit-control/choice-in-advance-refused", test_choice_in_advance_refused);
    g_test_add_func("/commit-control/choice-in-advance-overruled",
                    test_choice_in_advance_overruled);
    g_test_add_func("/commit-control/abort-while-running-is-on-record", test_abort_is_on_record);
    g_test_add_func("/commit-control/kept-after-restart", test_kept_after_restart);
    g_test_add_func("/commit-control/cancelled-after-restart", test_cancelled_after_restart);
    g_test_add_func("/commit-control/barrier-without-record", test_barrier_without_record);
    g_test_add_func("/commit-control/export-without-record", test_export_without_record);
    return g_test_run();
}
