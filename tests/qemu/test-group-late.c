/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of one VM that are committed together, one of which the guest writes to faster than it is
 * copied, and a deadline: all of it is cancelled, or the guest is slowed down on that disk until
 * the group is ready.
 */
#include <string.h>

#include "crew.h"
#include "image.h"
#include "throttled.h"
#include "properties.h"

/* Every write of the guest dirties a chunk of 64 KiB, and it writes to all of them in less than the
 * slow base takes to get them. */
static const CrewOptions busy = {
    .disks = 2, .oddity = ODDITY_SLOW, .slow_speed = 2 * IMAGE_MIB, .slots = 64, .shift = 7};

static unsigned commit_with(Crew *c, const char *on_deadline, uint64_t usec, const char *on_ready)
{
    const unsigned from = recorder_mark(c->recorder);

    recorder_call(c->recorder, c->path, VM_INTERFACE, "CommitWith", "a{sv}", 4, "active", "b", 1,
                  "deadline-usec", "t", usec, "on-deadline", "s", on_deadline, "on-ready", "s",
                  on_ready);
    return from;
}

/* Each text of JobsFinished says why. */
static void check_messages(Crew *c, unsigned from)
{
    const Sought finished = {.path = c->path, .member = "JobsFinished"};
    sd_bus_message *m =
        recorder_at(c->recorder, (unsigned)recorder_find(c->recorder, from, finished))->message;
    const char *path, *result, *message;

    sd_bus_message_rewind(m, /* complete= */ true);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(oss)"), >=, 0);
    while (sd_bus_message_read(m, "(oss)", &path, &result, &message) > 0)
        g_assert_nonnull(strstr(message, "deadline"));
}

static void test_cancel(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .oddity = ODDITY_SLOW});
    const unsigned from = commit_with(c, "cancel", 10 * G_USEC_PER_SEC, "pivot");
    const char *const results[] = {"kept", "cancelled"};

    crew_check_finished(c, from, results);
    check_messages(c, from);
    for (unsigned i = 0; i < c->disks; i++)
        g_assert_cmpuint(property_u32(c->recorder, c->disk[i], DISK_INTERFACE, "ChainDepth"), ==,
                         2);
    crew_check_nothing_lost(c, c->top, c->disks);
}

static void test_in_time(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2});
    const unsigned from = commit_with(c, "cancel", 600 * G_USEC_PER_SEC, "pivot");

    crew_check_all_finished(c, from, "completed");
    crew_check_one_instant(c, c->top);
    crew_check_nothing_lost(c, c->base, c->disks);
}

/* QEMU's answer, and what the disks say. */
static void wait_slowed(Crew *c, const char *own)
{
    throttled_wait_other(c->vm, "vdb", own);
    g_assert_true(property_bool(c->recorder, c->disk[1], JOB_INTERFACE, "Slowed"));
}

static void test_slow_guest(gconstpointer on_ready)
{
    const bool pivots = strcmp(on_ready, "pivot") == 0;
    g_autoptr(Crew) c = crew_new(&busy);
    g_autofree char *own = throttled_to(c->vm, "vdb");
    const unsigned from = commit_with(c, "slow-guest", 1, on_ready);

    wait_slowed(c, own);
    crew_check_all_finished(c, from, pivots ? "completed" : "kept");
    crew_check_one_instant(c, pivots ? c->top : c->base);
    for (unsigned i = 0; i < c->disks; i++)
        throttled_wait(c->vm, i == 0 ? "vda" : "vdb", own);
    crew_check_nothing_lost(c, pivots ? c->base : c->top, c->disks);
}

/* The daemon dies while the guest is slowed down: its successor goes on, and lifts it. */
static void test_killed(void)
{
    g_autoptr(Crew) c = crew_new(&busy);
    g_autofree char *own = throttled_to(c->vm, "vdb");
    const unsigned from = commit_with(c, "slow-guest", 1, "wait");

    wait_slowed(c, own);
    daemon_kill(c->rig->daemon);
    recorder_wait_owner(c->recorder, false);
    daemon_start(c->rig->daemon);
    rig_wait_daemon(c->rig);
    crew_wait_ready(c, from);
    throttled_wait(c->vm, "vdb", own);
    crew_call(c, "Pivot");
    crew_check_all_finished(c, from, "completed");
    throttled_wait(c->vm, "vdb", own);
    crew_check_nothing_lost(c, c->base, c->disks);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-late/cancel", test_cancel);
    g_test_add_func("/group-late/in-time", test_in_time);
    g_test_add_data_func("/group-late/slow-guest/pivot", "pivot", test_slow_guest);
    g_test_add_data_func("/group-late/slow-guest/keep", "keep", test_slow_guest);
    g_test_add_func("/group-late/slow-guest/daemon-killed", test_killed);
    return g_test_run();
}
