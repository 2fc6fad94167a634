/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is refused, on a real QEMU: the error is the documented one, the text names VM and disk and
 * a way out, nothing is started, nothing changes, and the next call works.
 */
#include "scene.h"

#include <string.h>

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

/* Everything that a test of a refusal has to see unchanged. */
typedef struct Before {
    unsigned mark;
    unsigned jobs;
    uint32_t depth;
    char *state;
} Before;

static Before look(Scene *s)
{
    Before before;

    before.depth = property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth");
    before.state = property_string(s->recorder, s->disk, DISK_INTERFACE, "JobState");
    before.jobs = qemu_count_jobs(s->vm);
    /* Last: what was on its way is in. */
    before.mark = recorder_mark(s->recorder);
    return before;
}

static void check_unchanged(Scene *s, Before *before)
{
    recorder_settle(s->recorder);
    for (unsigned i = before->mark; i < recorder_mark(s->recorder); i++) {
        const Record *record = recorder_at(s->recorder, i);

        /* The progress of a job that runs anyway may be announced. */
        if (record->kind == RECORD_SIGNAL && strcmp(record->member, "PropertiesChanged") != 0)
            g_error("%s %s after a refusal", record->path, record->member);
    }
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, before->jobs);
    g_assert_cmpuint(property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth"), ==,
                     before->depth);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", before->state);
    g_clear_pointer(&before->state, g_free);
}

static void check_names(const char *text, const char *vm, const char *disk)
{
    if (!strstr(text, vm) || !strstr(text, disk))
        g_error("The text does not name VM %s and disk %s: %s", vm, disk, text);
}

/* Calls a method of the disk that takes a boolean, or nothing where types is NULL. */
static void check_refused(Scene *s, const char *error, const char *member, const char *types,
                          bool argument, const char *hint)
{
    Before before = look(s);
    const char *text =
        recorder_refused(s->recorder, error, s->disk, DISK_INTERFACE, member, types, (int)argument);

    check_names(text, "web1", "vda");
    if (hint && !strstr(text, hint))
        g_error("The text of %s does not speak of %s: %s", member, hint, text);
    check_unchanged(s, &before);
}

static void test_active_layer(void)
{
    g_autoptr(Scene) s = scene_new(NULL);

    check_refused(s, SERVICE_ERROR("ActiveLayer"), "Commit", "b", false, "active=true");
    check_refused(s, SERVICE_ERROR("ActiveLayer"), "Commit", "b", false, "Pivot");
    check_refused(s, SERVICE_ERROR("ActiveLayer"), "Commit", "b", false, "Abort");
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
    scene_check_active(s, 2, scene_top(s));

    /* And the way out that the text names works. */
    scene_commit_until_ready(s);
}

static void test_running(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);

    check_refused(s, SERVICE_ERROR("NotReady"), "Pivot", NULL, false, "JobReady");
    check_refused(s, SERVICE_ERROR("JobExists"), "Commit", "b", true, NULL);
    check_refused(s, SERVICE_ERROR("JobExists"), "Commit", "b", false, NULL);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);

    /* The job has not noticed. */
    scene_release(s);
    scene_wait_ready(s, from);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
}

static void test_ready(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    check_refused(s, SERVICE_ERROR("JobExists"), "Commit", "b", true, NULL);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    scene_abort(s);
    scene_wait_finished(s, from, "kept");
}

/* The first of two requests ends the job; the second one finds it ending or ended. */
static void test_ending_twice(gconstpointer member)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);
    const unsigned first = recorder_send(s->recorder, s->disk, DISK_INTERFACE, member, NULL);
    const unsigned second = recorder_send(s->recorder, s->disk, DISK_INTERFACE, member, NULL);
    const Sought finished = {.path = s->disk, .member = "JobFinished"};
    const unsigned answer = recorder_await(s->recorder, second);
    const char *error;

    g_assert_cmpint(recorder_at(s->recorder, answer)->kind, ==, RECORD_ERROR);
    error = sd_bus_message_get_error(recorder_at(s->recorder, answer)->message)->name;
    g_assert_true(strcmp(error, SERVICE_ERROR("NotReady")) == 0 ||
                  strcmp(error, SERVICE_ERROR("NoJob")) == 0);
    g_assert_cmpint(recorder_at(s->recorder, recorder_await(s->recorder, first))->kind, ==,
                    RECORD_REPLY);
    scene_wait_finished(s, from, strcmp(member, "Pivot") == 0 ? "completed" : "kept");
    recorder_settle(s->recorder);
    g_assert_cmpuint(recorder_count(s->recorder, from, finished), ==, 1);
}

/* Two callers at the same instant: one of them wins, the other one is told so. */
static void test_pivot_against_abort(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);
    const Sought finished = {.path = s->disk, .member = "JobFinished"};
    g_autoptr(Recorder) other = recorder_new(test_bus_address(s->rig->bus));
    const unsigned pivot = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);
    const unsigned abort = recorder_send(other, s->disk, DISK_INTERFACE, "Abort", NULL);
    const bool pivots =
        recorder_at(s->recorder, recorder_await(s->recorder, pivot))->kind == RECORD_REPLY;
    const bool aborts = recorder_at(other, recorder_await(other, abort))->kind == RECORD_REPLY;

    g_assert_true(pivots != aborts);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    scene_check_active(s, pivots ? 1 : 2, pivots ? scene_base(s) : scene_top(s));
    recorder_settle(s->recorder);
    g_assert_cmpuint(recorder_count(s->recorder, from, finished), ==, 1);
}

static void test_no_job(void)
{
    g_autoptr(Scene) s = scene_new(NULL);

    check_refused(s, SERVICE_ERROR("NoJob"), "Pivot", NULL, false, NULL);
    check_refused(s, SERVICE_ERROR("NoJob"), "Abort", NULL, false, NULL);
    g_assert_false(property_exists(s->recorder, s->disk, JOB_INTERFACE));
    scene_commit_until_ready(s);
}

static void test_nothing_to_commit(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 1});

    check_refused(s, SERVICE_ERROR("NothingToCommit"), "Commit", "b", true, "snapshot");
    check_refused(s, SERVICE_ERROR("NothingToCommit"), "Commit", "b", false, "snapshot");
}

static void test_nothing_to_commit_after_pivot(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qemu_wait_no_jobs(s->vm);
    check_refused(s, SERVICE_ERROR("NothingToCommit"), "Commit", "b", true, NULL);
}

static void test_wrong_arguments(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    Before before = look(s);
    Recorder *r = s->recorder;

    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Commit", NULL);
    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Commit", "s", "true");
    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Commit", "u", 1);
    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Commit", "v", "b", 1);
    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Commit", "bb", 1, 1);
    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Pivot", "b", 1);
    recorder_refused(r, INVALID_ARGS, s->disk, DISK_INTERFACE, "Abort", "s", "now");
    check_unchanged(s, &before);
    scene_commit_until_ready(s);

    before = look(s);
    recorder_refused(r, INVALID_ARGS, s->disk, JOB_INTERFACE, "SetSpeed", "x", INT64_C(-1));
    recorder_refused(r, INVALID_ARGS, s->disk, JOB_INTERFACE, "SetSpeed", "t", UINT64_MAX);
    recorder_refused(r, INVALID_ARGS, s->disk, JOB_INTERFACE, "SetSpeed", "t", UINT64_C(1) << 63);
    check_unchanged(s, &before);
}

static void test_unknown_objects(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autofree char *no_vm = rig_disk_path("web2", "vda");
    g_autofree char *no_disk = rig_disk_path("web1", "vdb");
    g_autofree char *strange = rig_disk_path("web1", "v\"d/a é");
    static const char *const members[] = {"Commit", "Pivot", "Abort"};
    Before before = look(s);

    for (unsigned i = 0; i < G_N_ELEMENTS(members); i++) {
        const char *types = i == 0 ? "b" : NULL;
        const char *text;

        text = recorder_refused(s->recorder, SERVICE_ERROR("NoSuchVM"), no_vm, DISK_INTERFACE,
                                members[i], types, 1);
        g_assert_nonnull(strstr(text, "web2"));
        text = recorder_refused(s->recorder, SERVICE_ERROR("NoSuchDisk"), no_disk, DISK_INTERFACE,
                                members[i], types, 1);
        check_names(text, "web1", "vdb");
        recorder_refused(s->recorder, SERVICE_ERROR("NoSuchDisk"), strange, DISK_INTERFACE,
                         members[i], types, 1);
    }
    check_unchanged(s, &before);
    scene_commit_until_ready(s);
}

static void test_read_only(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, IMAGE_MIB);
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");
    g_autofree char *disk = NULL;
    const char *text;

    qemu_option(vm, "-drive", "if=none,id=d0,read-only=on,format=qcow2,file=%s", chain[1]);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=d0,id=vda");
    qemu_start(vm);
    disk = rig_wait_disk(rig, "web1", "vda");
    g_assert_true(property_bool(rig->recorder, disk, DISK_INTERFACE, "ReadOnly"));
    for (int active = 0; active < 2; active++) {
        text = recorder_refused(rig->recorder, SERVICE_ERROR("ReadOnly"), disk, DISK_INTERFACE,
                                "Commit", "b", active);
        check_names(text, "web1", "vda");
    }
    g_assert_cmpuint(qemu_count_jobs(vm), ==, 0);
}

static void test_empty_drive(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");
    g_autofree char *disk = NULL;

    qemu_option(vm, "-device", "ide-cd,id=cd");
    qemu_start(vm);
    disk = rig_wait_disk(rig, "web1", "cd");
    check_names(recorder_refused(rig->recorder, SERVICE_ERROR("NothingToCommit"), disk,
                                 DISK_INTERFACE, "Commit", "b", 1),
                "web1", "cd");
    g_assert_cmpuint(qemu_count_jobs(vm), ==, 0);
}

/* Another process reads the base: QEMU cannot get the lock to write to it. */
static void test_base_in_use(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autoptr(Qemu) other = qemu_new(QEMU_STORAGE_DAEMON, NULL, NULL);

    qemu_option(other, "--blockdev",
                "driver=qcow2,node-name=base,read-only=on,file.driver=file,file.filename=%s",
                scene_base(s));
    qemu_start(other);
    check_refused(s, SERVICE_ERROR("ImageInUse"), "Commit", "b", true, NULL);
    qemu_quit(other);
    scene_commit_until_ready(s);
}

/* A job of somebody else blocks ours, and is not touched. */
static void test_job_of_another(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.blockdev = true});

    qmp_client_do(qemu_monitor(s->vm), "block-commit", "{'job-id': 'theirs', 'device': 'node1'}");
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_READY"));
    property_wait_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    check_refused(s, SERVICE_ERROR("JobExists"), "Commit", "b", true, NULL);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    qmp_client_do(qemu_monitor(s->vm), "block-job-cancel", "{'device': 'theirs'}");
    qemu_wait_no_jobs(s->vm);
    scene_commit_until_ready(s);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/refusals/active-layer-needs-the-flag", test_active_layer);
    g_test_add_func("/refusals/pivot-and-commit-while-running", test_running);
    g_test_add_func("/refusals/second-commit-when-ready", test_ready);
    g_test_add_data_func("/refusals/pivot-twice", "Pivot", test_ending_twice);
    g_test_add_data_func("/refusals/abort-twice", "Abort", test_ending_twice);
    g_test_add_func("/refusals/pivot-against-abort", test_pivot_against_abort);
    g_test_add_func("/refusals/no-job", test_no_job);
    g_test_add_func("/refusals/chain-of-one", test_nothing_to_commit);
    g_test_add_func("/refusals/nothing-to-commit-after-pivot", test_nothing_to_commit_after_pivot);
    g_test_add_func("/refusals/wrong-arguments", test_wrong_arguments);
    g_test_add_func("/refusals/unknown-vm-and-disk", test_unknown_objects);
    g_test_add_func("/refusals/read-only-disk", test_read_only);
    g_test_add_func("/refusals/empty-drive", test_empty_drive);
    g_test_add_func("/refusals/base-in-use-by-another-process", test_base_in_use);
    g_test_add_func("/refusals/job-of-another-client", test_job_of_another);
    return g_test_run();
}
