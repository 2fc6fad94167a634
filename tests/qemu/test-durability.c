/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * "Completed" means safe: QEMU is killed in the instant after JobFinished, and the chain that is on
 * disk then holds every write that the guest was told is there.
 */
#include "scene.h"

/* Data that only an image in the middle holds, where no other image has allocated anything. */
#define MIDDLE_BYTE 0x3c
#define MIDDLE_OFFSET (52 * IMAGE_MIB)
#define MIDDLE_LENGTH (4 * IMAGE_MIB)

static void fill_middle(const Scene *s)
{
    if (s->depth > 2)
        image_fill(s->chain[1], "qcow2", MIDDLE_BYTE, MIDDLE_OFFSET, MIDDLE_LENGTH);
}

static void check_middle(const char *file, const char *format)
{
    image_check_filled(file, format, MIDDLE_BYTE, MIDDLE_OFFSET, MIDDLE_LENGTH);
}

static void check_data(const char *file, const char *format)
{
    image_check_filled(file, format, SCENE_DATA_BYTE, SCENE_DATA_OFFSET, SCENE_DATA_LENGTH);
}

typedef struct Case {
    const char *path; /* of the test */
    SceneOptions options;
} Case;

static const Case active_cases[] = {
    {"/durability/active/qcow2", {.base_format = "qcow2"}},
    {"/durability/active/raw", {.base_format = "raw"}},
    {"/durability/active/blockdev", {.blockdev = true}},
    {"/durability/active/writable-base", {.blockdev = true, .base_writable = true}},
};

static void test_pivot(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(Scene) s = scene_new(&c->options);
    const unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_base(s), s->base_format);
    check_data(scene_base(s), s->base_format);
}

static void test_keep(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(Scene) s = scene_new(&c->options);
    const unsigned from = scene_commit_until_ready(s);
    const uint32_t before = guest_acknowledged(s->guest, 0);

    scene_abort(s);
    scene_wait_finished(s, from, "kept");
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    check_data(scene_base(s), s->base_format);
    g_assert_cmpuint(guest_check_image(s->guest, 0, scene_base(s), s->base_format), >=, before);
}

static const Case intermediate_cases[] = {
    {"/durability/intermediate/qcow2", {.depth = 4, .prepare = fill_middle}},
    {"/durability/intermediate/raw", {.depth = 4, .base_format = "raw", .prepare = fill_middle}},
    {"/durability/intermediate/blockdev", {.depth = 4, .blockdev = true, .prepare = fill_middle}},
    {"/durability/intermediate/writable-base",
     {.depth = 4, .blockdev = true, .base_writable = true, .prepare = fill_middle}},
};

static void test_intermediate(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(Scene) s = scene_new(&c->options);
    const unsigned from = scene_commit(s, false);
    g_autofree char *backing = NULL;

    scene_wait_finished(s, from, "completed");
    qemu_kill(s->vm);
    backing = image_backing_file(scene_top(s));
    g_assert_cmpstr(backing, ==, scene_base(s));
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    check_middle(scene_base(s), s->base_format);
    check_middle(scene_top(s), "qcow2");
    check_data(scene_top(s), "qcow2");
}

/* QEMU leaves the base open read-write after an active commit that did not pivot, and does not
 * flush a base that was so when the next, intermediate, commit begins. */
static void test_intermediate_after_keep(gconstpointer base_format)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_format = base_format});
    unsigned from = scene_commit_until_ready(s);
    g_autofree char *top = NULL, *backing = NULL;

    scene_abort(s);
    scene_wait_finished(s, from, "kept");
    scene_write(s, MIDDLE_BYTE, MIDDLE_OFFSET, MIDDLE_LENGTH);
    top = scene_snapshot(s, "second");
    from = scene_commit(s, false);
    scene_wait_finished(s, from, "completed");
    qemu_kill(s->vm);

    backing = image_backing_file(top);
    g_assert_cmpstr(backing, ==, scene_base(s));
    check_middle(top, "qcow2");
    check_data(top, "qcow2");
    guest_check_nothing_lost(s->guest, 0, top, "qcow2");
}

static void test_cancelled(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);

    scene_abort(s);
    scene_release(s);
    scene_wait_finished(s, from, "cancelled");
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    check_data(scene_top(s), "qcow2");
}

/* The base that was merged into is what the VM is started from again; and round again. */
static void test_restart_on_base(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);
    g_autoptr(Guest) guest = NULL;
    g_autoptr(Qemu) vm = NULL;
    uint32_t held;

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qemu_kill(s->vm);
    held = guest_check_image(s->guest, 0, scene_base(s), "qcow2");
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);

    vm = rig_qemu(s->rig, QEMU_SYSTEM, "web1");
    guest = guest_new(s->rig->dir, "again", &(GuestOptions){.already = held, .read_back = true});
    qemu_option(vm, "-drive", "if=none,id=d0,cache=writethrough,format=qcow2,file=%s",
                scene_base(s));
    qemu_option(vm, "-device", "virtio-blk-pci,drive=d0,id=vda,bootindex=1");
    guest_add_arguments(guest, qemu_arguments(vm));
    qemu_start(vm);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
    guest_wait_more(guest, 0, 300);
    qemu_kill(vm);
    guest_check_nothing_lost(guest, 0, scene_base(s), "qcow2");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(active_cases); i++) {
        g_autofree char *keep = g_strconcat(active_cases[i].path, "-kept", NULL);

        g_test_add_data_func(active_cases[i].path, &active_cases[i], test_pivot);
        g_test_add_data_func(keep, &active_cases[i], test_keep);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(intermediate_cases); i++)
        g_test_add_data_func(intermediate_cases[i].path, &intermediate_cases[i], test_intermediate);
    g_test_add_data_func("/durability/intermediate/after-keep-on-qcow2", "qcow2",
                         test_intermediate_after_keep);
    g_test_add_data_func("/durability/intermediate/after-keep-on-raw", "raw",
                         test_intermediate_after_keep);
    g_test_add_func("/durability/active/cancelled", test_cancelled);
    g_test_add_func("/durability/active/restart-on-base", test_restart_on_base);
    return g_test_run();
}
