/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disk.CommitWith on a real QEMU: which images a caller can choose, what can be chosen in advance,
 * and what is refused.
 */
#include "scene.h"

#include <string.h>

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

static void check_end(Scene *s, unsigned active)
{
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, s->chain[active], "qcow2");
    image_check_clean(s->chain[active]);
    scene_check_marks(s, active, 1, s->depth - 1);
}

/* One layer after the other, from below and from above, until one image is left. */
static void test_shallow_rounds(gconstpointer layer)
{
    const bool active = strcmp(layer, "active") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 5, .prepare = scene_mark_images});

    for (unsigned depth = 5; depth > (active ? 1 : 2); depth--) {
        unsigned from = recorder_mark(s->recorder);

        scene_commit_with(s, 2, "active", "b", active, "shallow", "b", true);
        if (active) {
            scene_wait_ready(s, from);
            scene_pivot(s);
        }
        scene_wait_finished(s, from, "completed");
        scene_wait_depth(s, depth - 1);
    }
    check_end(s, active ? 0 : 4);
}

/* Images are opened with options and have names of the user's. */
static void test_named_nodes(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .blockdev = true, .prepare = scene_mark_images});
    unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "top", "s", "node2", "base", "s", s->chain[1]);
    scene_wait_finished(s, from, "completed");
    from = recorder_mark(s->recorder);
    scene_commit_with(s, 2, "active", "b", true, "base", "s", "node1");
    scene_wait_ready(s, from);
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "Top", "node3");
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "Base", "node1");
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    scene_wait_depth(s, 2);
    check_end(s, 1);
}

/* The choice was made in advance: nobody says anything more. */
static void test_on_ready(gconstpointer choice)
{
    const bool pivots = strcmp(choice, "pivot") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "active", "b", true, "on-ready", "s", choice);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    recorder_settle(s->recorder);
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobReady"}), ==, 1);
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobFinished"}), ==, 1);
    scene_check_active(s, pivots ? 1 : 2, pivots ? scene_base(s) : scene_top(s));
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, pivots ? scene_base(s) : scene_top(s), "qcow2");
}

static void test_speed(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "active", "b", true, "speed", "t", UINT64_C(65536));
    g_assert_cmpuint(property_u64(s->recorder, s->disk, JOB_INTERFACE, "Speed"), ==, 65536);
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "SetSpeed", "t", UINT64_C(0));
    scene_wait_ready(s, from);
    scene_abort(s);
    scene_wait_finished(s, from, "kept");
}

static void test_backing_file(gconstpointer option)
{
    const bool relative = strcmp(option, "relative") == 0;
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .relative = true, .prepare = scene_mark_images});
    unsigned from = recorder_mark(s->recorder);
    g_autofree char *recorded = NULL;

    if (relative)
        scene_commit_with(s, 1, "relative", "b", true);
    else
        scene_commit_with(s, 1, "backing-file", "s", "./image.0");
    scene_wait_finished(s, from, "completed");
    scene_wait_depth(s, 2);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    recorded = image_backing_file(scene_top(s));
    g_assert_cmpstr(recorded, ==, relative ? "image.0" : "./image.0");
    scene_check_marks(s, 3, 1, 3);
}

/* QEMU knows images that were opened with options by names that hold all of these. */
static void test_plain_backing_file(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){
        .depth = 12, .blockdev = true, .relative = true, .prepare = scene_mark_images});
    unsigned from = recorder_mark(s->recorder);
    g_autofree char *recorded = NULL;

    scene_commit_with(s, 2, "top", "s", "node10", "base", "s", "node9");
    scene_wait_finished(s, from, "completed");
    scene_wait_depth(s, 11);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    recorded = image_backing_file(scene_top(s));
    g_assert_cmpstr(recorded, ==, s->chain[9]);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
}

/* Everything that must be as it was after a refusal. */
#define refused(s, error, hint, ...)                                                               \
    check_refused((s),                                                                             \
                  recorder_refused((s)->recorder, error, (s)->disk, DISK_INTERFACE, "CommitWith",  \
                                   "a{sv}", __VA_ARGS__),                                          \
                  hint)

static void check_refused(Scene *s, const char *text, const char *hint)
{
    if (!strstr(text, hint))
        g_error("The text does not speak of %s: %s", hint, text);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "none");
}

static void test_refused_options(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 4});

    refused(s, INVALID_ARGS, "'bottom'", 1, "bottom", "s", "1");
    refused(s, INVALID_ARGS, "twice", 2, "base", "s", "3", "base", "s", "3");
    refused(s, INVALID_ARGS, "boolean", 1, "active", "s", "yes");
    refused(s, INVALID_ARGS, "string", 1, "top", "u", UINT32_C(1));
    refused(s, INVALID_ARGS, "'on-ready'", 1, "on-ready", "s", "reboot");
    refused(s, INVALID_ARGS, "report, stop, enospc", 1, "on-error", "s", "ignore");
    refused(s, INVALID_ARGS, "'shallow'", 2, "shallow", "b", true, "base", "s", "3");
    refused(s, INVALID_ARGS, "'relative'", 2, "relative", "b", true, "backing-file", "s", "x");
    refused(s, INVALID_ARGS, "'backing-file'", 2, "active", "b", true, "backing-file", "s", "x");
    refused(s, INVALID_ARGS, "'on-ready'", 1, "on-ready", "s", "pivot");
    refused(s, INVALID_ARGS, "2^63-1", 1, "speed", "t", UINT64_MAX);
    refused(s, INVALID_ARGS, "number", 1, "speed", "x", INT64_C(-1));
    refused(s, INVALID_ARGS, "1023", 1, "backing-file", "s", "");
    refused(s, SERVICE_ERROR("NotSupported"), "'backing-file'", 1, "relative", "b", true);
}

/* Not all that QEMU was told to open it with. */
static void test_refusal_names_files(void)
{
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.depth = 4, .blockdev = true, .relative = true, .no_guest = true});
    const char *text =
        recorder_refused(s->recorder, INVALID_ARGS, s->disk, DISK_INTERFACE, "CommitWith", "a{sv}",
                         3, "active", "b", 1, "top", "s", "0", "base", "s", "0");

    check_refused(s, text, scene_top(s));
    g_assert_null(strstr(text, "json:"));
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/commit-with/shallow-rounds-active", "active", test_shallow_rounds);
    g_test_add_data_func("/commit-with/shallow-rounds-below", "below", test_shallow_rounds);
    g_test_add_func("/commit-with/named-nodes", test_named_nodes);
    g_test_add_data_func("/commit-with/on-ready-pivot", "pivot", test_on_ready);
    g_test_add_data_func("/commit-with/on-ready-keep", "keep", test_on_ready);
    g_test_add_func("/commit-with/speed", test_speed);
    g_test_add_data_func("/commit-with/backing-file", "given", test_backing_file);
    g_test_add_data_func("/commit-with/relative-backing-file", "relative", test_backing_file);
    g_test_add_func("/commit-with/plain-backing-file", test_plain_backing_file);
    g_test_add_func("/commit-with/refuses-options", test_refused_options);
    g_test_add_func("/commit-with/refusal-names-files", test_refusal_names_files);
    return g_test_run();
}
