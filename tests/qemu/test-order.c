/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The order that the interface promises: a reply before the signals that the call causes,
 * properties before the signal that announces them, InterfacesAdded before JobReady, JobFinished
 * before InterfacesRemoved; and every one of them exactly once.
 */
#include "scene.h"

#include <string.h>

static Sought job_ready(const Scene *s)
{
    return (Sought){.path = s->disk, .interface = DISK_INTERFACE, .member = "JobReady"};
}

static Sought job_finished(const Scene *s)
{
    return (Sought){.path = s->disk, .interface = DISK_INTERFACE, .member = "JobFinished"};
}

static Sought job_added(const Scene *s)
{
    return (Sought){
        .path = SERVICE_PATH,
        .member = "InterfacesAdded",
        .object = s->disk,
        .part = JOB_INTERFACE,
    };
}

static Sought job_removed(const Scene *s)
{
    return (Sought){
        .path = SERVICE_PATH,
        .member = "InterfacesRemoved",
        .object = s->disk,
        .part = JOB_INTERFACE,
    };
}

static Sought changed(const Scene *s, const char *interface, const char *property,
                      const char *value)
{
    return (Sought){
        .path = s->disk,
        .member = "PropertiesChanged",
        .part = interface,
        .property = property,
        .value = value,
    };
}

/* Position of the only such signal since `from`. */
static unsigned only(Scene *s, unsigned from, Sought sought)
{
    const int position = recorder_find(s->recorder, from, sought);

    if (position < 0 || recorder_count(s->recorder, from, sought) != 1)
        g_error("%u times, not once: %s %s %s", recorder_count(s->recorder, from, sought),
                sought.member, sought.property ? sought.property : "",
                sought.value ? sought.value : "");
    return (unsigned)position;
}

/* Commit(true), until it is ready; checks the order up to there. The position of its reply. */
static unsigned commit_in_order(Scene *s)
{
    const unsigned from = recorder_mark(s->recorder);
    const unsigned reply = recorder_call(s->recorder, s->disk, DISK_INTERFACE, "Commit", "b", 1);
    const unsigned ready = recorder_wait(s->recorder, from, job_ready(s));
    const char *job, *announced, *type;
    g_autofree char *id = NULL;

    recorder_settle(s->recorder);
    g_assert_cmpuint(reply, <, only(s, from, job_added(s)));
    g_assert_cmpuint(only(s, from, job_added(s)), <, only(s, from, job_ready(s)));
    g_assert_cmpuint(reply, <, only(s, from, changed(s, DISK_INTERFACE, "JobState", "running")));
    g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "JobState", "ready")), <, ready);
    g_assert_cmpuint(only(s, from, changed(s, JOB_INTERFACE, "State", "ready")), <, ready);

    recorder_read(s->recorder, reply, "s", &job);
    recorder_read(s->recorder, ready, "ss", &announced, &type);
    id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");
    g_assert_cmpstr(announced, ==, job);
    g_assert_cmpstr(id, ==, job);
    g_assert_cmpstr(type, ==, "commit");
    return reply;
}

static void check_end(Scene *s, unsigned from, unsigned reply, const char *state, bool pivoted)
{
    unsigned finished;

    recorder_wait(s->recorder, from, job_removed(s));
    recorder_settle(s->recorder);
    finished = only(s, from, job_finished(s));
    g_assert_cmpuint(reply, <, only(s, from, changed(s, DISK_INTERFACE, "JobState", state)));
    g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "JobState", state)), <, finished);
    g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "JobState", "none")), <, finished);
    g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "LastJob", NULL)), <, finished);
    g_assert_cmpuint(finished, <, only(s, from, job_removed(s)));
    if (pivoted) {
        g_assert_cmpint(recorder_find(s->recorder, from, changed(s, DISK_INTERFACE, "Node", NULL)),
                        <, (int)finished);
        g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "ChainDepth", NULL)), <,
                         finished);
        g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "Chain", NULL)), <, finished);
    }
    g_assert_cmpint(recorder_find(s->recorder, finished + 1, (Sought){.path = s->disk}), ==, -1);
}

static void check_last_job(Scene *s, const char *id, const char *result)
{
    g_autofree char *last = property_last_job(s->recorder, s->disk, "id");
    g_autofree char *last_result = property_last_job(s->recorder, s->disk, "result");
    g_autofree char *type = property_last_job(s->recorder, s->disk, "type");

    g_assert_cmpstr(last, ==, id);
    g_assert_cmpstr(last_result, ==, result);
    g_assert_cmpstr(type, ==, "commit");
    g_assert_false(property_exists(s->recorder, s->disk, JOB_INTERFACE));
}

static void test_two_phases(gconstpointer member)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const bool pivots = strcmp(member, "Pivot") == 0;
    const unsigned started = commit_in_order(s);
    const unsigned from = recorder_mark(s->recorder);
    const unsigned reply = recorder_call(s->recorder, s->disk, DISK_INTERFACE, member, NULL);
    const char *job;

    check_end(s, from, reply, pivots ? "pivoting" : "aborting", pivots);
    recorder_read(s->recorder, started, "s", &job);
    check_last_job(s, job, pivots ? "completed" : "kept");
    g_assert_cmpuint(recorder_count(s->recorder, 0, job_ready(s)), ==, 1);
}

/* Rounds on one disk do not mix: each has its own id and its own signals. */
static void test_rounds(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autofree char *previous = NULL;

    for (unsigned round = 0; round < 3; round++) {
        const unsigned started = commit_in_order(s);
        const unsigned from = recorder_mark(s->recorder);
        const char *job;

        scene_abort(s);
        recorder_wait(s->recorder, from, job_removed(s));
        recorder_read(s->recorder, started, "s", &job);
        g_assert_cmpstr(job, !=, previous);
        check_last_job(s, job, "kept");
        g_free(previous);
        previous = g_strdup(job);
    }
    g_assert_cmpuint(recorder_count(s->recorder, 0, job_finished(s)), ==, 3);
}

static void test_one_phase(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 4});
    const unsigned from = recorder_mark(s->recorder);
    const unsigned reply = recorder_call(s->recorder, s->disk, DISK_INTERFACE, "Commit", "b", 0);
    unsigned finished;

    recorder_wait(s->recorder, from, job_removed(s));
    recorder_settle(s->recorder);
    finished = only(s, from, job_finished(s));
    g_assert_cmpuint(reply, <, only(s, from, job_added(s)));
    g_assert_cmpuint(only(s, from, job_added(s)), <, finished);
    g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "ChainDepth", NULL)), <, finished);
    g_assert_cmpuint(only(s, from, changed(s, DISK_INTERFACE, "JobState", "none")), <, finished);
    g_assert_cmpuint(finished, <, only(s, from, job_removed(s)));
    g_assert_cmpint(recorder_find(s->recorder, from, job_ready(s)), ==, -1);
}

/* The VM goes away under a job: the job is lost, then it goes, then the disk and the VM go. */
static void test_lost(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = commit_in_order(s);
    const Sought disk_removed = {
        .member = "InterfacesRemoved", .object = s->disk, .part = DISK_INTERFACE};
    const Sought vm_removed = {.member = "InterfacesRemoved", .part = VM_INTERFACE};
    unsigned finished;

    qemu_kill(s->vm);
    recorder_wait(s->recorder, from, vm_removed);
    recorder_settle(s->recorder);
    finished = only(s, from, job_finished(s));
    g_assert_cmpuint(finished, <, only(s, from, job_removed(s)));
    g_assert_cmpuint(only(s, from, job_removed(s)), <=, only(s, from, disk_removed));
    g_assert_cmpuint(only(s, from, disk_removed), <=, only(s, from, vm_removed));
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/order/commit-ready-pivot", "Pivot", test_two_phases);
    g_test_add_data_func("/order/commit-ready-abort", "Abort", test_two_phases);
    g_test_add_func("/order/one-round-after-the-other", test_rounds);
    g_test_add_func("/order/commit-of-one-phase", test_one_phase);
    g_test_add_func("/order/vm-lost", test_lost);
    return g_test_run();
}
