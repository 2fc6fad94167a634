/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of one VM that are committed together, while the service or a device goes away: killed in
 * each state of the group, and a disk unplugged. Each step in between: tests/fault.
 */
#include <string.h>

#include "crew.h"
#include "properties.h"
#include "wait.h"

static void kill_daemon(Crew *c)
{
    daemon_kill(c->rig->daemon);
    recorder_wait_owner(c->recorder, false);
}

static void start_daemon(Crew *c)
{
    daemon_start(c->rig->daemon);
    rig_wait_daemon(c->rig);
    for (unsigned i = 0; i < c->disks; i++) {
        char id[] = {'v', 'd', (char)('a' + i), '\0'};

        g_free(rig_wait_disk(c->rig, "web1", id));
    }
}

static void restart_daemon(Crew *c)
{
    kill_daemon(c);
    start_daemon(c);
}

static void test_restart_while_running(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .oddity = ODDITY_SLOW});
    const unsigned from = crew_commit(c);
    const char *const results[] = {"kept", "cancelled"};

    recorder_wait(c->recorder, from, (Sought){.path = c->disk[0], .member = "JobReady"});
    restart_daemon(c);
    property_check_string(c->recorder, c->path, VM_INTERFACE, "JobsState", "running");
    crew_call(c, "Abort");
    crew_check_finished(c, from, results);
    crew_check_nothing_lost(c, c->top, c->disks);
}

/* Ready, then the service is killed once more as soon as it has answered. */
static void test_restart_while_ending(gconstpointer member)
{
    const bool pivot = strcmp(member, "Pivot") == 0;
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2});
    const unsigned from = crew_commit_until_ready(c);

    restart_daemon(c);
    property_check_string(c->recorder, c->path, VM_INTERFACE, "JobsState", "ready");
    g_assert_cmpuint(
        recorder_count(c->recorder, from, (Sought){.path = c->path, .member = "JobsReady"}), ==, 1);
    guest_wait_more(c->guest, 0, 10);
    crew_call(c, member);
    restart_daemon(c);
    recorder_wait(c->recorder, from, (Sought){.path = c->path, .member = "JobsFinished"});
    qemu_wait_no_jobs(c->vm);
    for (unsigned i = 0; i < c->disks; i++) {
        g_autofree char *result = property_last_job(c->recorder, c->disk[i], "result");

        g_assert_cmpstr(result, ==, pivot ? "completed" : "kept");
    }
    crew_check_one_instant(c, pivot ? c->top : c->base);
    crew_check_nothing_lost(c, pivot ? c->base : c->top, c->disks);
}

/* Nobody is there when the jobs become ready. */
static void test_chosen_in_advance(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2});
    const unsigned from = recorder_mark(c->recorder);

    recorder_call(c->recorder, c->path, VM_INTERFACE, "CommitWith", "a{sv}", 2, "active", "b", 1,
                  "on-ready", "s", "pivot");
    restart_daemon(c);
    recorder_wait(c->recorder, from, (Sought){.path = c->path, .member = "JobsFinished"});
    crew_check_one_instant(c, c->top);
    crew_check_nothing_lost(c, c->base, c->disks);
}

typedef struct Awaited {
    Crew *crew;
    unsigned disk;
} Awaited;

static bool is_gone(gpointer data)
{
    const Awaited *awaited = data;

    return !property_exists(awaited->crew->recorder, awaited->crew->disk[awaited->disk],
                            DISK_INTERFACE);
}

static void unplug_last(Crew *c)
{
    qmp_client_do(qemu_monitor(c->vm), "device_del", "{'id': 'vd%c'}", 'a' + (int)c->disks - 1);
    /* The BIOS does not answer an unplug; a reset takes the device away. */
    qmp_client_do(qemu_monitor(c->vm), "system_reset", NULL);
}

/* QEMU ends the job of a -drive softly: nobody asked for a Pivot, and none takes place. */
static void test_unplug_of_drive(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .drive = true});
    const unsigned from = crew_commit_until_ready(c);
    const char *const results[] = {"kept", "kept"};
    g_autofree char *active = NULL;
    Awaited awaited = {c, 1};

    unplug_last(c);
    crew_check_finished(c, from, results);
    active = qemu_active_file(c->vm, "/machine/peripheral/vda");
    g_assert_cmpstr(active, ==, c->top[0]);
    wait_until("the disk is gone", is_gone, &awaited);
    crew_commit_until_ready(c);
}

/* The job of a -blockdev goes on without its device, and the group with it. */
static void test_unplug_of_blockdev(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2});
    const unsigned from = crew_commit_until_ready(c);
    const char *const results[] = {"completed", "completed"};

    unplug_last(c);
    recorder_wait(c->recorder, from, (Sought){.path = c->path, .member = "JobsReady"});
    crew_call(c, "Pivot");
    crew_check_finished(c, from, results);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-lives/restart-while-running", test_restart_while_running);
    g_test_add_data_func("/group-lives/restart-while-pivoting", "Pivot", test_restart_while_ending);
    g_test_add_data_func("/group-lives/restart-while-aborting", "Abort", test_restart_while_ending);
    g_test_add_func("/group-lives/chosen-in-advance", test_chosen_in_advance);
    g_test_add_func("/group-lives/unplug-of-drive", test_unplug_of_drive);
    g_test_add_func("/group-lives/unplug-of-blockdev", test_unplug_of_blockdev);
    return g_test_run();
}
