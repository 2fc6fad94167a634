/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks that are committed together have one deadline: the group is late when one of them is not
 * ready at it. A cancel ends all of it, and no disk is pivoted; a slow guest is slow on those disks
 * alone that are late.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "commit.h"
#include "event-wait.h"
#include "troupe.h"

static CommitOptions late(JobOnDeadline choice)
{
    return (CommitOptions){
        .active = true, .deadline_usec = 1, .on_deadline = {choice, /* given= */ true}};
}

/* The first `ready` jobs are ready already when QEMU answers, and the deadline has passed. */
static void start_late(Troupe *t, JobOnDeadline choice, unsigned ready)
{
    const CommitOptions options = late(choice);

    troupe_ask_commit(t, &options);
    for (unsigned i = 0; i < t->n; i++)
        fake_vm_add_job(t->vm, t->command[i], i < ready ? "ready" : "running");
    troupe_accept_all(t);
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    event_wait_idle(t->domain->event);
}

/* What is ready is kept, what is not is cancelled at once. */
static void end_cut_off(Troupe *t)
{
    troupe_expect_one(t, 0, "block-job-cancel");
    troupe_expect_one(t, 1, "job-cancel");
    troupe_accept(t, 0);
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_move(t, 0, "pending");
    troupe_keep(t, 0);
    troupe_check_ends(t, "vdb=cancelled vda=kept");
    troupe_check_record(t, false);
    g_assert_nonnull(strstr(disk_last_job(t->disk[1])->message, "deadline"));
    g_assert_cmpuint(troupe_count(t, "job-complete"), ==, 0);
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 0);
}

static void test_cancel(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_CANCEL, 1);
    end_cut_off(t);
}

static void test_cancel_none_is_ready(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_CANCEL, 0);
    troupe_expect(t, "job-cancel");
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_check_ends(t, "vda=cancelled vdb=cancelled");
    for (unsigned i = 0; i < t->n; i++)
        g_assert_nonnull(strstr(disk_last_job(t->disk[i])->message, "deadline"));
}

static void test_cancel_all_are_ready(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_CANCEL, 2);
    g_assert_cmpint(group_state(disk_vm(t->disk[0])), ==, JOB_STATE_READY);
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_pivot(t);
    troupe_hold_all(t);
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
    g_assert_cmpuint(troupe_count(t, "job-cancel"), ==, 0);
}

/* What is copied in order to be kept alone is not waited for any longer, either. */
static void test_cancel_of_doomed(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    const CommitOptions options = late(JOB_ON_DEADLINE_CANCEL);

    troupe_ask_commit(t, &options);
    fake_vm_add_job(t->vm, t->command[1], "running");
    troupe_restart(t);
    troupe_expect_one(t, 1, "job-cancel");
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_check_ends(t, "vdb=cancelled");
    g_assert_nonnull(strstr(disk_last_job(t->disk[1])->message, "deadline"));
}

/* The service ends before it has had an answer, and the deadline passes meanwhile. */
static void test_cancel_after_restart(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    const CommitOptions options = late(JOB_ON_DEADLINE_CANCEL);

    troupe_ask_commit(t, &options);
    fake_vm_add_job(t->vm, t->command[0], "ready");
    fake_vm_add_job(t->vm, t->command[1], "running");
    troupe_restart(t);
    end_cut_off(t);
}

static void test_keep_waiting(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_KEEP_WAITING, 1);
    troupe_move(t, 1, "ready");
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 1);
    g_assert_cmpuint(troupe_count(t, "job-cancel"), ==, 0);
    g_assert_cmpuint(troupe_count(t, "block_set_io_throttle"), ==, 0);
}

static const char *throttle_of(const Troupe *t, unsigned i)
{
    const LedgerGroup *g = ledger_find(t->domain->ledger, "web1", disk_name(t->disk[i]));

    return g ? g->throttle : NULL;
}

/* Takes the next limits, which must be for this disk. */
static void take_limits(Troupe *t, unsigned i)
{
    QmpPeerCommand *set = qmp_peer_expect(t->peer, "block_set_io_throttle");
    json_object *id;

    g_assert_true(json_object_object_get_ex(set->args, "id", &id));
    g_assert_nonnull(strstr(json_object_get_string(id), disk_name(t->disk[i])));
    fake_vm_take_throttle(t->vm, disk_name(t->disk[i]), set);
    event_wait_idle(t->domain->event);
}

static void test_slow_guest(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    take_limits(t, 1);
    g_assert_null(throttle_of(t, 0));
    g_assert_nonnull(throttle_of(t, 1));
    troupe_move(t, 1, "ready");
    take_limits(t, 1);
    g_assert_null(throttle_of(t, 1));
    g_assert_cmpuint(domain_count(t->domain, "jobs-ready"), ==, 1);
}

/* The end needs an instant when all is copied, on each disk. */
static void test_slow_guest_to_the_end(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_SLOW_GUEST, 2);
    g_ptr_array_set_size(t->domain->news, 0);
    troupe_call_pivot(t);
    troupe_expect(t, "job-complete");
    troupe_accept_all(t);
    for (unsigned i = 0; i < t->n; i++)
        take_limits(t, i);
    for (unsigned i = 0; i < t->n; i++) {
        troupe_move(t, i, "pending");
        take_limits(t, i);
        g_assert_null(throttle_of(t, i));
    }
    troupe_complete_all(t);
    troupe_check_ends(t, "vda=completed vdb=completed");
}

static void test_slow_guest_after_restart(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    take_limits(t, 1);
    troupe_restart(t);
    event_wait_idle(t->domain->event);
    g_assert_nonnull(throttle_of(t, 1));
    troupe_move(t, 1, "ready");
    take_limits(t, 1);
    g_assert_null(throttle_of(t, 0));
    g_assert_null(throttle_of(t, 1));
}

/* What is cancelled does not need it any more; what is ready is on its way to its end now. */
static void test_slow_guest_aborted(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    start_late(t, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    take_limits(t, 1);
    troupe_call_abort(t);
    troupe_expect(t, "block-job-cancel");
    troupe_accept_all(t);
    take_limits(t, 0);
    take_limits(t, 1);
    g_assert_nonnull(throttle_of(t, 0));
    g_assert_null(throttle_of(t, 1));
    troupe_conclude(t, 1, "Operation canceled", 3);
    troupe_move(t, 0, "pending");
    troupe_expect_one(t, 0, "job-cancel");
    take_limits(t, 0);
    g_assert_null(throttle_of(t, 0));
    troupe_conclude(t, 0, "Operation canceled", 3);
    troupe_check_ends(t, "vdb=cancelled vda=kept");
}

static void check_refused(Troupe *t, const CommitOptions *options, RefusalKind kind,
                          const char *named)
{
    troupe_call_commit(t, options);
    domain_check_answer(t->domain, t->request, kind);
    g_assert_nonnull(strstr(t->request->text, named));
    g_assert_cmpuint(troupe_count(t, "block-commit"), ==, 0);
}

static void test_below_active(void)
{
    g_autoptr(Troupe) t = troupe_new(2);

    check_refused(t, &(CommitOptions){.deadline_usec = 1}, REFUSAL_INVALID_ARGS, "deadline-usec");
}

/* Each of the two would slow the other one down. */
static void test_shared_throttle(void)
{
    g_autoptr(Troupe) t = troupe_new(2);
    const CommitOptions options = late(JOB_ON_DEADLINE_SLOW_GUEST);

    for (unsigned i = 0; i < t->n; i++)
        fake_vm_set_throttle(t->vm, disk_name(t->disk[i]), FAKE_NO_LIMITS ", 'group': 'g'");
    check_refused(t, &options, REFUSAL_NOT_SUPPORTED, "slow-guest");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-deadline/cancel/one-is-late", test_cancel);
    g_test_add_func("/group-deadline/cancel/none-is-ready", test_cancel_none_is_ready);
    g_test_add_func("/group-deadline/cancel/all-are-ready", test_cancel_all_are_ready);
    g_test_add_func("/group-deadline/cancel/doomed", test_cancel_of_doomed);
    g_test_add_func("/group-deadline/cancel/after-restart", test_cancel_after_restart);
    g_test_add_func("/group-deadline/keep-waiting", test_keep_waiting);
    g_test_add_func("/group-deadline/slow-guest/late-disk-only", test_slow_guest);
    g_test_add_func("/group-deadline/slow-guest/to-the-end", test_slow_guest_to_the_end);
    g_test_add_func("/group-deadline/slow-guest/after-restart", test_slow_guest_after_restart);
    g_test_add_func("/group-deadline/slow-guest/aborted", test_slow_guest_aborted);
    g_test_add_func("/group-deadline/below-active", test_below_active);
    g_test_add_func("/group-deadline/shared-throttle", test_shared_throttle);
    return g_test_run();
}
