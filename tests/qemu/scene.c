/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What most tests on a real QEMU begin with.
 */
#include "scene.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>

#include "wait.h"

#define SLOW_BYTES_PER_SECOND IMAGE_MIB

/* Where nobody may mount, blkdebug refuses to write: always, until a flush of the base gives it a
 * rule that means nothing in place of that one; or once, when the sector is reached. */
#define NO_ROOM                                                                                    \
    "file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.iotype=write,"        \
    "file.inject-error.0.errno=28,file.inject-error.1.event=flush_to_os,"                          \
    "file.inject-error.1.iotype=discard,file.image.driver=file,file.image.filename"
#define NO_ROOM_THERE                                                                              \
    "file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.iotype=write,"        \
    "file.inject-error.0.errno=28,file.inject-error.0.once=on,"                                    \
    "file.inject-error.0.sector=" G_STRINGIFY(                                                     \
        SCENE_FULL_SECTOR) ","                                                                     \
                           "file.image.driver=file,file.image.filename"

const char *scene_base(const Scene *s)
{
    return base_file(s->base);
}

const char *scene_top(const Scene *s)
{
    return s->chain[s->depth - 1];
}

const char *scene_format(const Scene *s, unsigned index)
{
    return index == 0 ? s->base_format : "qcow2";
}

const char *scene_file(const Scene *s, unsigned index)
{
    return index == 0 ? scene_base(s) : s->chain[index];
}

/* Beyond SCENE_DATA_OFFSET and its length. */
static uint64_t mark_offset(unsigned image)
{
    return (50 + image) * IMAGE_MIB;
}

void scene_mark_images(const Scene *s)
{
    for (unsigned i = 1; i < s->depth; i++)
        image_fill(s->chain[i], "qcow2", (uint8_t)(0x10 + i), mark_offset(i), IMAGE_MIB);
}

void scene_check_marks(const Scene *s, unsigned image, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++)
        image_check_filled(scene_file(s, image), scene_format(s, image), (uint8_t)(0x10 + i),
                           mark_offset(i), IMAGE_MIB);
}

/* How the file of an image is opened; the caller appends its name. */
static const char *file_options(const Scene *s, const SceneOptions *options, unsigned index)
{
    if (index == 0 && options->base_options)
        return options->base_options;
    if (index == 0 && options->no_room && !s->small)
        return NO_ROOM;
    if (index == 0 && options->no_room_above && !s->small)
        return NO_ROOM_THERE;
    if (index == 0 && options->slow_base)
        return "file.driver=throttle,file.throttle-group=slow,file.file.driver=file,"
               "file.file.filename";
    if (index == 0 && options->full_base)
        return "file.driver=blkdebug,file.inject-error.0.event=none,"
               "file.inject-error.0.iotype=write,file.inject-error.0.errno=28,"
               "file.image.driver=file,file.image.filename";
    return "file.driver=file,file.filename";
}

/* Every image a node of its own. */
static void add_nodes(const Scene *s, const SceneOptions *options)
{
    if (options->slow_base)
        qemu_option(s->vm, "-object", "throttle-group,id=slow,x-bps-write=%" PRIu64,
                    options->base_speed > 0 ? options->base_speed : SLOW_BYTES_PER_SECOND);
    for (unsigned i = 0; i < s->depth; i++) {
        const bool writable = i == s->depth - 1 || (i == 0 && options->base_writable);
        g_autofree char *backing = i > 0 ? g_strdup_printf(",backing=node%u", i - 1) : g_strdup("");

        qemu_option(s->vm, "-blockdev", "driver=%s,node-name=node%u,read-only=%s,%s=%s%s%s",
                    scene_format(s, i), i, writable ? "off" : "on", file_options(s, options, i),
                    s->chain[i], i == 0 && options->base_suffix ? options->base_suffix : "",
                    backing);
    }
}

static void add_disk(const Scene *s, const SceneOptions *options)
{
    if (options->blockdev || options->slow_base || options->full_base || options->no_room ||
        options->no_room_above || options->base_options) {
        add_nodes(s, options);
        qemu_option(s->vm, "-device",
                    "virtio-blk-pci,drive=node%u,id=vda,bootindex=1,write-cache=off", s->depth - 1);
        return;
    }
    qemu_option(s->vm, "-drive", "if=none,id=d0,cache=writethrough,format=%s,file=%s",
                scene_format(s, s->depth - 1), scene_top(s));
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=d0,id=vda,bootindex=1");
}

/* In a mount namespace of this program's own, so that nothing stays behind it. */
static bool mount_small(const char *dir, const char *size)
{
    static bool alone;

    if (!alone) {
        if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            return false;
        alone = true;
    }
    g_assert_cmpint(g_mkdir(dir, 0700), ==, 0);
    return mount("tmpfs", dir, "tmpfs", 0, size) == 0;
}

static void make_small(Scene *s, const SceneOptions *options)
{
    g_autofree char *dir = g_build_filename(s->rig->dir, "small", NULL);

    if (!options->no_room && !options->no_room_above)
        return;
    if (mount_small(dir, options->no_room ? "size=8m" : "size=48m"))
        s->small = g_steal_pointer(&dir);
}

void scene_make_room(Scene *s)
{
    if (s->small)
        g_assert_cmpint(mount(NULL, s->small, NULL, MS_REMOUNT, "size=128m"), ==, 0);
    else
        qmp_client_do(qemu_monitor(s->vm), "human-monitor-command",
                      "{'command-line': 'qemu-io node0 flush'}");
}

static void make_chain(Scene *s, const SceneOptions *options)
{
    s->chain = g_new0(char *, s->depth + 1);
    s->base = base_new(options->base_place, s->small ? s->small : s->rig->dir, "image.0",
                       s->base_format, options->base_size > 0 ? options->base_size : SCENE_SIZE);
    s->chain[0] = g_strdup(base_name(s->base));
    for (unsigned i = 1; i < s->depth; i++) {
        g_autofree char *name = g_strdup_printf("image.%u", i);

        g_autofree char *below =
            options->relative ? g_path_get_basename(s->chain[i - 1]) : g_strdup(s->chain[i - 1]);

        s->chain[i] = image_overlay(s->rig->dir, name, below, scene_format(s, i - 1), SCENE_SIZE);
    }
    image_fill(scene_top(s), scene_format(s, s->depth - 1), SCENE_DATA_BYTE, SCENE_DATA_OFFSET,
               options->little_data ? SCENE_DATA_LITTLE : SCENE_DATA_LENGTH);
}

Scene *scene_new(const SceneOptions *options)
{
    static const SceneOptions usual;
    Scene *s = g_new0(Scene, 1);

    options = options ? options : &usual;
    s->rig = rig_new();
    s->recorder = s->rig->recorder;
    s->depth = options->depth > 0 ? options->depth : 2;
    s->base_format = options->base_format ? options->base_format : "qcow2";
    make_small(s, options);
    make_chain(s, options);
    if (options->prepare)
        options->prepare(s);

    s->vm = rig_qemu(s->rig, QEMU_SYSTEM, "web1");
    if (options->add_disk)
        options->add_disk(s);
    else
        add_disk(s, options);
    if (options->no_guest) {
        g_ptr_array_add(qemu_arguments(s->vm), g_strdup("-S"));
    } else {
        s->guest = guest_new(s->rig->dir, "web1", &options->guest);
        guest_add_arguments(s->guest, qemu_arguments(s->vm));
    }
    qemu_start(s->vm);
    s->disk = rig_wait_disk(s->rig, "web1", "vda");
    if (s->guest)
        guest_wait(s->guest, 0, 1);
    return s;
}

void scene_free(Scene *s)
{
    if (!s)
        return;
    qemu_free(s->vm);
    guest_free(s->guest);
    base_free(s->base);
    if (s->small)
        (void)umount2(s->small, MNT_DETACH);
    g_free(s->small);
    rig_free(s->rig);
    g_strfreev(s->chain);
    g_free(s->disk);
    g_free(s);
}

void scene_release(Scene *s)
{
    qmp_client_do(qemu_monitor(s->vm), "qom-set",
                  "{'path': '/objects/slow', 'property': 'limits', 'value': {'bps-write': 0}}");
}

void scene_write(Scene *s, uint8_t byte, uint64_t offset, uint64_t length)
{
    /* QEMU says nothing of its success here: the data is looked for at the end of the test. */
    qmp_client_do(qemu_monitor(s->vm), "human-monitor-command",
                  "{'command-line': 'qemu-io -d /machine/peripheral/vda/virtio-backend "
                  "\\\"write -P %u %" PRIu64 " %" PRIu64 "\\\"'}",
                  byte, offset, length);
}

char *scene_snapshot(Scene *s, const char *name)
{
    const uint32_t depth = property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth");
    char *file = g_build_filename(s->rig->dir, name, NULL);

    qmp_client_do(qemu_monitor(s->vm), "blockdev-snapshot-sync",
                  "{'device': 'd0', 'snapshot-file': '%s', 'format': 'qcow2'}", file);
    scene_wait_depth(s, depth + 1);
    return file;
}

unsigned scene_commit(Scene *s, bool active)
{
    const unsigned from = recorder_mark(s->recorder);

    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "Commit", "b", (int)active);
    return from;
}

unsigned scene_wait_ready(Scene *s, unsigned from)
{
    return recorder_wait(
        s->recorder, from,
        (Sought){.path = s->disk, .interface = DISK_INTERFACE, .member = "JobReady"});
}

unsigned scene_wait_finished(Scene *s, unsigned from, const char *result)
{
    const unsigned position = recorder_wait(
        s->recorder, from,
        (Sought){.path = s->disk, .interface = DISK_INTERFACE, .member = "JobFinished"});
    const char *job, *type, *found, *error, *message;

    recorder_read(s->recorder, position, "sssss", &job, &type, &found, &error, &message);
    if (strcmp(found, result) != 0)
        g_error("The job is %s, not %s: %s: %s", found, result, error, message);
    g_assert_cmpstr(type, ==, "commit");
    if (strcmp(result, "failed") != 0)
        g_assert_cmpstr(error, ==, "");
    return position;
}

unsigned scene_commit_until_ready(Scene *s)
{
    const unsigned from = scene_commit(s, true);

    scene_wait_ready(s, from);
    return from;
}

void scene_pivot(Scene *s)
{
    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);
}

void scene_abort(Scene *s)
{
    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "Abort", NULL);
}

typedef struct AwaitedDepth {
    Scene *scene;
    unsigned depth;
} AwaitedDepth;

static bool has_depth(gpointer data)
{
    const AwaitedDepth *awaited = data;
    const Scene *s = awaited->scene;

    return property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth") == awaited->depth;
}

void scene_wait_depth(Scene *s, unsigned depth)
{
    AwaitedDepth awaited = {s, depth};

    wait_until("a chain of another depth", has_depth, &awaited);
}

/* QEMU's name of an image whose options differ from its header is "json:" and those options, in an
 * order that may be another one each time. */
static char *plain_name(const char *name)
{
    json_object *options, *file, *inner;
    char *plain;

    if (!g_str_has_prefix(name, "json:"))
        return g_strdup(name);
    options = json_tokener_parse(name + strlen("json:"));
    file = qmp_member(options, "file");
    while (json_object_object_get_ex(file, "file", &inner) ||
           json_object_object_get_ex(file, "image", &inner))
        file = inner;
    plain = g_strdup(qmp_text(file, "filename"));
    json_object_put(options);
    return plain;
}

void scene_wait_chain(Scene *s, const unsigned *images, unsigned n)
{
    scene_wait_depth(s, n);
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *file = property_chain_string(s->recorder, s->disk, i, "file");
        g_autofree char *plain = plain_name(file);

        g_assert_cmpstr(plain, ==, s->chain[images[i]]);
    }
}

void scene_check_active(Scene *s, unsigned depth, const char *file)
{
    g_autofree char *active = qemu_active_file(s->vm, "/machine/peripheral/vda");
    g_autofree char *chained = property_chain_string(s->recorder, s->disk, 0, "file");
    g_autofree char *plain = plain_name(active), *chained_plain = plain_name(chained);

    g_assert_cmpuint(property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth"), ==, depth);
    g_assert_cmpstr(plain, ==, file);
    g_assert_cmpstr(chained_plain, ==, file);
}
