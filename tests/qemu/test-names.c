/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of images: relative ones stay relative, equal ones in different directories are not mixed
 * up, and images whose nodes have generated names are chosen like others.
 */
#include "scene.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

/* Neither a pivot nor a kept overlay touches what the images record. */
static void test_relative_active(gconstpointer conclusion)
{
    const bool pivots = strcmp(conclusion, "pivot") == 0;
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .relative = true, .prepare = scene_mark_images});
    const unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "active", "b", true, "base", "s", s->chain[1]);
    scene_wait_ready(s, from);
    if (pivots)
        scene_pivot(s);
    else
        scene_abort(s);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    scene_wait_chain(s, pivots ? (unsigned[]){1, 0} : (unsigned[]){3, 2, 1, 0}, pivots ? 2 : 4);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, s->chain[pivots ? 1 : 3], "qcow2");
    for (unsigned i = 1; i < s->depth; i++) {
        g_autofree char *below = g_strdup_printf("image.%u", i - 1);
        g_autofree char *recorded = image_backing_file(s->chain[i]);

        g_assert_cmpstr(recorded, ==, below);
    }
}

/* Unless it is asked for a relative name, QEMU records the whole one. */
static void test_whole_name(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .relative = true, .prepare = scene_mark_images});
    const unsigned from = scene_commit(s, false);
    g_autofree char *recorded = NULL;

    scene_wait_finished(s, from, "completed");
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    scene_check_marks(s, 3, 1, 3);
    recorded = image_backing_file(scene_top(s));
    g_assert_cmpstr(recorded, ==, scene_base(s));
}

/* A chain of three images in three directories, each naming the next one by a relative name. */
static void spread(const Scene *s)
{
    for (unsigned i = 0; i < s->depth; i++) {
        g_autofree char *dir = g_strdup_printf("%s/%u", s->rig->dir, i);
        g_autofree char *below = g_strdup_printf("../%u/image", i - 1);

        g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
        g_free(s->chain[i]);
        s->chain[i] = i == 0 ? image_create(dir, "image", "qcow2", SCENE_SIZE)
                             : image_overlay(dir, "image", below, "qcow2", SCENE_SIZE);
    }
    scene_mark_images(s);
}

static void test_directories(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 3, .prepare = spread});
    const unsigned from = recorder_mark(s->recorder);
    g_autofree char *recorded = NULL;

    scene_commit_with(s, 1, "relative", "b", true);
    scene_wait_finished(s, from, "completed");
    scene_wait_depth(s, 2);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    recorded = image_backing_file(scene_top(s));
    g_assert_cmpstr(recorded, ==, "../1/../0/image");
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    image_check_filled(s->chain[0], "qcow2", 0x11, 51 * IMAGE_MIB, IMAGE_MIB);
}

/* The images in a directory below the one in which QEMU starts. */
static void move_below(const Scene *s)
{
    g_assert_cmpint(chdir(s->rig->dir), ==, 0);
    g_assert_cmpint(g_mkdir("sub", 0700), ==, 0);
    for (unsigned i = 0; i < s->depth; i++) {
        g_autofree char *name = g_path_get_basename(s->chain[i]);
        g_autofree char *below = i > 0 ? g_path_get_basename(s->chain[i - 1]) : NULL;

        g_free(s->chain[i]);
        s->chain[i] = below ? image_overlay("sub", name, below, "qcow2", SCENE_SIZE)
                            : image_create("sub", name, "qcow2", SCENE_SIZE);
    }
    scene_mark_images(s);
}

/* What QEMU calls sub/image.0 is image.0 to whoever opens sub/image.3. */
static void test_relative_to_qemu(gconstpointer data)
{
    const bool nodes = strcmp(data, "nodes") == 0;
    g_autofree char *own = g_get_current_dir();
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 4, .blockdev = nodes, .prepare = move_below});
    const unsigned from = scene_commit(s, false);
    g_autofree char *recorded = NULL;

    scene_wait_finished(s, from, "completed");
    scene_wait_depth(s, 2);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    recorded = image_backing_file(scene_top(s));
    g_assert_cmpstr(recorded, ==, "image.0");
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    scene_check_marks(s, 3, 1, 3);
    g_assert_cmpint(chdir(own), ==, 0);
}

static void mangle(const Scene *s)
{
    for (unsigned i = 0; i < s->depth; i++) {
        g_autofree char *name = g_strdup_printf("\xff.%u", i);
        g_autofree char *below = i > 0 ? g_strdup_printf("\xff.%u", i - 1) : NULL;

        g_free(s->chain[i]);
        s->chain[i] = below ? image_overlay(s->rig->dir, name, below, "qcow2", SCENE_SIZE)
                            : image_create(s->rig->dir, name, "qcow2", SCENE_SIZE);
    }
    scene_mark_images(s);
}

/* QEMU tells such a name with U+FFFD in it. It can record it by itself, nobody else can. */
static void test_no_utf8(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 3, .no_guest = true, .prepare = mangle});
    unsigned from;

    recorder_refused(s->recorder, SERVICE_ERROR("NotSupported"), s->disk, DISK_INTERFACE,
                     "CommitWith", "a{sv}", 1, "relative", "b", true);
    from = scene_commit(s, false);
    scene_wait_finished(s, from, "completed");
    qemu_kill(s->vm);
    scene_check_marks(s, 2, 1, 2);
}

static char *generated_node(Scene *s, unsigned index)
{
    char *node = property_chain_string(s->recorder, s->disk, index, "node");

    g_assert_true(g_str_has_prefix(node, "#block"));
    return node;
}

/* By index, by file, by the node name that QEMU has made up. */
static void test_generated(gconstpointer data)
{
    const char *way = data;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 5, .prepare = scene_mark_images});
    const bool by_index = strcmp(way, "index") == 0, by_file = strcmp(way, "file") == 0;
    g_autofree char *top = generated_node(s, 1), *base = generated_node(s, 2);
    g_autofree char *active = generated_node(s, 0), *deepest = generated_node(s, 4);
    unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 4, "top", "s",
                      by_index  ? "1"
                      : by_file ? s->chain[3]
                                : top,
                      "base", "s",
                      by_index  ? "2"
                      : by_file ? s->chain[2]
                                : base,
                      "speed", "t", UINT64_C(1) << 40, "on-error", "s", "enospc");
    scene_wait_finished(s, from, "completed");
    scene_wait_chain(s, (unsigned[]){4, 2, 1, 0}, 4);
    from = recorder_mark(s->recorder);
    scene_commit_with(s, 4, "active", "b", true, "top", "s",
                      by_index  ? "0"
                      : by_file ? s->chain[4]
                                : active,
                      "base", "s",
                      by_index  ? "3"
                      : by_file ? s->chain[0]
                                : deepest,
                      "on-ready", "s", "pivot");
    scene_wait_finished(s, from, "completed");
    scene_wait_chain(s, (unsigned[]){0}, 1);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_base(s), "qcow2");
    scene_check_marks(s, 0, 1, 4);
}

/* Two disks whose images differ in the directory only. */
static void add_twins(const Scene *s)
{
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *dir = g_strdup_printf("%s/%u", s->rig->dir, i);
        g_autofree char *base = NULL, *middle = NULL, *top = NULL;

        g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
        base = image_create(dir, "base", "qcow2", IMAGE_MIB);
        middle = image_overlay(dir, "middle", "base", "qcow2", IMAGE_MIB);
        top = image_overlay(dir, "top", "middle", "qcow2", IMAGE_MIB);
        image_fill(middle, "qcow2", (uint8_t)(0x41 + i), 0, 65536);
        qemu_option(s->vm, "-drive", "if=none,id=d%u,format=qcow2,file=%s", i, top);
        qemu_option(s->vm, "-device", "virtio-blk-pci,drive=d%u,id=vd%c", i, 'a' + i);
    }
}

static void test_twins(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true, .add_disk = add_twins});
    g_autofree char *other = rig_wait_disk(s->rig, "web1", "vdb");
    g_autofree char *middle = g_build_filename(s->rig->dir, "1", "middle", NULL);
    g_autofree char *our_base = g_build_filename(s->rig->dir, "0", "base", NULL);
    g_autofree char *its_base = g_build_filename(s->rig->dir, "1", "base", NULL);
    const unsigned from = recorder_mark(s->recorder);

    recorder_refused(s->recorder, SERVICE_ERROR("NoSuchImage"), s->disk, DISK_INTERFACE,
                     "CommitWith", "a{sv}", 1, "top", "s", middle);
    recorder_call(s->recorder, other, DISK_INTERFACE, "CommitWith", "a{sv}", 1, "top", "s", middle);
    recorder_wait(s->recorder, from, (Sought){.path = other, .member = "JobFinished"});
    g_assert_cmpint(
        recorder_find(s->recorder, from, (Sought){.path = s->disk, .member = "JobFinished"}), ==,
        -1);
    g_assert_cmpuint(property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth"), ==, 3);
    g_assert_cmpuint(property_u32(s->recorder, other, DISK_INTERFACE, "ChainDepth"), ==, 2);
    image_check_filled(our_base, "qcow2", 0, 0, 65536);
    image_check_filled(its_base, "qcow2", 0x42, 0, 65536);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/names/relative-stays/pivot", "pivot", test_relative_active);
    g_test_add_data_func("/names/relative-stays/keep", "keep", test_relative_active);
    g_test_add_func("/names/relative-over-directories", test_directories);
    g_test_add_data_func("/names/relative-to-qemu/drive", "drive", test_relative_to_qemu);
    g_test_add_data_func("/names/relative-to-qemu/nodes", "nodes", test_relative_to_qemu);
    g_test_add_func("/names/no-utf8", test_no_utf8);
    g_test_add_func("/names/whole-name-without-option", test_whole_name);
    g_test_add_data_func("/names/generated-nodes/by-index", "index", test_generated);
    g_test_add_data_func("/names/generated-nodes/by-file", "file", test_generated);
    g_test_add_data_func("/names/generated-nodes/by-node", "node", test_generated);
    g_test_add_func("/names/twins-in-two-directories", test_twins);
    return g_test_run();
}
