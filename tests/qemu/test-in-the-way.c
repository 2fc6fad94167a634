/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What stands in the way of a commit, or has to stand back because of one: other operations on the
 * disk, images that another VM uses, a base that nobody may write to.
 */
#include "scene.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

/* What others ask QEMU for while our job works on the nodes. %s: a new file. */
static const struct {
    const char *command, *arguments;
} operations[] = {
    {"block_resize", "{'node-name': 'node1', 'size': 134217728}"},
    {"blockdev-snapshot-sync",
     "{'node-name': 'node1', 'snapshot-file': '%s', 'snapshot-node-name': 'n', 'format': 'qcow2'}"},
    {"block-stream", "{'device': 'node1', 'job-id': 'theirs'}"},
    {"drive-mirror", "{'device': 'node1', 'job-id': 'theirs', 'target': '%s', 'sync': 'full'}"},
    {"block-commit", "{'device': 'node1', 'job-id': 'theirs'}"},
};

static void check_others_refused(Scene *s)
{
    g_autofree char *file = g_build_filename(s->rig->dir, "theirs", NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(operations); i++) {
        g_auto(GStrv) parts = g_strsplit(operations[i].arguments, "%s", 2);
        g_autofree char *arguments = g_strjoinv(file, parts);

        g_free(qmp_client_refused(qemu_monitor(s->vm), operations[i].command, "%.*s",
                                  (int)strlen(arguments), arguments));
    }
}

static void check_ours_refused(Scene *s)
{
    const char *text = recorder_refused(s->recorder, SERVICE_ERROR("JobExists"), s->disk,
                                        DISK_INTERFACE, "Commit", "b", 1);

    if (!strstr(text, "web1") || !strstr(text, "vda"))
        g_error("The text does not name VM and disk: %s", text);
    recorder_refused(s->recorder, SERVICE_ERROR("JobExists"), s->disk, DISK_INTERFACE, "CommitWith",
                     "a{sv}", 2, "active", "b", 1, "shallow", "b", 1);
}

/* Whoever wants something else of the disk meanwhile is refused, and the job takes no notice. */
static void test_during_job(gconstpointer state)
{
    const bool ready = strcmp(state, "ready") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.blockdev = true});
    const unsigned from = recorder_mark(s->recorder);

    /* A slow base would make QEMU wait before it refuses. */
    scene_commit_with(s, 2, "active", "b", 1, "speed", "t", (uint64_t)(ready ? 0 : 65536));
    if (ready)
        scene_wait_ready(s, from);
    check_others_refused(s);
    check_ours_refused(s);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", state);
    if (!ready) {
        recorder_call(s->recorder, s->disk, JOB_INTERFACE, "SetSpeed", "t", UINT64_C(0));
        scene_wait_ready(s, from);
    }
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_base(s), "qcow2");
}

/* The VM "web2" with the disk "vdb" on that image. */
static Qemu *start_second(Scene *s, const char *file, bool read_only)
{
    Qemu *vm = rig_qemu(s->rig, QEMU_SYSTEM, "web2");

    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    qemu_option(vm, "-drive", "if=none,id=d0,format=qcow2,read-only=%s,file=%s",
                read_only ? "on" : "off", file);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=d0,id=vdb");
    qemu_start(vm);
    g_free(rig_wait_disk(s->rig, "web2", "vdb"));
    return vm;
}

static void check_names_user(const char *text)
{
    static const char *const parts[] = {"'web1'", "'vda'", "'web2'", "'vdb'"};

    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++)
        if (!strstr(text, parts[i]))
            g_error("The text does not speak of %s: %s", parts[i], text);
}

/* Nothing has happened; and when the other VM is gone, the commit does its work. */
static void check_free_again(Scene *s, Qemu *other)
{
    unsigned from;

    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
    scene_check_active(s, 2, scene_top(s));
    qemu_quit(other);
    from = scene_commit_until_ready(s);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
}

/* The other VM's disk is the base itself. */
static void test_base_of_reader(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    g_autoptr(Qemu) other = start_second(s, scene_base(s), true);

    check_names_user(recorder_refused(s->recorder, SERVICE_ERROR("ImageInUse"), s->disk,
                                      DISK_INTERFACE, "Commit", "b", 1));
    check_free_again(s, other);
}

/* The other VM's disk is an overlay on the base. Even who overrides what is on record cannot
 * override QEMU's lock. */
static void test_base_of_overlay(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    g_autofree char *overlay =
        image_overlay(s->rig->dir, "other", scene_base(s), "qcow2", SCENE_SIZE);
    g_autoptr(Qemu) other = start_second(s, overlay, false);

    check_names_user(recorder_refused(s->recorder, SERVICE_ERROR("ImageInUse"), s->disk,
                                      DISK_INTERFACE, "Commit", "b", 1));
    check_names_user(recorder_refused(s->recorder, SERVICE_ERROR("ImageInUse"), s->disk,
                                      DISK_INTERFACE, "CommitWith", "a{sv}", 2, "active", "b", 1,
                                      "override", "b", 1));
    recorder_call(s->recorder, SERVICE_PATH, MANAGER_INTERFACE, "ForgetImage", "s", overlay);
    check_names_user(recorder_refused(s->recorder, SERVICE_ERROR("ImageInUse"), s->disk,
                                      DISK_INTERFACE, "Commit", "b", 1));
    check_free_again(s, other);
}

/* Root may write to what nobody may write to: from here on, and for what we start, not any more. */
static void protect_base(const Scene *s)
{
    prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE);
    g_assert_cmpint(chmod(scene_base(s), 0444), ==, 0);
}

static void test_protected_base(gconstpointer layer)
{
    const bool active = strcmp(layer, "active") == 0;
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.depth = active ? 2 : 3, .no_guest = true, .prepare = protect_base});
    const char *text = recorder_refused(s->recorder, SERVICE_ERROR("ReadOnly"), s->disk,
                                        DISK_INTERFACE, "Commit", "b", (int)active);
    unsigned from;

    if (!strstr(text, "web1") || !strstr(text, "vda") || !strstr(text, "base"))
        g_error("The text does not name VM, disk and base: %s", text);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
    scene_check_active(s, s->depth, scene_top(s));

    g_assert_cmpint(chmod(scene_base(s), 0644), ==, 0);
    from = scene_commit(s, active);
    if (active) {
        scene_wait_ready(s, from);
        scene_pivot(s);
    }
    scene_wait_finished(s, from, "completed");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/in-the-way/others-during-job/running", "running", test_during_job);
    g_test_add_data_func("/in-the-way/others-during-job/ready", "ready", test_during_job);
    g_test_add_func("/in-the-way/base-is-disk-of-another-vm", test_base_of_reader);
    g_test_add_func("/in-the-way/base-is-below-another-vm", test_base_of_overlay);
    g_test_add_data_func("/in-the-way/protected-base/active", "active", test_protected_base);
    g_test_add_data_func("/in-the-way/protected-base/below", "below", test_protected_base);
    return g_test_run();
}
