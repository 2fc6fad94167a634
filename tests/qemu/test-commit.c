/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Committing on a real QEMU while a guest writes: the two ends of the two-phase job, the one-phase
 * job, and what they leave in the images.
 */
#include "scene.h"

static void check_scene_data(const char *file, const char *format)
{
    image_check_filled(file, format, SCENE_DATA_BYTE, SCENE_DATA_OFFSET, SCENE_DATA_LENGTH);
}

/* After the VM is gone: the image holds all that the guest was told, and the data from before. */
static void check_complete(Scene *s, const char *file, const char *format)
{
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, file, format);
    check_scene_data(file, format);
}

static void test_pivot(gconstpointer base_format)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_format = base_format});
    g_autofree char *node = NULL;
    unsigned from;

    from = scene_commit_until_ready(s);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    guest_wait_more(s->guest, 0, 10);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");

    scene_check_active(s, 1, scene_base(s));
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "none");
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "Format", base_format);
    node = property_chain_string(s->recorder, s->disk, 0, "node");
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "Node", node);
    qemu_wait_no_jobs(s->vm);
    guest_wait_more(s->guest, 0, 100);
    check_complete(s, scene_base(s), base_format);
}

static void test_keep(gconstpointer base_format)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_format = base_format});
    uint32_t before, after, held;
    unsigned from;

    from = scene_commit_until_ready(s);
    before = guest_wait_more(s->guest, 0, 10);
    scene_abort(s);
    scene_wait_finished(s, from, "kept");
    after = guest_acknowledged(s->guest, 0);

    scene_check_active(s, 2, scene_top(s));
    qemu_wait_no_jobs(s->vm);
    held = guest_check_image(s->guest, 0, scene_base(s), base_format);
    g_assert_cmpuint(held, >=, before);
    g_assert_cmpuint(held, <=, after + 1);
    check_scene_data(scene_base(s), base_format);

    /* The guest goes on, and none of it reaches the base. */
    guest_wait_more(s->guest, 0, 300);
    check_complete(s, scene_top(s), "qcow2");
    g_assert_cmpuint(guest_check_image(s->guest, 0, scene_base(s), base_format), ==, held);
}

static void test_cancel(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);

    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "running");
    scene_abort(s);
    scene_release(s);
    scene_wait_finished(s, from, "cancelled");
    recorder_settle(s->recorder);
    g_assert_cmpint(recorder_find(s->recorder, from, (Sought){.member = "JobReady"}), ==, -1);

    scene_check_active(s, 2, scene_top(s));
    qemu_wait_no_jobs(s->vm);
    guest_wait_more(s->guest, 0, 100);
    check_complete(s, scene_top(s), "qcow2");
}

/* Golden base: the same overlay is committed again and again. */
static void test_keep_rounds(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest.read_back = true});
    uint32_t held = 0;

    for (unsigned round = 0; round < 50; round++) {
        const unsigned from = scene_commit_until_ready(s);
        const uint32_t before = guest_wait_more(s->guest, 0, 10);

        scene_abort(s);
        scene_wait_finished(s, from, "kept");
        g_assert_cmpuint(before, >, held);
        held = guest_check_image(s->guest, 0, scene_base(s), "qcow2");
        g_assert_cmpuint(held, >=, before);
    }
    check_complete(s, scene_top(s), "qcow2");
}

/* Temporary snapshot after temporary snapshot, each taken by the test and committed again. */
static void test_pivot_rounds(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest.read_back = true});
    unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    for (unsigned round = 0; round < 3; round++) {
        g_autofree char *name = g_strdup_printf("overlay.%u", round);
        g_autofree char *overlay = scene_snapshot(s, name);

        scene_check_active(s, 2, overlay);
        guest_wait_more(s->guest, 0, 50);
        from = scene_commit_until_ready(s);
        scene_pivot(s);
        scene_wait_finished(s, from, "completed");
        scene_check_active(s, 1, scene_base(s));
    }
    check_complete(s, scene_base(s), "qcow2");
}

static void test_base_smaller(gconstpointer base_format)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.base_format = base_format, .base_size = 8 * IMAGE_MIB});
    const unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    g_assert_cmpuint(property_u64(s->recorder, s->disk, DISK_INTERFACE, "Size"), ==, SCENE_SIZE);
    guest_wait_more(s->guest, 0, 10);
    check_complete(s, scene_base(s), base_format);
}

static void test_whole_chain(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 4});
    const unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
    guest_wait_more(s->guest, 0, 10);
    check_complete(s, scene_base(s), "qcow2");
}

/* Data that only an image in the middle holds. */
static void fill_middle(const Scene *s)
{
    image_fill(s->chain[1], "qcow2", 0x11, 50 * IMAGE_MIB, IMAGE_MIB);
}

static void test_intermediate(gconstpointer base_format)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.base_format = base_format, .depth = 4, .prepare = fill_middle});
    const unsigned from = scene_commit(s, false);
    g_autofree char *backing = NULL;

    scene_wait_finished(s, from, "completed");
    recorder_settle(s->recorder);
    g_assert_cmpint(recorder_find(s->recorder, from, (Sought){.member = "JobReady"}), ==, -1);
    scene_check_active(s, 2, scene_top(s));
    qemu_wait_no_jobs(s->vm);
    backing = image_backing_file(scene_top(s));
    g_assert_cmpstr(backing, ==, scene_base(s));

    guest_wait_more(s->guest, 0, 100);
    check_complete(s, scene_top(s), "qcow2");
    image_check_filled(scene_base(s), base_format, 0x11, 50 * IMAGE_MIB, IMAGE_MIB);
}

static void test_intermediate_cancelled(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .slow_base = true, .prepare = fill_middle});
    const unsigned from = scene_commit(s, false);

    scene_abort(s);
    scene_release(s);
    scene_wait_finished(s, from, "cancelled");
    scene_check_active(s, 4, scene_top(s));
    guest_wait_more(s->guest, 0, 100);
    check_complete(s, scene_top(s), "qcow2");
    image_check_filled(scene_top(s), "qcow2", 0x11, 50 * IMAGE_MIB, IMAGE_MIB);
}

/* The guest does not run at all, or is stopped while the job is ready. */
static void test_stopped(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    const unsigned from = scene_commit_until_ready(s);

    property_check_string(s->recorder, SERVICE_PATH "/vm/web1", VM_INTERFACE, "State", "prelaunch");
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
    qemu_quit(s->vm);
    check_scene_data(scene_base(s), "qcow2");
}

static void test_stopped_when_ready(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    qmp_client_do(qemu_monitor(s->vm), "stop", NULL);
    property_wait_string(s->recorder, SERVICE_PATH "/vm/web1", VM_INTERFACE, "State", "paused");
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qmp_client_do(qemu_monitor(s->vm), "cont", NULL);
    guest_wait_more(s->guest, 0, 100);
    check_complete(s, scene_base(s), "qcow2");
}

static void test_two_hundred_images(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 200});
    g_autofree char *deepest = property_chain_string(s->recorder, s->disk, 199, "file");
    unsigned from;

    scene_check_active(s, 200, scene_top(s));
    g_assert_cmpstr(deepest, ==, scene_base(s));
    from = scene_commit_until_ready(s);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
    guest_wait_more(s->guest, 0, 10);
    check_complete(s, scene_base(s), "qcow2");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/commit/active/pivot-moves-guest-to-qcow2-base", "qcow2", test_pivot);
    g_test_add_data_func("/commit/active/pivot-moves-guest-to-raw-base", "raw", test_pivot);
    g_test_add_data_func("/commit/active/abort-when-ready-keeps-overlay-on-qcow2", "qcow2",
                         test_keep);
    g_test_add_data_func("/commit/active/abort-when-ready-keeps-overlay-on-raw", "raw", test_keep);
    g_test_add_func("/commit/active/abort-before-ready-cancels", test_cancel);
    g_test_add_func("/commit/active/kept-overlay-can-be-committed-again", test_keep_rounds);
    g_test_add_func("/commit/active/snapshot-and-pivot-in-turn", test_pivot_rounds);
    g_test_add_data_func("/commit/active/smaller-qcow2-base-grows", "qcow2", test_base_smaller);
    g_test_add_data_func("/commit/active/smaller-raw-base-grows", "raw", test_base_smaller);
    g_test_add_func("/commit/active/chain-of-four-into-base", test_whole_chain);
    g_test_add_func("/commit/active/vm-that-was-not-started", test_stopped);
    g_test_add_func("/commit/active/vm-stopped-when-ready", test_stopped_when_ready);
    g_test_add_func("/commit/active/two-hundred-images", test_two_hundred_images);
    g_test_add_data_func("/commit/intermediate/images-between-go-into-qcow2-base", "qcow2",
                         test_intermediate);
    g_test_add_data_func("/commit/intermediate/images-between-go-into-raw-base", "raw",
                         test_intermediate);
    g_test_add_func("/commit/intermediate/abort-cancels", test_intermediate_cancelled);
    return g_test_run();
}
