/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Control of a running job: pause, resume, speed; and a job that ends in ways that nobody asked
 * this service for. Whatever happens, it ends once, and with the true result.
 */
#include "scene.h"

#include <signal.h>
#include <string.h>

#include "wait.h"

static void job_call(Scene *s, const char *member)
{
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, member, NULL);
}

static void check_state(Scene *s, const char *state)
{
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", state);
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "State", state);
}

/* One JobFinished since `from`, and nothing is left of the job. */
static void check_finished_once(Scene *s, unsigned from, const char *result)
{
    const Sought finished = {.path = s->disk, .member = "JobFinished"};

    scene_wait_finished(s, from, result);
    qemu_wait_no_jobs(s->vm);
    recorder_settle(s->recorder);
    g_assert_cmpuint(recorder_count(s->recorder, from, finished), ==, 1);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "none");
}

static void check_guest(Scene *s, const char *file, const char *format)
{
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, file, format);
}

/* The only job, as QEMU itself has it: the service looks twice a second only. */
static json_object *read_job(Scene *s)
{
    json_object *jobs = qmp_client_command(qemu_monitor(s->vm), "query-block-jobs", NULL);
    json_object *job = json_object_get(json_object_array_get_idx(jobs, 0));

    json_object_put(jobs);
    return job;
}

static uint64_t job_offset(Scene *s)
{
    json_object *job = read_job(s);
    const uint64_t offset = json_object_get_uint64(qmp_member(job, "offset"));

    json_object_put(job);
    return offset;
}

/* QEMU says so when what was under way has ended (mirror_pause()). */
static bool is_job_paused(gpointer scene)
{
    json_object *job = read_job(scene);
    const bool paused = strcmp(qmp_text(job, "status"), "paused") == 0;

    json_object_put(job);
    return paused;
}

static void test_pause_running(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);
    uint64_t offset;

    job_call(s, "Pause");
    check_state(s, "paused");
    recorder_refused(s->recorder, SERVICE_ERROR("NotReady"), s->disk, JOB_INTERFACE, "Pause", NULL);
    recorder_refused(s->recorder, SERVICE_ERROR("NotReady"), s->disk, DISK_INTERFACE, "Pivot",
                     NULL);
    scene_release(s);
    wait_until("QEMU has paused the job", is_job_paused, s);
    offset = job_offset(s);
    guest_wait_more(s->guest, 0, 1000);
    g_assert_cmpuint(job_offset(s), ==, offset);
    check_state(s, "paused");
    g_assert_cmpint(recorder_find(s->recorder, from, (Sought){.member = "JobReady"}), ==, -1);

    job_call(s, "Resume");
    scene_wait_ready(s, from);
    recorder_refused(s->recorder, SERVICE_ERROR("NotReady"), s->disk, JOB_INTERFACE, "Resume",
                     NULL);
    scene_pivot(s);
    check_finished_once(s, from, "completed");
    check_guest(s, scene_base(s), "qcow2");
}

static void test_pause_ready(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);
    const char *text;

    job_call(s, "Pause");
    check_state(s, "paused");
    text = recorder_refused(s->recorder, SERVICE_ERROR("NotReady"), s->disk, DISK_INTERFACE,
                            "Pivot", NULL);
    g_assert_nonnull(strstr(text, "esume"));
    job_call(s, "Resume");
    property_wait_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    scene_pivot(s);
    check_finished_once(s, from, "completed");
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobReady"}), ==, 1);
    check_guest(s, scene_base(s), "qcow2");
}

static void test_abort_paused(gconstpointer state)
{
    const bool ready = strcmp(state, "ready") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = !ready});
    const unsigned from = scene_commit(s, true);

    if (ready)
        scene_wait_ready(s, from);
    job_call(s, "Pause");
    check_state(s, "paused");
    scene_abort(s);
    if (!ready)
        scene_release(s);
    check_finished_once(s, from, ready ? "kept" : "cancelled");
    check_guest(s, scene_top(s), "qcow2");
}

static void set_speed(Scene *s, uint64_t speed)
{
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "SetSpeed", "t", speed);
    g_assert_cmpuint(property_u64(s->recorder, s->disk, JOB_INTERFACE, "Speed"), ==, speed);
}

static void test_speed(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);

    g_assert_cmpuint(property_u64(s->recorder, s->disk, JOB_INTERFACE, "Speed"), ==, 0);
    set_speed(s, 65536);
    scene_release(s);
    check_state(s, "running");
    set_speed(s, 1048576);
    set_speed(s, INT64_MAX);
    set_speed(s, 0);
    scene_wait_ready(s, from);
    set_speed(s, 1048576);
    check_state(s, "ready");
    scene_pivot(s);
    check_finished_once(s, from, "completed");
}

/* Another monitor ends our job. */
typedef struct Ending {
    const char *path; /* of the test */
    const char *command, *argument;
    const char *result;
} Ending;

static const Ending endings[] = {
    {"/control/other-monitor-completes", "job-complete", "id", "completed"},
    {"/control/other-monitor-cancels-softly", "block-job-cancel", "device", "kept"},
    {"/control/other-monitor-cancels-by-force", "job-cancel", "id", "cancelled"},
};

static void test_other_monitor(gconstpointer data)
{
    const Ending *ending = data;
    const bool pivots = strcmp(ending->result, "completed") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);
    g_autofree char *id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");

    qmp_client_do(qemu_monitor(s->vm), ending->command, "{'%s': '%s'}", ending->argument, id);
    check_finished_once(s, from, ending->result);
    scene_check_active(s, pivots ? 1 : 2, pivots ? scene_base(s) : scene_top(s));
    check_guest(s, pivots ? scene_base(s) : scene_top(s), "qcow2");
}

/* QEMU ends while the Pivot is on its way: what is announced is what is on disk. */
static void test_quit_against_pivot(void)
{
    for (unsigned round = 0; round < 5; round++) {
        g_autoptr(Scene) s = scene_new(NULL);
        const unsigned from = scene_commit_until_ready(s);
        const unsigned pivot = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);
        const Sought finished = {.path = s->disk, .member = "JobFinished"};
        const char *result, *skip;

        qemu_signal(s->vm, round % 2 ? SIGTERM : SIGKILL);
        recorder_await(s->recorder, pivot);
        recorder_read(s->recorder, recorder_wait(s->recorder, from, finished), "sss", &skip, &skip,
                      &result);
        rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
        g_assert_cmpuint(recorder_count(s->recorder, from, finished), ==, 1);
        qemu_kill(s->vm);
        if (strcmp(result, "completed") == 0)
            guest_check_nothing_lost(s->guest, 0, scene_base(s), "qcow2");
        else
            g_assert_cmpstr(result, ==, "lost");
    }
}

static void test_quit(gconstpointer state)
{
    const bool ready = strcmp(state, "ready") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = !ready});
    const unsigned from = scene_commit(s, true);
    const Sought finished = {.path = s->disk, .member = "JobFinished"};
    const char *result, *error, *skip;

    if (ready)
        scene_wait_ready(s, from);
    qemu_quit(s->vm);
    recorder_read(s->recorder, recorder_wait(s->recorder, from, finished), "ssss", &skip, &skip,
                  &result, &error);
    /* QEMU cancels its jobs when it leaves, and has said so or not before it is gone. */
    if (strcmp(result, "cancelled") != 0) {
        g_assert_cmpstr(result, ==, "lost");
        g_assert_cmpstr(error, ==, SERVICE_ERROR("Disconnected"));
    }
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    g_assert_cmpuint(recorder_count(s->recorder, from, finished), ==, 1);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
}

/* Whoever asks for a job leaves before the answer: it is started and there for everybody to see,
 * or, where the caller was gone before the call was authorised, it is not started at all. */
static void test_caller_leaves(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = recorder_mark(s->recorder);
    Recorder *other = recorder_new(test_bus_address(s->rig->bus));
    unsigned ours;

    recorder_send(other, s->disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_free(other);
    ours = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Commit", "b", 1);
    ours = recorder_await(s->recorder, ours);
    if (recorder_at(s->recorder, ours)->kind == RECORD_ERROR)
        g_assert_true(sd_bus_message_is_method_error(recorder_at(s->recorder, ours)->message,
                                                     SERVICE_ERROR("JobExists")));
    scene_wait_ready(s, from);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    scene_pivot(s);
    check_finished_once(s, from, "completed");
}

static void fill_middle(const Scene *s)
{
    image_fill(s->chain[2], "qcow2", 0x22, 56 * IMAGE_MIB, IMAGE_MIB);
}

/* The base takes no writes: the job fails with QEMU's text, and the guest does not notice. */
static void test_failing_base(gconstpointer layer)
{
    const bool active = strcmp(layer, "active") == 0;
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .full_base = true, .prepare = fill_middle});
    g_autofree char *error = NULL, *message = NULL;
    unsigned finished;

    for (unsigned round = 0; round < 2; round++) {
        const unsigned from = scene_commit(s, active);

        finished = scene_wait_finished(s, from, "failed");
        g_assert_cmpint(recorder_find(s->recorder, finished, (Sought){.member = "JobReady"}), ==,
                        -1);
        qemu_wait_no_jobs(s->vm);
        scene_check_active(s, 4, scene_top(s));
    }
    error = property_last_job(s->recorder, s->disk, "error");
    message = property_last_job(s->recorder, s->disk, "message");
    g_assert_cmpstr(error, ==, SERVICE_ERROR("QMP"));
    g_assert_nonnull(strstr(message, "No space left on device"));
    check_guest(s, scene_top(s), "qcow2");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/control/pause-and-resume-running", test_pause_running);
    g_test_add_func("/control/pause-and-resume-ready", test_pause_ready);
    g_test_add_data_func("/control/abort-paused-when-running", "running", test_abort_paused);
    g_test_add_data_func("/control/abort-paused-when-ready", "ready", test_abort_paused);
    g_test_add_func("/control/speed", test_speed);
    for (unsigned i = 0; i < G_N_ELEMENTS(endings); i++)
        g_test_add_data_func(endings[i].path, &endings[i], test_other_monitor);
    g_test_add_func("/control/qemu-killed-while-pivoting", test_quit_against_pivot);
    g_test_add_data_func("/control/qemu-quits-when-running", "running", test_quit);
    g_test_add_data_func("/control/qemu-quits-when-ready", "ready", test_quit);
    g_test_add_func("/control/caller-leaves", test_caller_leaves);
    g_test_add_data_func("/control/full-base-active", "active", test_failing_base);
    g_test_add_data_func("/control/full-base-intermediate", "intermediate", test_failing_base);
    return g_test_run();
}
