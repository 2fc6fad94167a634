/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Refusals of QEMU: of each command of a commit, and what becomes of the job then.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "block.h"
#include "commit.h"
#include "event-wait.h"
#include "play.h"

#define GENERIC "GenericError"

static void test_start_refused(void)
{
    static const struct {
        const char *error_class, *text;
        RefusalKind kind;
    } cases[] = {
        {GENERIC, "Failed to get \"write\" lock", REFUSAL_IMAGE_IN_USE},
        {GENERIC, "Failed to get shared \"write\" lock", REFUSAL_IMAGE_IN_USE},
        {GENERIC, "Node 'top' is busy: block device is in use by block job: commit",
         REFUSAL_JOB_EXISTS},
        {GENERIC, "Need a root block node", REFUSAL_JOB_EXISTS},
        {GENERIC, "Block node is read-only", REFUSAL_READ_ONLY},
        {GENERIC, "Could not open '/images/base': Operation not permitted", REFUSAL_READ_ONLY},
        {GENERIC, "Could not open '/images/base': Permission denied", REFUSAL_READ_ONLY},
        {GENERIC, "Could not open '/images/base': Read-only file system", REFUSAL_READ_ONLY},
        {"DeviceNotFound", "Device 'top' not found", REFUSAL_QMP},
        {"CommandNotFound", "The command block-commit has not been found", REFUSAL_QMP},
        {GENERIC, "", REFUSAL_QMP},
        {GENERIC, "100%s %n", REFUSAL_QMP},
    };
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        QmpPeerCommand *c = play_ask_commit(p, true);

        qmp_peer_reply_error(p->peer, c, cases[i].error_class, cases[i].text);
        domain_check_answer(p->domain, p->request, cases[i].kind);
        g_assert_nonnull(strstr(p->request->text, "VM 'web1', disk 'vda'"));
        g_assert_nonnull(strstr(p->request->text, cases[i].text));
        g_assert_null(disk_job(p->disk));
        domain_check_quiet(p->domain);
    }
    /* The next call works. */
    play_start_ready(p);
}

/* QEMU can show a job that it then refuses to start. */
static void test_start_refused_after_event(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c = play_ask_commit(p, true);

    fake_vm_add_job(p->vm, c, "created");
    fake_vm_move(p->vm, "created");
    fake_vm_move(p->vm, NULL);
    qmp_peer_reply_error(p->peer, c, GENERIC, "Failed to get \"write\" lock");
    domain_check_answer(p->domain, p->request, REFUSAL_IMAGE_IN_USE);
    domain_check_quiet(p->domain);
}

/* The base is another VM's image: its user is named. */
static void test_user_of_image_is_named(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) other = fake_vm_new(p->domain->event, "web2");
    QmpPeerCommand *c;

    fake_vm_set_disk(other, "vdb", "base");
    (void)domain_attach_vm(p->domain, other, "web2");
    c = play_ask_commit(p, true);
    qmp_peer_reply_error(p->peer, c, GENERIC, "Failed to get \"write\" lock");
    domain_check_answer(p->domain, p->request, REFUSAL_IMAGE_IN_USE);
    g_assert_nonnull(strstr(p->request->text, "VM 'web2', disk 'vdb'"));
}

static void test_answer_of_start_not_understood(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c = play_ask_commit(p, true);
    g_autofree char *line =
        g_strdup_printf("{'error': 7, 'id': %s}", json_object_to_json_string(c->id));

    qmp_peer_say(p->peer, line);
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    domain_check_quiet(p->domain);
}

static void test_complete_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    qmp_peer_reply_error(p->peer, play_ask_pivot(p), GENERIC,
                         "The active block job 'j' cannot be completed");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    domain_check_quiet(p->domain);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);

    /* It is as it was: both ends are open. */
    c = play_hold(p, play_ask_pivot(p));
    play_dismiss(p, play_conclude(p, c, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

static void test_cancel_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    play_start_ready(p);
    qmp_peer_reply_error(p->peer, play_ask_abort(p), GENERIC, "not now");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    domain_check_quiet(p->domain);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
    play_dismiss(p, play_conclude(p, play_hold(p, play_ask_abort(p)), PLAY_CHAIN));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
}

/* QEMU cannot change the graph after all: nothing has changed, and that is what is told. */
static void test_finalize_fails(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    fake_vm_set_error(p->vm, "Permission conflict on node base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain, "job-changed vda pivoting, job-finished vda failed");
    g_assert_cmpstr(disk_last_job(p->disk)->message, ==, "Permission conflict on node base");
    play_dismiss(p, c);
}

/* Guest I/O stands still until the job goes on: it is asked for again until it does. */
static void test_finalize_is_repeated(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    for (unsigned i = 0; i < 2; i++) {
        qmp_peer_reply_error(p->peer, c, GENERIC, "not now");
        c = qmp_peer_expect(p->peer, "job-finalize");
    }
    play_dismiss(p, play_conclude(p, c, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 1);
}

/* What cannot be looked for is not assumed: the guest stays where it is. */
static void test_barrier_unreadable(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_ask_pivot(p);
    qmp_peer_refuse(p->peer, "query-block-exports", GENERIC, "out of order");
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_move(p->vm, "pending");
    c = qmp_peer_expect(p->peer, "job-cancel");
    fake_vm_set_export(p->vm, "none", NULL);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain, "job-changed vda pivoting, job-finished vda failed");
    g_assert_cmpstr(disk_last_job(p->disk)->message, ==, "out of order");
    play_dismiss(p, c);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

/* The graph decides what a pivot came to: it is read until it can be. */
static void test_settling_is_repeated(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    domain_check_news(p->domain, "job-changed vda pivoting");
    qmp_peer_let_wait(p->peer, "query-block");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "query-block");
    qmp_peer_reply_error(p->peer, c, GENERIC, "out of order");
    domain_check_quiet(p->domain);

    fake_vm_set_disk(p->vm, "vda", "base");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    domain_check_news(p->domain, "disk-changed vda, job-finished vda completed");
    play_dismiss(p, c);
}

/* QEMU keeps a job that we are done with: it is not announced a second time. */
static void test_dismiss_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    c = play_conclude(p, play_hold(p, play_ask_pivot(p)), "base");
    qmp_peer_reply_error(p->peer, c, GENERIC, "not now");
    domain_check_news(p->domain,
                      "job-changed vda pivoting, disk-changed vda, job-finished vda completed");
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    domain_check_quiet(p->domain);
}

/* Merged, but not on stable storage: no success. */
static void test_flush_fails(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start(p, false);
    fake_vm_move(p->vm, "pending");
    c = qmp_peer_expect(p->peer, "job-finalize");
    qmp_peer_refuse(p->peer, "blockdev-reopen", GENERIC, "Error flushing drive");
    c = play_conclude(p, c, "top base");
    domain_check_news(p->domain, "disk-changed vda, job-finished vda failed");
    g_assert_nonnull(strstr(disk_last_job(p->disk)->message, "Error flushing drive"));
    play_dismiss(p, c);
}

/* A format node does not pass the flush on to its file: both are flushed, and both must be. */
static void test_second_flush_fails(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *finalize, *format, *file;

    fake_vm_set_file(p->vm, "base", "base-file");
    play_start(p, false);
    fake_vm_move(p->vm, "pending");
    finalize = qmp_peer_expect(p->peer, "job-finalize");
    qmp_peer_let_wait(p->peer, "blockdev-reopen");
    fake_vm_set_disk(p->vm, "vda", "top base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, finalize, "{}");
    format = qmp_peer_expect(p->peer, "blockdev-reopen");
    file = qmp_peer_expect(p->peer, "blockdev-reopen");
    qmp_peer_reply_error(p->peer, format, GENERIC, "Cannot change the option 'driver'");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 0);
    qmp_peer_reply_error(p->peer, file, GENERIC, "Error flushing drive");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda failed"), ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-errors/start-refused", test_start_refused);
    g_test_add_func("/commit-errors/start-refused-after-event", test_start_refused_after_event);
    g_test_add_func("/commit-errors/user-of-image-is-named", test_user_of_image_is_named);
    g_test_add_func("/commit-errors/answer-of-start-not-understood",
                    test_answer_of_start_not_understood);
    g_test_add_func("/commit-errors/complete-refused", test_complete_refused);
    g_test_add_func("/commit-errors/cancel-refused", test_cancel_refused);
    g_test_add_func("/commit-errors/finalize-fails", test_finalize_fails);
    g_test_add_func("/commit-errors/finalize-is-repeated", test_finalize_is_repeated);
    g_test_add_func("/commit-errors/barrier-unreadable", test_barrier_unreadable);
    g_test_add_func("/commit-errors/settling-is-repeated", test_settling_is_repeated);
    g_test_add_func("/commit-errors/dismiss-refused", test_dismiss_refused);
    g_test_add_func("/commit-errors/flush-fails", test_flush_fails);
    g_test_add_func("/commit-errors/second-flush-fails", test_second_flush_fails);
    return g_test_run();
}
