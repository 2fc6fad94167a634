/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps of disks that are committed together, on a real QEMU: they are carried on all disks
 * before any guest goes on with its base, or no disk is pivoted.
 */
#include <string.h>

#include "image.h"
#include "properties.h"
#include "rig.h"

#define DISKS 2
#define SIZE (16 * IMAGE_MIB)

/* On each disk the chain "top", "mid", "base", and the number of the disk. */
typedef struct World {
    Rig *rig;
    Recorder *recorder;
    Qemu *vm;
    char *path; /* of the VM */
} World;

static char *node(const char *image, unsigned disk)
{
    return g_strdup_printf("%s%u", image, disk);
}

static void add_disk(World *w, unsigned i, const char *base_format)
{
    g_autofree char *base = node("base", i), *mid = node("mid", i), *top = node("top", i);
    g_autofree char *base_file = image_create(w->rig->dir, base, base_format, SIZE);
    g_autofree char *mid_file = image_overlay(w->rig->dir, mid, base_file, base_format, SIZE);
    g_autofree char *top_file = image_overlay(w->rig->dir, top, mid_file, "qcow2", SIZE);

    image_fill(mid_file, "qcow2", 0x11, IMAGE_MIB, IMAGE_MIB);
    image_fill(top_file, "qcow2", 0x22, 2 * IMAGE_MIB, IMAGE_MIB);
    qemu_option(w->vm, "-blockdev",
                "driver=%s,node-name=%s,read-only=on,file.driver=file,file.filename=%s",
                base_format, base, base_file);
    qemu_option(w->vm, "-blockdev",
                "driver=qcow2,node-name=%s,read-only=on,file.driver=file,file.filename=%s,"
                "backing=%s",
                mid, mid_file, base);
    qemu_option(w->vm, "-blockdev",
                "driver=qcow2,node-name=%s,file.driver=file,file.filename=%s,backing=%s", top,
                top_file, mid);
    qemu_option(w->vm, "-device", "virtio-blk-pci,drive=%s,id=vd%c", top, 'a' + i);
}

/* last: format of the base of the last disk. */
static World *world_new(const char *last)
{
    World *w = g_new0(World, 1);

    w->rig = rig_new();
    w->recorder = w->rig->recorder;
    w->path = rig_vm_path("web1");
    w->vm = rig_qemu(w->rig, QEMU_SYSTEM, "web1");
    for (unsigned i = 0; i < DISKS; i++)
        add_disk(w, i, i == DISKS - 1 ? last : "qcow2");
    g_ptr_array_add(qemu_arguments(w->vm), g_strdup("-S"));
    qemu_start(w->vm);
    for (unsigned i = 0; i < DISKS; i++) {
        char id[] = {'v', 'd', (char)('a' + i), '\0'};

        g_free(rig_wait_disk(w->rig, "web1", id));
    }
    return w;
}

static void world_free(World *w)
{
    if (!w)
        return;
    qemu_free(w->vm);
    rig_free(w->rig);
    g_free(w->path);
    g_free(w);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void add_bitmap(World *w, const char *image, unsigned disk)
{
    g_autofree char *name = node(image, disk);

    qmp_client_do(qemu_monitor(w->vm), "block-dirty-bitmap-add",
                  "{'node': '%s', 'name': 'backup', 'persistent': true}", name);
}

/* Bytes that the bitmap of that name marks, -1 where there is none. */
static int64_t count_of(World *w, const char *image, unsigned disk, const char *name)
{
    g_autofree char *wanted = node(image, disk);
    json_object *nodes =
        qmp_client_command(qemu_monitor(w->vm), "query-named-block-nodes", "{'flat': true}");
    json_object *bitmaps, *word;
    int64_t count = -1;

    for (size_t i = 0; i < json_object_array_length(nodes); i++) {
        json_object *o = json_object_array_get_idx(nodes, i);

        if (strcmp(qmp_text(o, "node-name"), wanted) != 0 ||
            !json_object_object_get_ex(o, "dirty-bitmaps", &bitmaps))
            continue;
        for (size_t k = 0; k < json_object_array_length(bitmaps); k++) {
            json_object *bitmap = json_object_array_get_idx(bitmaps, k);

            if (json_object_object_get_ex(bitmap, "name", &word) &&
                strcmp(json_object_get_string(word), name) == 0)
                count = json_object_get_int64(qmp_member(bitmap, "count"));
        }
    }
    json_object_put(nodes);
    return count;
}

static unsigned commit(World *w, bool active)
{
    const unsigned from = recorder_mark(w->recorder);

    recorder_call(w->recorder, w->path, VM_INTERFACE, "Commit", "b", (int)active);
    return from;
}

static void call(World *w, unsigned from, const char *member)
{
    recorder_wait(w->recorder, from, (Sought){.path = w->path, .member = "JobsReady"});
    recorder_call(w->recorder, w->path, VM_INTERFACE, member, NULL);
}

static void check_finished(World *w, unsigned from, const char *expected)
{
    const unsigned position =
        recorder_wait(w->recorder, from, (Sought){.path = w->path, .member = "JobsFinished"});
    sd_bus_message *m = recorder_at(w->recorder, position)->message;
    const char *path, *result, *message;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(oss)"), >=, 0);
    while (sd_bus_message_read(m, "(oss)", &path, &result, &message) > 0)
        if (strcmp(result, expected) != 0)
            g_error("%s is %s, not %s: %s", path, result, expected, message);
    qemu_wait_no_jobs(w->vm);
    for (unsigned i = 0; i < DISKS; i++)
        g_assert_cmpint(count_of(w, "base", i, "vmdisk-recorder"), ==, -1);
}

static void test_pivot(void)
{
    g_autoptr(World) w = world_new("qcow2");
    unsigned from;

    add_bitmap(w, "top", 0);
    add_bitmap(w, "mid", 1);
    from = commit(w, true);
    call(w, from, "Pivot");
    check_finished(w, from, "completed");
    g_assert_cmpint(count_of(w, "base", 0, "backup"), ==, 0);
    /* with all that was in the image above, and in its own */
    g_assert_cmpint(count_of(w, "base", 1, "backup"), ==, 2 * IMAGE_MIB);
}

static void test_abort(void)
{
    g_autoptr(World) w = world_new("qcow2");
    unsigned from;

    add_bitmap(w, "top", 0);
    add_bitmap(w, "mid", 1);
    from = commit(w, true);
    call(w, from, "Abort");
    check_finished(w, from, "kept");
    for (unsigned i = 0; i < DISKS; i++)
        g_assert_cmpint(count_of(w, "base", i, "backup"), ==, -1);
}

static void test_below(void)
{
    g_autoptr(World) w = world_new("qcow2");
    unsigned from;

    add_bitmap(w, "mid", 0);
    add_bitmap(w, "mid", 1);
    from = commit(w, false);
    check_finished(w, from, "completed");
    for (unsigned i = 0; i < DISKS; i++)
        g_assert_cmpint(count_of(w, "base", i, "backup"), ==, 0);
}

/* One that came up while the jobs ran, and has no place in its base: nobody is pivoted. */
static void test_one_cannot(void)
{
    g_autoptr(World) w = world_new("raw");
    unsigned from;

    add_bitmap(w, "top", 0);
    from = commit(w, true);
    recorder_wait(w->recorder, from, (Sought){.path = w->path, .member = "JobsReady"});
    add_bitmap(w, "top", 1);
    call(w, from, "Pivot");
    check_finished(w, from, "kept");
    for (unsigned i = 0; i < DISKS; i++)
        g_assert_cmpint(count_of(w, "top", i, "backup"), >=, 0);
}

static void test_refused(void)
{
    g_autoptr(World) w = world_new("raw");
    const char *text;
    unsigned from;

    add_bitmap(w, "top", 1);
    text = recorder_refused(w->recorder, SERVICE_ERROR("NotSupported"), w->path, VM_INTERFACE,
                            "Commit", "b", (int)true);
    g_assert_nonnull(strstr(text, "'vdb'"));
    g_assert_nonnull(strstr(text, "drop-bitmaps"));
    from = recorder_mark(w->recorder);
    recorder_call(w->recorder, w->path, VM_INTERFACE, "CommitWith", "a{sv}", 3, "active", "b",
                  (int)true, "on-ready", "s", "pivot", "drop-bitmaps", "b", (int)true);
    check_finished(w, from, "completed");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-bitmaps/pivot", test_pivot);
    g_test_add_func("/group-bitmaps/abort", test_abort);
    g_test_add_func("/group-bitmaps/below", test_below);
    g_test_add_func("/group-bitmaps/one-cannot", test_one_cannot);
    g_test_add_func("/group-bitmaps/refused", test_refused);
    return g_test_run();
}
