/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A guest that writes faster than a commit copies, and a deadline: the commit waits on, is
 * cancelled, or the guest is slowed down for it. Whatever happens then, the user's own limits are
 * back.
 */
#include "scene.h"

#include <string.h>

#include "throttled.h"

#define DEVICE "/machine/peripheral/vda/virtio-backend"
/* Every write of the guest dirties a chunk of 64 KiB. All of them are dirty all the time: what the
 * base takes in a second the guest overwrites in less. */
static const SceneOptions busy = {.slow_base = true,
                                  .base_speed = 4 * IMAGE_MIB,
                                  .little_data = true,
                                  .guest = {.slots = 64, .shift = 7}};

static unsigned commit_with(Scene *s, const char *on_deadline, uint64_t usec)
{
    const unsigned from = recorder_mark(s->recorder);

    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "CommitWith", "a{sv}", 3, "active", "b", 1,
                  "deadline-usec", "t", usec, "on-deadline", "s", on_deadline);
    return from;
}

/* A user's own, with a burst. */
static char *set_own_limits(Scene *s)
{
    qmp_client_do(qemu_monitor(s->vm), "block_set_io_throttle",
                  "{'id': '" DEVICE "', 'bps': 0, 'bps_rd': 50000000, 'bps_wr': 0, 'iops': 0, "
                  "'iops_rd': 900, 'iops_wr': 100000, 'iops_wr_max': 150000, "
                  "'iops_wr_max_length': 2, 'group': 'mine'}");
    return throttled_to(s->vm, "vda");
}

static void wait_limits(Scene *s, const char *limits)
{
    throttled_wait(s->vm, "vda", limits);
}

static void check_limits(Scene *s, const char *limits)
{
    g_autofree char *now = throttled_to(s->vm, "vda");

    g_assert_cmpstr(now, ==, limits);
}

/* The guest is slowed down, and QEMU has it so. */
static void wait_slowed(Scene *s, const char *own)
{
    throttled_wait_other(s->vm, "vda", own);
    g_assert_true(property_bool(s->recorder, s->disk, JOB_INTERFACE, "Slowed"));
}

static void restart_daemon(Scene *s)
{
    daemon_kill(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
    daemon_start(s->rig->daemon);
    rig_wait_daemon(s->rig);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
}

static void check_guest(Scene *s, const char *file)
{
    guest_wait_more(s->guest, 0, 200);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, file, "qcow2");
    image_check_filled(file, "qcow2", SCENE_DATA_BYTE, SCENE_DATA_OFFSET, SCENE_DATA_LITTLE);
}

static unsigned count_ready(Scene *s, unsigned from)
{
    recorder_settle(s->recorder);
    return recorder_count(s->recorder, from, (Sought){.path = s->disk, .member = "JobReady"});
}

static void pivot(Scene *s, unsigned from)
{
    scene_wait_ready(s, from);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    g_assert_cmpuint(count_ready(s, from), ==, 1);
}

static void test_slow_guest(gconstpointer owner)
{
    const bool owned = strcmp(owner, "own") == 0;
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = owned ? set_own_limits(s) : throttled_to(s->vm, "vda");
    const unsigned from = commit_with(s, "slow-guest", 3000000);

    g_assert_false(property_bool(s->recorder, s->disk, JOB_INTERFACE, "Slowed"));
    wait_slowed(s, own);
    g_assert_cmpuint(count_ready(s, from), ==, 0);
    scene_wait_ready(s, from);
    wait_limits(s, own);
    pivot(s, from);
    wait_limits(s, own);
    check_guest(s, scene_base(s));
}

/* Both ends of a job wait for an instant when all is copied, and so for a slow guest. */
static void test_in_advance(gconstpointer on_ready)
{
    const bool pivots = strcmp(on_ready, "pivot") == 0;
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = set_own_limits(s);
    const unsigned from = recorder_mark(s->recorder);

    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "CommitWith", "a{sv}", 4, "active", "b", 1,
                  "deadline-usec", "t", (uint64_t)1, "on-deadline", "s", "slow-guest", "on-ready",
                  "s", on_ready);
    wait_slowed(s, own);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    g_assert_cmpuint(count_ready(s, from), ==, 1);
    wait_limits(s, own);
    check_guest(s, pivots ? scene_base(s) : scene_top(s));
}

/* The daemon dies while the guest is slowed down: its successor goes on, and lifts it. */
static void test_killed(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = set_own_limits(s);
    const unsigned from = commit_with(s, "slow-guest", 1);

    wait_slowed(s, own);
    restart_daemon(s);
    pivot(s, from);
    wait_limits(s, own);
    check_guest(s, scene_base(s));
}

/* The job has gone meanwhile. */
static void test_killed_and_cancelled(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = throttled_to(s->vm, "vda"), *id = NULL;
    const unsigned from = commit_with(s, "slow-guest", 1);

    wait_slowed(s, own);
    id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");
    daemon_kill(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
    qmp_client_do(qemu_monitor(s->vm), "job-cancel", "{'id': '%s'}", id);
    daemon_start(s->rig->daemon);
    rig_wait_daemon(s->rig);
    scene_wait_finished(s, from, "cancelled");
    wait_limits(s, own);
    check_guest(s, scene_top(s));
}

/* The daemon is told to stop: the guest is as fast as before while it is away. */
static void test_stopped(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = set_own_limits(s), *now = NULL;
    const unsigned from = commit_with(s, "slow-guest", 1);

    wait_slowed(s, own);
    daemon_stop(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
    now = throttled_to(s->vm, "vda");
    g_assert_cmpstr(now, ==, own);
    daemon_start(s->rig->daemon);
    rig_wait_daemon(s->rig);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
    wait_slowed(s, own);
    pivot(s, from);
    wait_limits(s, own);
    check_guest(s, scene_base(s));
}

static void test_abort(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = set_own_limits(s);
    const unsigned from = commit_with(s, "slow-guest", 1);

    wait_slowed(s, own);
    scene_abort(s);
    scene_wait_finished(s, from, "cancelled");
    wait_limits(s, own);
    check_guest(s, scene_top(s));
}

/* Paused, the job gains nothing by a slow guest. */
static void test_pause(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = set_own_limits(s);
    const unsigned from = commit_with(s, "slow-guest", 1);

    wait_slowed(s, own);
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "Pause", NULL);
    wait_limits(s, own);
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "Resume", NULL);
    wait_slowed(s, own);
    pivot(s, from);
    wait_limits(s, own);
}

/* Somebody else sets limits meanwhile: those are not touched any more. */
static void test_others(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *none = throttled_to(s->vm, "vda"), *theirs = NULL;
    const unsigned from = commit_with(s, "slow-guest", 1);

    wait_slowed(s, none);
    theirs = set_own_limits(s);
    scene_release(s);
    pivot(s, from);
    qemu_wait_no_jobs(s->vm);
    restart_daemon(s);
    check_limits(s, theirs);
}

static void test_cancel(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    const unsigned from = commit_with(s, "cancel", 1000000);
    const unsigned end = scene_wait_finished(s, from, "cancelled");
    const char *skip, *message;

    recorder_read(s->recorder, end, "sssss", &skip, &skip, &skip, &skip, &message);
    g_assert_nonnull(strstr(message, "deadline"));
    g_assert_cmpuint(count_ready(s, from), ==, 0);
    qemu_wait_no_jobs(s->vm);
    scene_check_active(s, 2, scene_top(s));
    check_guest(s, scene_top(s));
}

/* The guest writes on at full speed for as long as it likes: only what it is told makes it ready.
 */
static void test_keep_waiting(void)
{
    g_autoptr(Scene) s = scene_new(&busy);
    g_autofree char *own = throttled_to(s->vm, "vda");
    const unsigned from = commit_with(s, "keep-waiting", 1000000);

    guest_wait_more(s->guest, 0, 5000);
    g_assert_cmpuint(count_ready(s, from), ==, 0);
    check_limits(s, own);
    g_assert_cmpuint(property_u64(s->recorder, s->disk, JOB_INTERFACE, "Remaining"), >, 0);
    g_assert_cmpuint(property_u64(s->recorder, s->disk, JOB_INTERFACE, "Rate"), >, 0);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "running");
    scene_release(s);
    pivot(s, from);
    check_guest(s, scene_base(s));
}

/* Ready before its deadline: nothing happens at it. */
static void test_in_time(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = commit_with(s, "cancel", 600 * G_USEC_PER_SEC);

    scene_wait_ready(s, from);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/converge/slow-guest/own-limits", "own", test_slow_guest);
    g_test_add_data_func("/converge/slow-guest/no-limits", "none", test_slow_guest);
    g_test_add_data_func("/converge/slow-guest/pivot-in-advance", "pivot", test_in_advance);
    g_test_add_data_func("/converge/slow-guest/keep-in-advance", "keep", test_in_advance);
    g_test_add_func("/converge/slow-guest/daemon-stopped", test_stopped);
    g_test_add_func("/converge/slow-guest/daemon-killed", test_killed);
    g_test_add_func("/converge/slow-guest/daemon-killed-job-cancelled", test_killed_and_cancelled);
    g_test_add_func("/converge/slow-guest/abort", test_abort);
    g_test_add_func("/converge/slow-guest/pause", test_pause);
    g_test_add_func("/converge/slow-guest/limits-of-others", test_others);
    g_test_add_func("/converge/cancel", test_cancel);
    g_test_add_func("/converge/keep-waiting", test_keep_waiting);
    g_test_add_func("/converge/in-time", test_in_time);
    return g_test_run();
}
