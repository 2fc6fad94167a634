/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks with an export. Its clients are not held at the barrier: QEMU has to hand over in one go,
 * by a job that was started so. An export may come up at any moment.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>

#include "commit.h"
#include "event-wait.h"
#include "play.h"
#include "process.h"

static bool auto_finalize(const QmpPeerCommand *block_commit)
{
    json_object *value;

    g_assert_true(json_object_object_get_ex(block_commit->args, "auto-finalize", &value));
    return json_object_get_boolean(value);
}

/* QEMU hands over: waiting, pending and concluded in one breath. */
static void hand_over(Play *p)
{
    fake_vm_set_status(p->vm, "pending");
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_set_export(p->vm, "e0", "base");
    fake_vm_move(p->vm, "concluded");
}

static void test_known_from_the_start(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_export(p->vm, "e0", "top");
    c = play_ask_commit(p, true);
    g_assert_true(auto_finalize(c));
    fake_vm_add_job(p->vm, c, "ready");
    qmp_peer_reply(p->peer, c, "{}");
    domain_wait(p->domain, "job-ready");

    c = play_ask_pivot(p);
    hand_over(p);
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    domain_check_news(p->domain, "job-started vda, job-changed vda ready, job-ready vda, "
                                 "job-changed vda pivoting, disk-changed vda, "
                                 "job-finished vda completed");
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

/* Images below the active layer do not move the guest: there is nothing to hold. */
static void test_below_takes_no_notice(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_export(p->vm, "e0", "top");
    c = play_ask_commit(p, false);
    g_assert_false(auto_finalize(c));
    fake_vm_add_job(p->vm, c, "pending");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "top base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* The first job has ended: the second one is asked for, under a name of its own. */
static QmpPeerCommand *restart(Play *p, QmpPeerCommand *job_cancel, const char *public_id)
{
    QmpPeerCommand *c;

    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, job_cancel, "{}");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    fake_vm_move(p->vm, NULL);
    qmp_peer_reply(p->peer, c, "{}");

    c = qmp_peer_expect(p->peer, "block-commit");
    g_assert_true(auto_finalize(c));
    fake_vm_add_job(p->vm, c, "running");
    g_assert_cmpstr(fake_vm_job_id(p->vm), !=, public_id);
    play_check_id(p);
    return c;
}

static void finish_restarted(Play *p, QmpPeerCommand *block_commit)
{
    QmpPeerCommand *c;

    qmp_peer_reply(p->peer, block_commit, "{}");
    fake_vm_move(p->vm, "ready");
    c = qmp_peer_expect(p->peer, "job-complete");
    g_assert_cmpstr(json_object_get_string(json_object_object_get(c->args, "id")), ==,
                    fake_vm_job_id(p->vm));
    hand_over(p);
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    play_dismiss(p, c);
}

static void check_one_result(Play *p, const char *public_id, const char *result)
{
    g_autofree char *line = g_strdup_printf("job-finished vda %s", result);

    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 1);
    g_assert_cmpuint(domain_count(p->domain, line), ==, 1);
    g_assert_cmpuint(domain_count(p->domain, "job-started"), ==, 0);
    g_assert_cmpuint(domain_count(p->domain, "job-ready"), ==, 0);
    g_assert_cmpstr(disk_last_job(p->disk)->id, ==, public_id);
    g_assert_null(disk_job(p->disk));
}

static void test_before_pivot(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_PIVOTING);

    c = restart(p, c, id);
    /* It is the same job to whoever looks at it. */
    g_assert_cmpstr(commit_id(disk_job(p->disk)), ==, id);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_PIVOTING);
    domain_check_answer(p->domain, domain_abort(p->domain, p->disk), REFUSAL_NOT_READY);
    finish_restarted(p, c);
    check_one_result(p, id, "completed");
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

static void test_at_the_barrier(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    c = play_ask_pivot(p);
    fake_vm_set_export(p->vm, "e0", "top");
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_move(p->vm, "pending");
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    finish_restarted(p, c);
    check_one_result(p, id, "completed");
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
}

/* An export below the active image shows no guest data that could be lost to it, but it is in the
 * chain all the same: QEMU decides. */
static void test_of_the_base(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_export(p->vm, "e0", "base");
    c = play_ask_commit(p, true);
    g_assert_true(auto_finalize(c));
    qmp_peer_reply_error(p->peer, c, "GenericError", "no");
}

/* The second job is refused: the pivot has not taken place, and that is what is told. */
static void test_restart_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    fake_vm_set_status(p->vm, NULL);
    qmp_peer_reply_error(p->peer, c, "GenericError", "Failed to get \"write\" lock");
    domain_wait(p->domain, "job-finished");
    check_one_result(p, id, "failed");
    g_assert_cmpstr(disk_last_job(p->disk)->message, ==, "Failed to get \"write\" lock");
}

/* The restarted job fails on the way. */
static void test_restarted_job_fails(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_set_error(p->vm, "Input/output error");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    check_one_result(p, id, "failed");
}

/* QEMU is slow to take the first job down: it is told once, and not left half-way. */
static void test_cancel_is_repeated(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    qmp_peer_reply_error(p->peer, c, "GenericError", "not now");
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    finish_restarted(p, c);
    check_one_result(p, id, "completed");
}

/* The caller's Pivot was accepted: a successor of ours keeps to it. */
static void test_service_ends(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    qmp_peer_reply(p->peer, c, "{}");
    event_wait_idle(p->domain->event);
    play_restart(p);
    fake_vm_move(p->vm, "ready");
    c = qmp_peer_expect(p->peer, "job-complete");
    hand_over(p);
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* The completion of the second job is nobody else's to ask for. */
static void test_complete_is_repeated(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_move(p->vm, "ready");
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "job-complete"), "GenericError",
                         "not now");
    c = qmp_peer_expect(p->peer, "job-complete");
    hand_over(p);
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    check_one_result(p, id, "completed");
}

/* The record cannot be written when the second job is ready: the overlay stays, and why is told. */
static void test_restarted_without_record(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autofree char *id = NULL;
    QmpPeerCommand *c;

    play_start_ready(p);
    id = g_strdup(fake_vm_job_id(p->vm));
    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = restart(p, qmp_peer_expect(p->peer, "job-cancel"), id);
    g_free(process_run("rm", "-r", p->domain->directory, NULL));
    qmp_peer_reply(p->peer, c, "{}");
    fake_vm_move(p->vm, "ready");
    c = qmp_peer_expect(p->peer, "block-job-cancel");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    check_one_result(p, id, "failed");
    g_assert_nonnull(strstr(disk_last_job(p->disk)->message, "image record"));
    g_assert_cmpint(g_mkdir(p->domain->directory, 0700), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-export/known-from-the-start", test_known_from_the_start);
    g_test_add_func("/commit-export/below-takes-no-notice", test_below_takes_no_notice);
    g_test_add_func("/commit-export/before-pivot", test_before_pivot);
    g_test_add_func("/commit-export/at-the-barrier", test_at_the_barrier);
    g_test_add_func("/commit-export/of-the-base", test_of_the_base);
    g_test_add_func("/commit-export/restart-refused", test_restart_refused);
    g_test_add_func("/commit-export/restarted-job-fails", test_restarted_job_fails);
    g_test_add_func("/commit-export/cancel-is-repeated", test_cancel_is_repeated);
    g_test_add_func("/commit-export/service-ends-while-restarted", test_service_ends);
    g_test_add_func("/commit-export/complete-is-repeated", test_complete_is_repeated);
    g_test_add_func("/commit-export/restarted-without-record", test_restarted_without_record);
    return g_test_run();
}
