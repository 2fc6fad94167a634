/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMs and their disks as QEMU shows them: what comes and goes, what one VM can do to another, a
 * second monitor, detaching, limits.
 */
#include <glib.h>
#include <stdbool.h>

#include "commit.h"
#include "event-wait.h"
#include "play.h"

/* States of a guest that resets without pause. */
#define STATE_FLOOD 5000
#define STATE_READINGS_MAX 100

static void touch(Play *p)
{
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    event_wait_idle(p->domain->event);
}

static void test_plug_and_unplug(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_disk(p->vm, "vdb", "data");
    touch(p);
    domain_check_news(p->domain, "disk-added vdb");
    fake_vm_set_disk(p->vm, "vdb", NULL);
    touch(p);
    domain_check_news(p->domain, "disk-removed vdb");
}

/* QEMU has no event for a snapshot or a hotplug of others: it is asked. */
static void test_change_without_event(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_disk(p->vm, "vda", "new " PLAY_CHAIN);
    domain_wait(p->domain, "disk-changed");
    g_assert_cmpuint(disk_chain(p->disk)->n, ==, 4);
}

static void test_medium(void)
{
    g_autoptr(Play) p = play_new("");

    g_assert_cmpuint(disk_chain(p->disk)->n, ==, 0);
    g_assert_cmpuint(disk_size(p->disk), ==, 0);
    fake_vm_set_disk(p->vm, "vda", "cd");
    touch(p);
    domain_check_news(p->domain, "disk-changed vda");
    g_assert_cmpuint(disk_size(p->disk), >, 0);
    touch(p);
    domain_check_quiet(p->domain);
}

/* The device goes, its job goes on: the disk stays to tell the end. */
static void test_unplug_with_job(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    play_start_ready(p);
    fake_vm_set_disk(p->vm, "vda", NULL);
    touch(p);
    domain_check_quiet(p->domain);
    g_assert_true(disk_is_gone(p->disk));

    fake_vm_move(p->vm, "concluded");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
    fake_vm_move(p->vm, NULL);
    qmp_peer_reply(p->peer, c, "{}");
    domain_wait(p->domain, "disk-removed");
}

static void test_run_state(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    qmp_peer_answer(p->peer, "query-status", "{'status': 'paused', 'running': false}");
    qmp_peer_event(p->peer, "STOP", NULL);
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "vm-changed web1 paused");
    qmp_peer_event(p->peer, "STOP", NULL);
    domain_check_quiet(p->domain);
}

static void test_flood_of_states(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(GString) events = g_string_new("");
    unsigned before = qmp_peer_count(p->peer, "query-status");

    for (unsigned i = 0; i < STATE_FLOOD; i++)
        g_string_append(events, "{\"event\": \"RESET\", \"data\": {\"guest\": true}}\r\n");
    qmp_peer_send(p->peer, events->str, events->len);
    domain_check_quiet(p->domain);
    g_assert_cmpuint(qmp_peer_count(p->peer, "query-status") - before, <=, STATE_READINGS_MAX);
    play_start_ready(p);
}

/* What one VM says, true or not, is no business of another. */
static void test_liar_harms_nobody(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) liar = fake_vm_new(p->domain->event, "web2");

    fake_vm_set_disk(liar, "vda", "other under");
    (void)domain_attach_vm(p->domain, liar, "web2");
    domain_check_news(p->domain, "vm-added web2, disk-added vda");
    play_start(p, true);

    qmp_peer_answer(fake_vm_peer(liar), "query-named-block-nodes", "[{'node-name': []}]");
    qmp_peer_event(fake_vm_peer(liar), "DEVICE_TRAY_MOVED", NULL);
    domain_wait(p->domain, "vm-removed");
    domain_check_news(p->domain, "disk-removed vda, vm-removed web2");
    event_wait_idle(p->domain->event);
    g_assert_true(qmp_peer_is_alone(fake_vm_peer(liar)));
    play_ready(p);
}

/* QEMU dials in twice: one of the two speaks for the VM, the other does and says nothing. */
static void test_second_monitor(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) second = fake_vm_new(p->domain->event, "web1");
    QmpPeerCommand *c;

    fake_vm_set_disk(second, "vda", PLAY_CHAIN);
    g_assert_cmpint(manager_accept(p->domain->manager, qmp_peer_take_fd(fake_vm_peer(second))), >=,
                    0);
    qmp_peer_greet(fake_vm_peer(second));
    domain_check_quiet(p->domain);

    /* Both see the job, from its start to its end. */
    play_start(p, true);
    fake_vm_set_job(second, fake_vm_job_id(p->vm), "running", false);
    fake_vm_move(second, "running");
    qmp_peer_event(fake_vm_peer(second), "DEVICE_TRAY_MOVED", NULL);
    domain_check_quiet(p->domain);
    fake_vm_move(second, "ready");
    domain_check_quiet(p->domain);
    play_ready(p);
    c = play_hold(p, play_ask_pivot(p));
    fake_vm_move(second, "pending");
    domain_check_news(p->domain, "job-changed vda pivoting");
    domain_check_quiet(p->domain);
    fake_vm_set_disk(second, "vda", "base");
    fake_vm_move(second, "concluded");
    play_dismiss(p, play_conclude(p, c, "base"));
    domain_check_news(p->domain, "disk-changed vda, job-finished vda completed");
    g_assert_cmpuint(qmp_peer_count(fake_vm_peer(second), "job-finalize"), ==, 0);
    g_assert_cmpuint(qmp_peer_count(fake_vm_peer(second), "job-dismiss"), ==, 0);

    qmp_peer_hang_up(fake_vm_peer(second));
    domain_check_quiet(p->domain);
}

/* The connection breaks, QEMU lives and dials again: its job is there, and can be ended. */
static void test_dials_again_with_job(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) again = fake_vm_new(p->domain->event, "web1");
    QmpPeerCommand *c;
    Request *pivot;

    play_start_ready(p);
    fake_vm_set_disk(again, "vda", PLAY_CHAIN);
    fake_vm_set_job(again, fake_vm_job_id(p->vm), "ready", false);
    qmp_peer_hang_up(p->peer);
    domain_wait(p->domain, "vm-removed");
    domain_check_news(p->domain, "job-finished vda lost, disk-removed vda, vm-removed web1");

    (void)domain_add_vm(p->domain, again);
    domain_wait(p->domain, "vm-added");
    event_wait_idle(p->domain->event);
    pivot = domain_pivot(p->domain, domain_disk(p->domain, "web1", "vda"));
    c = qmp_peer_expect(fake_vm_peer(again), "job-complete");
    qmp_peer_reply(fake_vm_peer(again), c, "{}");
    domain_check_answer(p->domain, pivot, REFUSAL_NONE);
    fake_vm_move(again, "pending");
    c = qmp_peer_expect(fake_vm_peer(again), "job-finalize");
    fake_vm_set_disk(again, "vda", "base");
    fake_vm_move(again, "concluded");
    qmp_peer_reply(fake_vm_peer(again), c, "{}");
    domain_wait(p->domain, "job-finished vda completed");
}

static void test_detach_dialled_in(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    domain_check_answer(p->domain,
                        domain_detach(p->domain, manager_find_vm(p->domain->manager, "web1")),
                        REFUSAL_NOT_SUPPORTED);
    domain_check_quiet(p->domain);
}

/* An attached VM with a disk, beside the one that has dialled in. */
static FakeVm *attach(Play *p)
{
    FakeVm *f = fake_vm_new(p->domain->event, "web2");

    fake_vm_set_disk(f, "sda", "other under");
    (void)domain_attach_vm(p->domain, f, "web2");
    domain_check_news(p->domain, "vm-added web2, disk-added sda");
    return f;
}

/* The VM that has dialled in is brought once more: its jobs must not be driven twice. */
static void test_attach_twin(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) twin = fake_vm_new(p->domain->event, "web1");
    Request *r;

    fake_vm_set_disk(twin, "vda", PLAY_CHAIN);
    r = domain_attach(p->domain, "web2", qmp_peer_take_fd(fake_vm_peer(twin)), 0);
    qmp_peer_greet(fake_vm_peer(twin));
    domain_check_answer(p->domain, r, REFUSAL_INVALID_ARGS);
    g_assert_nonnull(strstr(r->text, "'web1'"));
    domain_check_quiet(p->domain);
    event_wait_idle(p->domain->event);
    g_assert_true(qmp_peer_is_alone(fake_vm_peer(twin)));
    play_start_ready(p);
}

static Request *detach(Play *p)
{
    return domain_detach(p->domain, manager_find_vm(p->domain->manager, "web2"));
}

static void test_detach(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) f = attach(p);

    domain_check_answer(p->domain, detach(p), REFUSAL_NONE);
    domain_check_news(p->domain, "disk-removed sda, vm-removed web2");
    event_wait_idle(p->domain->event);
    g_assert_true(qmp_peer_is_alone(fake_vm_peer(f)));
}

static void test_detach_with_job(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) f = attach(p);
    Disk *disk = domain_disk(p->domain, "web2", "sda");
    Request *commit = domain_commit(p->domain, disk, true);
    QmpPeerCommand *c = qmp_peer_expect(fake_vm_peer(f), "block-commit");

    /* On its way already. */
    domain_check_answer(p->domain, detach(p), REFUSAL_JOB_EXISTS);
    fake_vm_add_job(f, c, "running");
    qmp_peer_reply(fake_vm_peer(f), c, "{}");
    domain_check_answer(p->domain, commit, REFUSAL_NONE);
    domain_wait(p->domain, "job-started");
    domain_check_answer(p->domain, detach(p), REFUSAL_JOB_EXISTS);

    fake_vm_set_error(f, "Operation canceled");
    fake_vm_move(f, "concluded");
    domain_wait(p->domain, "job-finished");
    domain_check_answer(p->domain, detach(p), REFUSAL_NONE);
}

/* Nothing has been started yet, and nothing will be. */
static void test_detach_before_start(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    g_autoptr(FakeVm) f = attach(p);
    Request *commit;

    qmp_peer_let_wait(fake_vm_peer(f), "query-block");
    commit = domain_commit(p->domain, domain_disk(p->domain, "web2", "sda"), true);
    (void)qmp_peer_expect(fake_vm_peer(f), "query-block");
    domain_check_answer(p->domain, detach(p), REFUSAL_NONE);
    domain_check_answer(p->domain, commit, REFUSAL_DISCONNECTED);
    g_assert_cmpuint(qmp_peer_count(fake_vm_peer(f), "block-commit"), ==, 0);
}

static void add_disks(FakeVm *f, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *id = g_strdup_printf("d%u", i);
        g_autofree char *nodes = g_strdup_printf("top%u base%u", i, i);

        fake_vm_set_disk(f, id, nodes);
    }
}

static void test_too_many_jobs(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    add_disks(p->vm, VM_JOBS_MAX);
    touch(p);
    for (unsigned i = 0; i < VM_JOBS_MAX; i++) {
        g_autofree char *id = g_strdup_printf("d%u", i);
        QmpPeerCommand *c;

        p->request = domain_commit(p->domain, domain_disk(p->domain, "web1", id), true);
        c = qmp_peer_expect(p->peer, "block-commit");
        fake_vm_add_job(p->vm, c, "running");
        qmp_peer_reply(p->peer, c, "{}");
        domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    }
    domain_check_answer(p->domain, domain_commit(p->domain, p->disk, true), REFUSAL_LIMIT_EXCEEDED);

    /* One ends, and there is room again. */
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    p->request = domain_commit(p->domain, p->disk, true);
    (void)qmp_peer_expect(p->peer, "block-commit");
}

static void test_too_many_disks(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    add_disks(p->vm, VM_DISKS_MAX + 10);
    touch(p);
    g_assert_cmpuint(vm_count_disks(disk_vm(p->disk)), ==, VM_DISKS_MAX);
    g_assert_cmpuint(domain_count(p->domain, "disk-added"), ==, VM_DISKS_MAX - 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vm/plug-and-unplug", test_plug_and_unplug);
    g_test_add_func("/vm/change-without-event", test_change_without_event);
    g_test_add_func("/vm/medium", test_medium);
    g_test_add_func("/vm/unplug-with-job", test_unplug_with_job);
    g_test_add_func("/vm/run-state", test_run_state);
    g_test_add_func("/vm/flood-of-states", test_flood_of_states);
    g_test_add_func("/vm/liar-harms-nobody", test_liar_harms_nobody);
    g_test_add_func("/vm/second-monitor-is-quiet", test_second_monitor);
    g_test_add_func("/vm/dials-again-with-job", test_dials_again_with_job);
    g_test_add_func("/vm/detach-dialled-in", test_detach_dialled_in);
    g_test_add_func("/vm/attach-twin", test_attach_twin);
    g_test_add_func("/vm/detach", test_detach);
    g_test_add_func("/vm/detach-with-job", test_detach_with_job);
    g_test_add_func("/vm/detach-before-start", test_detach_before_start);
    g_test_add_func("/vm/too-many-jobs", test_too_many_jobs);
    g_test_add_func("/vm/too-many-disks", test_too_many_disks);
    return g_test_run();
}
