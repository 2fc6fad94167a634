/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A deadline, and what is done at it: nothing, a cancel, or a guest that is slowed down. The user's
 * own limits are on record before they are touched, and come back in whatever order things happen.
 */
#include <glib.h>
#include <glib/gstdio.h>
#include <stdbool.h>
#include <string.h>

#include "commit.h"
#include "commit-options.h"
#include "event-wait.h"
#include "play.h"
#include "process.h"
#include "slowdown.h"

#define MIB (UINT64_C(1024) * 1024)
#define OWN "'bps': 0, 'bps_rd': 7, 'bps_wr': 0, 'iops': 0, 'iops_rd': 0, 'iops_wr': 0"

static Request *commit_with(Play *p, const CommitOptions *options)
{
    p->request = domain_request(p->domain);
    disk_commit(p->disk, options, /* uid= */ 1000, domain_done, p->request);
    return p->request;
}

/* The job runs. */
static void start(Play *p, JobOnDeadline choice, uint64_t deadline_usec)
{
    (void)commit_with(p, &(CommitOptions){.active = true,
                                          .deadline_usec = deadline_usec,
                                          .on_deadline = {choice, true}});
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "block-commit");

    fake_vm_add_job(p->vm, c, "running");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(domain_count(p->domain, "job-started vda"), ==, 1);
    g_ptr_array_remove_index(p->domain->news, 0);
}

static uint64_t number(const QmpPeerCommand *c, const char *key)
{
    json_object *value;

    g_assert_true(json_object_object_get_ex(c->args, key, &value));
    return json_object_get_uint64(value);
}

static const char *record(const Play *p)
{
    return ledger_find(p->domain->ledger, "web1", "vda")->throttle;
}

/* The next command sets such limits, and the record of the user's is written. */
static void expect_slowed(Play *p, uint64_t bytes)
{
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "block_set_io_throttle");

    g_assert_cmpuint(number(c, "bps_wr"), ==, bytes);
    g_assert_cmpuint(number(c, "iops_wr"), ==, slowdown_operations(bytes));
    g_assert_cmpuint(number(c, "bps_rd"), ==, 7);
    g_assert_nonnull(record(p));
    g_assert_true(commit_is_slowing(disk_job(p->disk)));
    fake_vm_take_throttle(p->vm, "vda", c);
    event_wait_idle(p->domain->event);
}

static void expect_lifted(Play *p)
{
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "block_set_io_throttle");

    g_assert_cmpuint(number(c, "bps_wr"), ==, 0);
    g_assert_cmpuint(number(c, "iops_wr"), ==, 0);
    g_assert_cmpuint(number(c, "bps_rd"), ==, 7);
    g_assert_nonnull(record(p));
    fake_vm_take_throttle(p->vm, "vda", c);
    event_wait_idle(p->domain->event);
    g_assert_null(record(p));
}

static Play *slow(uint64_t bytes)
{
    Play *p = play_new(PLAY_CHAIN);

    fake_vm_set_throttle(p->vm, "vda", OWN);
    start(p, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    expect_slowed(p, bytes);
    return p;
}

/* Nothing is copied: each step halves. */
static void test_steps(void)
{
    g_autoptr(Play) p = slow(SLOWDOWN_START);

    expect_slowed(p, SLOWDOWN_START / 2);
    expect_slowed(p, SLOWDOWN_START / 4);
    fake_vm_move(p->vm, "ready");
    expect_lifted(p);
    g_assert_false(commit_is_slowing(disk_job(p->disk)));
    /* The end needs an instant when all is copied, too. */
    p->request = domain_pivot(p->domain, p->disk);
    expect_slowed(p, SLOWDOWN_START / 4);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-complete"), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_move(p->vm, "pending");
    /* The guest waits for this one. */
    QmpPeerCommand *finalize = qmp_peer_expect(p->peer, "job-finalize");
    expect_lifted(p);
    play_dismiss(p, play_conclude(p, finalize, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* Ready, and the end has been asked for: the guest is slowed down for that, and it does not help.
 */
static Play *slow_to_the_end(void)
{
    Play *p = slow(SLOWDOWN_START);

    fake_vm_move(p->vm, "ready");
    expect_lifted(p);
    p->request = domain_pivot(p->domain, p->disk);
    expect_slowed(p, SLOWDOWN_START);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-complete"), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    return p;
}

static bool is_stopped_on_record(const Play *p)
{
    return record(p) && g_str_has_prefix(record(p), "stopped ");
}

/* So it is stopped, for no longer than until the job is at the barrier. */
static void test_standstill(void)
{
    g_autoptr(Play) p = slow_to_the_end();
    QmpPeerCommand *stop = qmp_peer_expect(p->peer, "stop"), *cont, *finalize;

    g_assert_true(is_stopped_on_record(p));
    qmp_peer_reply(p->peer, stop, "{}");
    fake_vm_move(p->vm, "pending");
    cont = qmp_peer_expect(p->peer, "cont");
    finalize = qmp_peer_expect(p->peer, "job-finalize");
    /* Until QEMU has said so, a successor would have to do it. */
    g_assert_true(is_stopped_on_record(p));
    qmp_peer_reply(p->peer, cont, "{}");
    expect_lifted(p);
    play_dismiss(p, play_conclude(p, finalize, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "stop"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "cont"), ==, 1);
}

/* A blink that was not enough ends all the same. */
static void test_standstill_in_vain(void)
{
    g_autoptr(Play) p = slow_to_the_end();

    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "stop"), "{}");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "cont"), "{}");
    event_wait_idle(p->domain->event);
    g_assert_false(is_stopped_on_record(p));
    g_assert_nonnull(record(p));
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "stop"), "{}");
}

/* QEMU refuses to let it go on, for the time being. */
static void test_standstill_cont_refused(void)
{
    g_autoptr(Play) p = slow_to_the_end();
    QmpPeerCommand *finalize, *cont;

    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "stop"), "{}");
    fake_vm_move(p->vm, "pending");
    cont = qmp_peer_expect(p->peer, "cont");
    finalize = qmp_peer_expect(p->peer, "job-finalize");
    qmp_peer_reply_error(p->peer, cont, "GenericError", "There is a dump in process");
    cont = qmp_peer_expect(p->peer, "cont");
    g_assert_true(is_stopped_on_record(p));
    qmp_peer_reply(p->peer, cont, "{}");
    expect_lifted(p);
    play_dismiss(p, play_conclude(p, finalize, "base"));
}

/* What is under way on all disks may take QEMU long: the second is for the guest's standing still.
 */
static void test_standstill_slow_to_begin(void)
{
    g_autoptr(Play) p = slow_to_the_end();
    QmpPeerCommand *stop = qmp_peer_expect(p->peer, "stop");

    fake_vm_move(p->vm, "pending");
    QmpPeerCommand *finalize = qmp_peer_expect(p->peer, "job-finalize");

    g_assert_cmpuint(qmp_peer_count(p->peer, "cont"), ==, 0);
    qmp_peer_reply(p->peer, stop, "{}");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "cont"), "{}");
    expect_lifted(p);
    play_dismiss(p, play_conclude(p, finalize, "base"));
}

/* The guest of somebody who has stopped it stays as it is. */
static void test_standstill_of_stopped(void)
{
    g_autoptr(Play) p = slow_to_the_end();

    qmp_peer_answer(p->peer, "query-status", "{'status': 'paused', 'running': false}");
    qmp_peer_event(p->peer, "STOP", NULL);
    expect_slowed(p, SLOWDOWN_START / 2);
    g_assert_cmpuint(qmp_peer_count(p->peer, "stop"), ==, 0);
}

/* The daemon dies meanwhile: its successor lets the guest go on first of all. */
static void test_standstill_recalled(void)
{
    g_autoptr(Play) p = slow_to_the_end();

    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "stop"), "{}");
    play_restart(p);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "cont"), "{}");
    event_wait_idle(p->domain->event);
    g_assert_false(is_stopped_on_record(p));
    g_assert_nonnull(record(p));
}

/* The daemon is told to stop. */
static void test_standstill_service_stops(void)
{
    g_autoptr(Play) p = slow_to_the_end();

    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "stop"), "{}");
    g_assert_false(manager_restore_guests(p->domain->manager));
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "cont"), "{}");
    expect_lifted(p);
    g_assert_true(manager_restore_guests(p->domain->manager));
}

/* QEMU takes a total, or limits for reads and writes: a total of the user's becomes two, and comes
 * back as it was. */
static void test_total(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_throttle(p->vm, "vda",
                         "'bps': 1000000, 'bps_rd': 0, 'bps_wr': 0, 'iops': 5, 'iops_rd': 0, "
                         "'iops_wr': 0, 'bps_max': 2000000, 'bps_max_length': 3, 'group': 'g'");
    start(p, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    c = qmp_peer_expect(p->peer, "block_set_io_throttle");
    g_assert_cmpuint(number(c, "bps"), ==, 0);
    g_assert_cmpuint(number(c, "bps_rd"), ==, 1000000);
    g_assert_cmpuint(number(c, "bps_rd_max"), ==, 2000000);
    g_assert_cmpuint(number(c, "bps_rd_max_length"), ==, 3);
    g_assert_cmpuint(number(c, "bps_wr"), ==, 1000000);
    g_assert_cmpuint(number(c, "iops"), ==, 0);
    g_assert_cmpuint(number(c, "iops_rd"), ==, 5);
    g_assert_cmpuint(number(c, "iops_wr"), ==, 5);
    g_assert_false(json_object_object_get_ex(c->args, "bps_wr_max", NULL));
    g_assert_false(json_object_object_get_ex(c->args, "bps_max", NULL));
    fake_vm_take_throttle(p->vm, "vda", c);
    fake_vm_move(p->vm, "ready");
    c = qmp_peer_expect(p->peer, "block_set_io_throttle");
    g_assert_cmpuint(number(c, "bps"), ==, 1000000);
    g_assert_cmpuint(number(c, "bps_max"), ==, 2000000);
    g_assert_cmpuint(number(c, "bps_max_length"), ==, 3);
    g_assert_cmpuint(number(c, "bps_wr"), ==, 0);
    g_assert_cmpuint(number(c, "iops"), ==, 5);
    fake_vm_take_throttle(p->vm, "vda", c);
    event_wait_idle(p->domain->event);
    g_assert_null(record(p));
}

static void test_abort(void)
{
    g_autoptr(Play) p = slow(SLOWDOWN_START);
    QmpPeerCommand *c;

    p->request = domain_abort(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "block-job-cancel");
    qmp_peer_reply(p->peer, c, "{}");
    expect_lifted(p);
}

static bool is_unrecorded(gpointer play)
{
    return !record(play);
}

static void wait_unrecorded(Play *p)
{
    event_wait_until(p->domain->event, "a record that is gone", is_unrecorded, p);
}

static void test_limits_of_others(gconstpointer when)
{
    const bool ready = strcmp(when, "ready") == 0;
    g_autoptr(Play) p = slow(SLOWDOWN_START);

    fake_vm_set_throttle(p->vm, "vda",
                         "'bps': 9, 'bps_rd': 0, 'bps_wr': 0, 'iops': 0, "
                         "'iops_rd': 0, 'iops_wr': 0");
    if (ready)
        fake_vm_move(p->vm, "ready");
    wait_unrecorded(p);
    g_assert_false(commit_is_slowing(disk_job(p->disk)));
    if (!ready)
        play_ready(p);
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block_set_io_throttle"), ==, 1);
}

/* QEMU refuses: the commit waits on, and nothing is left on record. */
static void test_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    start(p, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "block_set_io_throttle"), "GenericError",
                         "no");
    wait_unrecorded(p);
    fake_vm_move(p->vm, "ready");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(domain_count(p->domain, "job-ready"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block_set_io_throttle"), ==, 1);
}

/* Without a record the guest is left alone. */
static void test_no_record(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    unsigned asked;

    start(p, JOB_ON_DEADLINE_SLOW_GUEST, 1000000);
    g_free(process_run("rm", "-r", p->domain->directory, NULL));
    asked = qmp_peer_count(p->peer, "query-block");
    while (qmp_peer_count(p->peer, "query-block") == asked)
        g_assert_cmpint(sd_event_run(p->domain->event, UINT64_MAX), >=, 0);
    event_wait_idle(p->domain->event);
    play_ready(p);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block_set_io_throttle"), ==, 0);
    g_assert_cmpint(g_mkdir(p->domain->directory, 0700), ==, 0);
}

/* QEMU's answer to the limits has not come when the job is ready: they are lifted after it. */
static void test_ready_meanwhile(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_throttle(p->vm, "vda", OWN);
    start(p, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    c = qmp_peer_expect(p->peer, "block_set_io_throttle");
    fake_vm_move(p->vm, "ready");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block_set_io_throttle"), ==, 1);
    fake_vm_take_throttle(p->vm, "vda", c);
    expect_lifted(p);
}

/* QEMU loses its connection and comes back, as after a restart of the service: what is on record is
 * lifted where no job wants it. */
static void test_recalled(void)
{
    g_autoptr(Play) p = slow(SLOWDOWN_START);
    FakeVm *again = fake_vm_new(p->domain->event, "web1");

    qmp_peer_hang_up(p->peer);
    domain_wait(p->domain, "vm-removed");
    g_assert_nonnull(record(p));
    fake_vm_free(p->vm);
    p->vm = again;
    p->peer = fake_vm_peer(again);
    fake_vm_set_disk(again, "vda", PLAY_CHAIN);
    fake_vm_set_throttle(again, "vda",
                         "'bps': 0, 'bps_rd': 7, 'bps_wr': 65536, 'iops': 0, 'iops_rd': 0, "
                         "'iops_wr': 1");
    domain_add_vm(p->domain, again);
    expect_lifted(p);
}

/* It takes nothing with it that slows the guest down, and its successor begins again. */
static void test_service_stops(void)
{
    g_autoptr(Play) p = slow(SLOWDOWN_START);

    g_assert_false(manager_restore_guests(p->domain->manager));
    expect_lifted(p);
    g_assert_true(manager_restore_guests(p->domain->manager));
    g_assert_false(commit_is_slowing(disk_job(p->disk)));
    play_restart(p);
    expect_slowed(p, SLOWDOWN_START);
}

/* QEMU has not answered to the limits yet. */
static void test_service_stops_meanwhile(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_throttle(p->vm, "vda", OWN);
    start(p, JOB_ON_DEADLINE_SLOW_GUEST, 1);
    c = qmp_peer_expect(p->peer, "block_set_io_throttle");
    g_assert_false(manager_restore_guests(p->domain->manager));
    fake_vm_take_throttle(p->vm, "vda", c);
    expect_lifted(p);
    g_assert_true(manager_restore_guests(p->domain->manager));
}

static void test_unplugged(void)
{
    g_autoptr(Play) p = slow(SLOWDOWN_START);

    fake_vm_set_disk(p->vm, "vda", NULL);
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    domain_wait(p->domain, "disk-removed vda");
    g_assert_null(record(p));
}

static void test_cancel(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    start(p, JOB_ON_DEADLINE_CANCEL, 1);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-cancel"), "{}");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    domain_check_news(p->domain, "job-changed vda aborting, job-finished vda cancelled");
    g_assert_nonnull(strstr(disk_last_job(p->disk)->message, "deadline"));
}

/* A refusal does not lift the deadline. */
static void test_cancel_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    start(p, JOB_ON_DEADLINE_CANCEL, 1);
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "job-cancel"), "GenericError", "no");
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-cancel"), "{}");
}

/* Ready at the deadline, though nobody has seen that yet: nothing is cancelled. */
static void test_ready_unseen(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    start(p, JOB_ON_DEADLINE_CANCEL, 300000);
    fake_vm_set_status(p->vm, "ready");
    domain_wait(p->domain, "job-ready");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-cancel"), ==, 0);
}

static void test_keep_waiting(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    start(p, JOB_ON_DEADLINE_KEEP_WAITING, 1);
    domain_check_quiet(p->domain);
    play_ready(p);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block_set_io_throttle"), ==, 0);
}

/* The deadline is in QEMU's id of the job, for whoever takes it up. */
static void test_taken_up(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_job(p->vm,
                    "vmdisk-commit-active-ro-wait-report-carry-1000-7-0-8-cancel-vda-top-base",
                    "running", false);
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "job-cancel"), "{}");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_nonnull(strstr(disk_last_job(p->disk)->message, "deadline"));
}

typedef struct Wrong {
    CommitOptions options;
    RefusalKind kind;
    const char *named;
} Wrong;

static const Wrong wrong[] = {
    {{.deadline_usec = 1}, REFUSAL_INVALID_ARGS, "deadline-usec"},
    {{.active = true, .on_deadline = {JOB_ON_DEADLINE_CANCEL, true}},
     REFUSAL_INVALID_ARGS,
     "on-deadline"},
    {{.active = true, .on_deadline = {JOB_ON_DEADLINE_KEEP_WAITING, true}},
     REFUSAL_INVALID_ARGS,
     "on-deadline"},
    {{.active = true, .deadline_usec = COMMIT_DEADLINE_MAX_USEC + 1},
     REFUSAL_INVALID_ARGS,
     "deadline-usec"},
    {{.active = true, .deadline_usec = UINT64_MAX}, REFUSAL_INVALID_ARGS, "deadline-usec"},
};

static void test_contradictions(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        Request *r = commit_with(p, &wrong[i].options);

        domain_check_answer(p->domain, r, wrong[i].kind);
        g_assert_nonnull(strstr(r->text, wrong[i].named));
    }
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
}

static const CommitOptions slow_guest = {
    .active = true, .deadline_usec = 1, .on_deadline = {JOB_ON_DEADLINE_SLOW_GUEST, true}};

static void check_not_supported(Play *p)
{
    Request *r = commit_with(p, &slow_guest);

    domain_check_answer(p->domain, r, REFUSAL_NOT_SUPPORTED);
    g_assert_nonnull(strstr(r->text, "slow-guest"));
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
}

/* A storage daemon's. */
static void test_no_device(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(FakeVm) f = fake_vm_new(d->event, NULL);
    Play p = {.domain = d, .vm = f, .peer = fake_vm_peer(f)};

    fake_vm_set_chain(f, "chain", "top base");
    p.disk = vm_next_disk(domain_add_vm(d, f), NULL);
    check_not_supported(&p);
}

static void test_shared_group(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_disk(p->vm, "vdb", "b");
    fake_vm_set_throttle(p->vm, "vda", OWN ", 'group': 'g'");
    fake_vm_set_throttle(p->vm, "vdb", OWN ", 'group': 'g'");
    check_not_supported(p);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-deadline/slow-guest/steps", test_steps);
    g_test_add_func("/commit-deadline/slow-guest/standstill/once", test_standstill);
    g_test_add_func("/commit-deadline/slow-guest/standstill/in-vain", test_standstill_in_vain);
    g_test_add_func("/commit-deadline/slow-guest/standstill/cont-refused",
                    test_standstill_cont_refused);
    g_test_add_func("/commit-deadline/slow-guest/standstill/slow-to-begin",
                    test_standstill_slow_to_begin);
    g_test_add_func("/commit-deadline/slow-guest/standstill/of-stopped",
                    test_standstill_of_stopped);
    g_test_add_func("/commit-deadline/slow-guest/standstill/recalled", test_standstill_recalled);
    g_test_add_func("/commit-deadline/slow-guest/standstill/service-stops",
                    test_standstill_service_stops);
    g_test_add_func("/commit-deadline/slow-guest/total", test_total);
    g_test_add_func("/commit-deadline/slow-guest/abort", test_abort);
    g_test_add_data_func("/commit-deadline/slow-guest/limits-of-others-when-running", "running",
                         test_limits_of_others);
    g_test_add_data_func("/commit-deadline/slow-guest/limits-of-others-when-ready", "ready",
                         test_limits_of_others);
    g_test_add_func("/commit-deadline/slow-guest/refused", test_refused);
    g_test_add_func("/commit-deadline/slow-guest/no-record", test_no_record);
    g_test_add_func("/commit-deadline/slow-guest/ready-meanwhile", test_ready_meanwhile);
    g_test_add_func("/commit-deadline/slow-guest/recalled", test_recalled);
    g_test_add_func("/commit-deadline/slow-guest/service-stops", test_service_stops);
    g_test_add_func("/commit-deadline/slow-guest/service-stops-meanwhile",
                    test_service_stops_meanwhile);
    g_test_add_func("/commit-deadline/slow-guest/unplugged", test_unplugged);
    g_test_add_func("/commit-deadline/slow-guest/no-device", test_no_device);
    g_test_add_func("/commit-deadline/slow-guest/shared-group", test_shared_group);
    g_test_add_func("/commit-deadline/cancel", test_cancel);
    g_test_add_func("/commit-deadline/cancel-refused", test_cancel_refused);
    g_test_add_func("/commit-deadline/ready-unseen", test_ready_unseen);
    g_test_add_func("/commit-deadline/keep-waiting", test_keep_waiting);
    g_test_add_func("/commit-deadline/taken-up", test_taken_up);
    g_test_add_func("/commit-deadline/contradictions", test_contradictions);
    return g_test_run();
}
