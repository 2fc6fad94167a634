/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon goes and comes back, QEMU goes, hangs, or is told things by somebody else: in each
 * state of a job there is one end of it, and it is the true one.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "scene.h"
#include "wait.h"

static const SceneOptions slow = {.slow_base = true};
/* There is less to copy between images, and a restart may take its time. */
static const SceneOptions slow_chain = {.slow_base = true, .depth = 4, .base_speed = IMAGE_MIB / 8};

static void kill_daemon(Scene *s)
{
    daemon_kill(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
}

/* QEMU dials in again by itself. */
static void start_daemon(Scene *s)
{
    daemon_start(s->rig->daemon);
    rig_wait_daemon(s->rig);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
}

static void restart_daemon(Scene *s)
{
    kill_daemon(s);
    start_daemon(s);
}

static void wait_state(Scene *s, const char *state)
{
    property_wait_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", state);
}

static unsigned count(Scene *s, unsigned from, const char *member)
{
    recorder_settle(s->recorder);
    return recorder_count(s->recorder, from,
                          (Sought){.path = s->disk, .interface = DISK_INTERFACE, .member = member});
}

/* The job ends with that result, which is announced once; a guest that runs has lost nothing. */
static void check_end(Scene *s, unsigned from, const char *result)
{
    g_autofree char *last = NULL;

    scene_wait_finished(s, from, result);
    qemu_wait_no_jobs(s->vm);
    restart_daemon(s);
    last = property_last_job(s->recorder, s->disk, "result");
    g_assert_cmpstr(last, ==, result);
    g_assert_cmpuint(count(s, from, "JobFinished"), ==, 1);
    g_assert_cmpuint(count(s, from, "JobReady"), <=, 1);
    guest_wait_more(s->guest, 0, 10);
}

/* Id of the one job that QEMU has. The caller frees it. */
static char *job_of(Scene *s)
{
    json_object *jobs = qmp_client_command(qemu_monitor(s->vm), "query-jobs", NULL);
    char *id;

    g_assert_cmpuint(json_object_array_length(jobs), ==, 1);
    id = g_strdup(qmp_text(json_object_array_get_idx(jobs, 0), "id"));
    json_object_put(jobs);
    return id;
}

/* What somebody else tells QEMU about the job. */
static void tell_job(Scene *s, const char *command)
{
    g_autofree char *id = job_of(s);
    const bool old = g_str_has_prefix(command, "block-job-");

    qmp_client_do(qemu_monitor(s->vm), command, old ? "{'device': '%s'}" : "{'id': '%s'}", id);
}

static bool has_status(Scene *s, const char *status)
{
    json_object *jobs = qmp_client_command(qemu_monitor(s->vm), "query-jobs", NULL);
    const bool same = strcmp(qmp_text(json_object_array_get_idx(jobs, 0), "status"), status) == 0;

    json_object_put(jobs);
    return same;
}

static bool is_concluded(gpointer data)
{
    return has_status(data, "concluded");
}

/* A job that is to pause first finishes what it has under way. */
static bool is_paused(gpointer data)
{
    return has_status(data, "paused");
}

static void test_running(void)
{
    g_autoptr(Scene) s = scene_new(&slow);
    const unsigned from = scene_commit(s, true);

    wait_state(s, "running");
    restart_daemon(s);
    wait_state(s, "running");
    g_assert_cmpuint(property_u32(s->recorder, s->disk, JOB_INTERFACE, "StartedByUID"), ==,
                     geteuid());
    recorder_refused(s->recorder, SERVICE_ERROR("JobExists"), s->disk, DISK_INTERFACE, "Commit",
                     "b", 1);
    scene_release(s);
    scene_wait_ready(s, from);
    scene_pivot(s);
    check_end(s, from, "completed");
}

/* The choice was made at the start; its caller is gone, and so is the daemon that it was told. */
static void test_choice_in_advance(gconstpointer choice)
{
    const bool pivots = strcmp(choice, "pivot") == 0;
    g_autoptr(Scene) s = scene_new(&slow);
    const unsigned from = recorder_mark(s->recorder);
    Recorder *caller = recorder_new(test_bus_address(s->rig->bus));

    recorder_call(caller, s->disk, DISK_INTERFACE, "CommitWith", "a{sv}", 2, "active", "b", 1,
                  "on-ready", "s", choice);
    recorder_free(caller);
    restart_daemon(s);
    wait_state(s, "running");
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "OnReady", choice);
    scene_release(s);
    check_end(s, from, pivots ? "completed" : "kept");
    scene_check_active(s, pivots ? 1 : 2, pivots ? scene_base(s) : scene_top(s));
}

static void test_running_intermediate(void)
{
    g_autoptr(Scene) s = scene_new(&slow_chain);
    const unsigned from = scene_commit(s, false);

    restart_daemon(s);
    wait_state(s, "running");
    scene_release(s);
    check_end(s, from, "completed");
}

static void test_ready(gconstpointer conclusion)
{
    const bool pivots = strcmp(conclusion, "Pivot") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    restart_daemon(s);
    wait_state(s, "ready");
    if (pivots)
        scene_pivot(s);
    else
        scene_abort(s);
    check_end(s, from, pivots ? "completed" : "kept");
    scene_check_active(s, pivots ? 1 : 2, pivots ? scene_base(s) : scene_top(s));
}

/* It became ready while nobody was there: that is announced now. */
static void test_ready_meanwhile(void)
{
    g_autoptr(Scene) s = scene_new(&slow);
    const unsigned from = scene_commit(s, true);

    kill_daemon(s);
    scene_release(s);
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_READY"));
    start_daemon(s);
    scene_wait_ready(s, from);
    scene_pivot(s);
    check_end(s, from, "completed");
}

/* settled: QEMU's job has come to rest before the restart. */
static void test_paused(gconstpointer settled)
{
    g_autoptr(Scene) s = scene_new(&slow);
    const unsigned from = scene_commit(s, true);

    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "Pause", NULL);
    wait_state(s, "paused");
    if (settled)
        wait_until("the job has paused", is_paused, s);
    restart_daemon(s);
    wait_state(s, "paused");
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "Resume", NULL);
    wait_state(s, "running");
    scene_release(s);
    scene_wait_ready(s, from);
    scene_pivot(s);
    check_end(s, from, "completed");
}

/* The guest stands still until the daemon is back. */
static void test_pending(gconstpointer command)
{
    const bool pivots = strcmp(command, "job-complete") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    kill_daemon(s);
    tell_job(s, command);
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_PENDING"));
    start_daemon(s);
    check_end(s, from, pivots ? "completed" : "kept");
    scene_check_active(s, pivots ? 1 : 2, pivots ? scene_base(s) : scene_top(s));
}

static void test_concluded(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    kill_daemon(s);
    tell_job(s, "job-complete");
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_PENDING"));
    tell_job(s, "job-finalize");
    wait_until("the job has concluded", is_concluded, s);
    start_daemon(s);
    check_end(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
}

static void test_clean_stop(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    daemon_stop(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
    g_assert_cmpint(
        recorder_find(s->recorder, from, (Sought){.path = s->disk, .member = "JobFinished"}), ==,
        -1);
    start_daemon(s);
    wait_state(s, "ready");
    scene_pivot(s);
    check_end(s, from, "completed");
}

static void test_killed(gconstpointer state)
{
    const bool ready = strcmp(state, "ready") == 0;
    g_autoptr(Scene) s = scene_new(ready ? NULL : &slow);
    const unsigned from = ready ? scene_commit_until_ready(s) : scene_commit(s, true);
    const char *job, *type, *result, *error;
    unsigned end;

    if (strcmp(state, "paused") == 0)
        recorder_call(s->recorder, s->disk, JOB_INTERFACE, "Pause", NULL);
    wait_state(s, state);
    qemu_kill(s->vm);
    end = recorder_wait(s->recorder, from, (Sought){.path = s->disk, .member = "JobFinished"});
    recorder_read(s->recorder, end, "ssss", &job, &type, &result, &error);
    g_assert_cmpstr(result, ==, "lost");
    g_assert_cmpstr(error, ==, SERVICE_ERROR("Disconnected"));
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    g_assert_cmpuint(count(s, from, "JobFinished"), ==, 1);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
}

/* Its monitor is silent and its socket open: the others do not notice. */
static void test_hung(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);
    g_autoptr(Qemu) other = rig_qemu(s->rig, QEMU_SYSTEM, "web2");
    g_autofree char *base = image_create(s->rig->dir, "other", "qcow2", SCENE_SIZE);
    g_autofree char *overlay = image_overlay(s->rig->dir, "other.1", base, "qcow2", 0);
    g_autofree char *vm = rig_vm_path("web1"), *other_disk = NULL;

    g_ptr_array_add(qemu_arguments(other), g_strdup("-S"));
    qemu_option(other, "-drive", "if=virtio,id=d0,format=qcow2,file=%s", overlay);
    qemu_start(other);
    other_disk = rig_wait_disk(s->rig, "web2", "d0");

    qemu_signal(s->vm, SIGSTOP);
    property_wait_string(s->recorder, vm, VM_INTERFACE, "State", "unresponsive");
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    const unsigned mark = recorder_mark(s->recorder);
    recorder_call(s->recorder, other_disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(s->recorder, mark, (Sought){.path = other_disk, .member = "JobReady"});
    recorder_call(s->recorder, other_disk, DISK_INTERFACE, "Pivot", NULL);
    recorder_wait(s->recorder, mark, (Sought){.path = other_disk, .member = "JobFinished"});

    qemu_signal(s->vm, SIGCONT);
    property_wait_string(s->recorder, vm, VM_INTERFACE, "State", "running");
    scene_pivot(s);
    check_end(s, from, "completed");
}

/* A job of somebody else blocks ours, and is not ours to end. */
static void test_foreign_job(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    unsigned from = recorder_mark(s->recorder);

    qmp_client_do(qemu_monitor(s->vm), "block-commit", "{'job-id': 'theirs', 'device': 'd0'}");
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_READY"));
    recorder_refused(s->recorder, SERVICE_ERROR("JobExists"), s->disk, DISK_INTERFACE, "Commit",
                     "b", 1);
    tell_job(s, "block-job-cancel");
    qemu_wait_no_jobs(s->vm);
    wait_state(s, "none");
    from = scene_commit_until_ready(s);
    scene_pivot(s);
    check_end(s, from, "completed");
}

typedef struct Told {
    const char *path, *command, *result;
    bool ready;
} Told;

/* What somebody else does to our job. */
static const Told told[] = {
    {"/restart/foreign/completes", "job-complete", "completed", true},
    {"/restart/foreign/cancels-when-ready", "block-job-cancel", "kept", true},
    {"/restart/foreign/cancels-by-force", "job-cancel", "cancelled", true},
    {"/restart/foreign/cancels-before-ready", "block-job-cancel", "cancelled", false},
};

static void test_foreign_hand(gconstpointer data)
{
    const Told *t = data;
    g_autoptr(Scene) s = scene_new(t->ready ? NULL : &slow);
    const unsigned from = t->ready ? scene_commit_until_ready(s) : scene_commit(s, true);

    tell_job(s, t->command);
    if (!t->ready)
        scene_release(s);
    check_end(s, from, t->result);
}

/* Snapshots of others are seen, and on record, with no word from QEMU. */
static void test_foreign_snapshot(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autofree char *file = scene_snapshot(s, "snapshot");

    scene_check_active(s, 3, file);
    const unsigned from = scene_commit_until_ready(s);
    scene_pivot(s);
    check_end(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/restart/running", test_running);
    g_test_add_func("/restart/running-intermediate", test_running_intermediate);
    g_test_add_data_func("/restart/on-ready-pivot-goes-on", "pivot", test_choice_in_advance);
    g_test_add_data_func("/restart/on-ready-keep-goes-on", "keep", test_choice_in_advance);
    g_test_add_data_func("/restart/ready-then-pivot", "Pivot", test_ready);
    g_test_add_data_func("/restart/ready-then-abort", "Abort", test_ready);
    g_test_add_func("/restart/ready-meanwhile", test_ready_meanwhile);
    g_test_add_data_func("/restart/paused", "settled", test_paused);
    g_test_add_data_func("/restart/about-to-pause", /* settled= */ NULL, test_paused);
    g_test_add_data_func("/restart/pending-pivot", "job-complete", test_pending);
    g_test_add_data_func("/restart/pending-abort", "block-job-cancel", test_pending);
    g_test_add_func("/restart/concluded", test_concluded);
    g_test_add_func("/restart/clean-stop", test_clean_stop);
    g_test_add_data_func("/restart/qemu-killed/running", "running", test_killed);
    g_test_add_data_func("/restart/qemu-killed/ready", "ready", test_killed);
    g_test_add_data_func("/restart/qemu-killed/paused", "paused", test_killed);
    g_test_add_func("/restart/qemu-hung", test_hung);
    g_test_add_func("/restart/foreign/job", test_foreign_job);
    for (unsigned i = 0; i < G_N_ELEMENTS(told); i++)
        g_test_add_data_func(told[i].path, &told[i], test_foreign_hand);
    g_test_add_func("/restart/foreign/snapshot", test_foreign_snapshot);
    return g_test_run();
}
