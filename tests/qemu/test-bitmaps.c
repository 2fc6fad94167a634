/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps over commits on a real QEMU, as a backup tool needs them: a full backup, commits of
 * all kinds under a writing guest, an incremental backup by the bitmap. What is restored from the
 * two has to equal what the guest has.
 */
#include "scene.h"

#include <string.h>

#include "process.h"

/* The guest writes one sector after the other over a part of the disk, so slowly that it comes to
 * none a second time: each write has to be found by the bitmap itself. */
#define GUEST                                                                                      \
    {                                                                                              \
        .slots = 16384, .shift = 1                                                                 \
    }

/* What is written past the guest, each in a place of its own, by when it is written. */
typedef enum Moment {
    BEFORE_SNAPSHOT,
    BEFORE_BITMAP, /* in the overlay, which has no bitmap of its own yet */
    BEFORE_COMMIT,
    WHEN_READY,
    AFTER_COMMIT,
    MOMENT_MAX_,
} Moment;

static void write_at(Scene *s, Moment moment)
{
    scene_write(s, (uint8_t)(0x21 + moment), (50 + 2 * (uint64_t)moment) * IMAGE_MIB, 65536);
}

#define commit_with(s, ...)                                                                        \
    recorder_call((s)->recorder, (s)->disk, DISK_INTERFACE, "CommitWith", "a{sv}", __VA_ARGS__)

/* The bitmap of that name on the node, which is one or that of an image file, as QEMU has it; NULL
 * for none. The caller puts it. */
static json_object *find_bitmap(Scene *s, const char *node_or_file, const char *name)
{
    json_object *nodes =
        qmp_client_command(qemu_monitor(s->vm), "query-named-block-nodes", "{'flat': true}");
    json_object *found = NULL, *bitmaps, *word;

    for (size_t i = 0; i < json_object_array_length(nodes); i++) {
        json_object *node = json_object_array_get_idx(nodes, i);

        if ((strcmp(qmp_text(node, "file"), node_or_file) != 0 &&
             strcmp(qmp_text(node, "node-name"), node_or_file) != 0) ||
            !json_object_object_get_ex(node, "dirty-bitmaps", &bitmaps))
            continue;
        for (size_t k = 0; k < json_object_array_length(bitmaps); k++) {
            json_object *bitmap = json_object_array_get_idx(bitmaps, k);

            if (json_object_object_get_ex(bitmap, "name", &word) &&
                strcmp(json_object_get_string(word), name) == 0)
                found = json_object_get(bitmap);
        }
    }
    json_object_put(nodes);
    return found;
}

static void check_bitmap(Scene *s, const char *node_or_file, const char *name, bool persistent,
                         bool recording)
{
    json_object *bitmap = find_bitmap(s, node_or_file, name);

    g_assert_nonnull(bitmap);
    g_assert_cmpint(json_object_get_boolean(qmp_member(bitmap, "persistent")), ==, persistent);
    g_assert_cmpint(json_object_get_boolean(qmp_member(bitmap, "recording")), ==, recording);
    json_object_put(bitmap);
}

static void check_no_bitmap(Scene *s, const char *node_or_file, const char *name)
{
    json_object *bitmap = find_bitmap(s, node_or_file, name);

    if (bitmap)
        g_error("%s has the bitmap %s", node_or_file, json_object_to_json_string(bitmap));
}

/* Nothing is left of what the job needed. It goes when the job is dismissed. */
static void check_no_recorder(Scene *s)
{
    qemu_wait_no_jobs(s->vm);
    for (unsigned i = 0; i < s->depth; i++)
        check_no_bitmap(s, s->chain[i], "vmdisk-recorder");
}

/* Node name of the image, to be freed. */
static char *node_of(Scene *s, const char *file)
{
    json_object *nodes =
        qmp_client_command(qemu_monitor(s->vm), "query-named-block-nodes", "{'flat': true}");
    char *name = NULL;

    for (size_t i = 0; !name && i < json_object_array_length(nodes); i++) {
        json_object *node = json_object_array_get_idx(nodes, i);

        if (strcmp(qmp_text(node, "file"), file) == 0 && strcmp(qmp_text(node, "drv"), "file") != 0)
            name = g_strdup(qmp_text(node, "node-name"));
    }
    json_object_put(nodes);
    g_assert_nonnull(name);
    return name;
}

static void add_bitmap(Scene *s, const char *name, bool persistent)
{
    qmp_client_do(qemu_monitor(s->vm), "block-dirty-bitmap-add",
                  "{'node': 'd0', 'name': '%s', 'persistent': %s, 'granularity': 32768}", name,
                  persistent ? "true" : "false");
}

static void disable_bitmap(Scene *s, const char *file, const char *name)
{
    g_autofree char *node = node_of(s, file);

    qmp_client_do(qemu_monitor(s->vm), "block-dirty-bitmap-disable", "{'node': '%s', 'name': '%s'}",
                  node, name);
}

static void add_target(Scene *s, const char *node, const char *file)
{
    qmp_client_do(qemu_monitor(s->vm), "blockdev-add",
                  "{'driver': 'qcow2', 'node-name': '%s', 'file': {'driver': 'file', "
                  "'filename': '%s'}}",
                  node, file);
}

static void wait_backup(Scene *s, const char *node)
{
    json_object *data = qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_COMPLETED");

    if (strcmp(qmp_text(data, "type"), "backup") != 0) {
        /* That of a commit, which nobody has looked at. */
        json_object_put(data);
        wait_backup(s, node);
        return;
    }
    if (json_object_object_get_ex(data, "error", NULL))
        g_error("The backup failed: %s", json_object_to_json_string(data));
    json_object_put(data);
    qmp_client_do(qemu_monitor(s->vm), "blockdev-del", "{'node-name': '%s'}", node);
}

/* Starts the bitmap "backup" and copies the disk as it is at that instant. The copy's file. */
static char *backup_full(Scene *s, bool persistent)
{
    char *file = image_create(s->rig->dir, "full", "qcow2", SCENE_SIZE);

    add_target(s, "full", file);
    qmp_client_do(qemu_monitor(s->vm), "transaction",
                  "{'actions': [{'type': 'block-dirty-bitmap-add', 'data': {'node': 'd0', "
                  "'name': 'backup', 'persistent': %s, 'granularity': 32768}}, "
                  "{'type': 'blockdev-backup', 'data': {'job-id': 'b', 'device': 'd0', "
                  "'target': 'full', 'sync': 'full'}}]}",
                  persistent ? "true" : "false");
    wait_backup(s, "full");
    return file;
}

/* Copies what the bitmap marks over the full backup, ends the VM, and compares with the image that
 * the guest was on. */
static void check_restored(Scene *s, const char *full, const char *active)
{
    g_autofree char *file = image_overlay(s->rig->dir, "increment", full, "qcow2", SCENE_SIZE);

    if (s->guest)
        guest_wait_more(s->guest, 0, 50);
    qmp_client_do(qemu_monitor(s->vm), "stop", NULL);
    add_target(s, "increment", file);
    qmp_client_do(qemu_monitor(s->vm), "blockdev-backup",
                  "{'job-id': 'b', 'device': 'd0', 'target': 'increment', "
                  "'sync': 'incremental', 'bitmap': 'backup'}");
    wait_backup(s, "increment");
    qemu_quit(s->vm);
    if (s->guest)
        guest_check_nothing_lost(s->guest, 0, active, "qcow2");
    image_check_same(active, "qcow2", file, "qcow2");
}

/* The image has a stored bitmap of that name, fit for use. */
static void check_stored(const char *file, const char *name)
{
    g_autofree char *text = process_run("qemu-img", "info", "--output=json", file, NULL);
    json_object *info = json_tokener_parse(text), *bitmaps;
    bool found = false;

    g_assert_true(json_object_object_get_ex(qmp_member(qmp_member(info, "format-specific"), "data"),
                                            "bitmaps", &bitmaps));
    for (size_t i = 0; i < json_object_array_length(bitmaps); i++) {
        json_object *bitmap = json_object_array_get_idx(bitmaps, i);

        if (strcmp(qmp_text(bitmap, "name"), name) == 0) {
            found = true;
            g_assert_null(strstr(json_object_to_json_string(bitmap), "in-use"));
        }
    }
    g_assert_true(found);
    json_object_put(info);
}

static void commit_and_pivot(Scene *s, const char *base)
{
    const unsigned from = recorder_mark(s->recorder);

    write_at(s, BEFORE_COMMIT);
    commit_with(s, 2, "active", "b", true, "base", "s", base);
    scene_wait_ready(s, from);
    write_at(s, WHEN_READY);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    write_at(s, AFTER_COMMIT);
}

typedef enum OverlayBitmap {
    NONE,       /* the base's records all */
    FRESH,      /* the overlay has one, too */
    CONTINUING, /* the overlay's goes on where the base's was disabled, too late */
} OverlayBitmap;

/* A snapshot after the full backup: the bitmap stays below it. */
static void test_snapshot_and_pivot(gconstpointer data)
{
    const OverlayBitmap how = (OverlayBitmap)GPOINTER_TO_INT(data);
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest = GUEST});
    g_autofree char *full = backup_full(s, /* persistent= */ true), *overlay = NULL;

    write_at(s, BEFORE_SNAPSHOT);
    overlay = scene_snapshot(s, "overlay");
    write_at(s, BEFORE_BITMAP);
    if (how == CONTINUING)
        disable_bitmap(s, scene_top(s), "backup");
    if (how != NONE)
        add_bitmap(s, "backup", /* persistent= */ true);
    commit_and_pivot(s, scene_top(s));
    check_bitmap(s, scene_top(s), "backup", true, true);
    check_no_recorder(s);
    check_restored(s, full, scene_top(s));
    check_stored(scene_top(s), "backup");
}

/* The bitmap is started in the overlay: the base has never heard of it. */
static void test_overlay_only(gconstpointer persistent)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest = GUEST});
    g_autofree char *full = backup_full(s, persistent != NULL);

    commit_and_pivot(s, scene_base(s));
    check_bitmap(s, scene_base(s), "backup", persistent != NULL, true);
    check_restored(s, full, scene_base(s));
    if (persistent)
        check_stored(scene_base(s), "backup");
}

/* The base gets no more marked than the bitmap did: what was in the overlay before is in the full
 * backup. */
static void test_no_more_than_marked(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    json_object *bitmap;

    add_bitmap(s, "backup", /* persistent= */ true);
    scene_write(s, 0x77, 50 * IMAGE_MIB, 65536);
    scene_commit_until_ready(s);
    scene_pivot(s);
    qemu_wait_no_jobs(s->vm);
    bitmap = find_bitmap(s, scene_base(s), "backup");
    g_assert_nonnull(bitmap);
    g_assert_cmpint(json_object_get_int64(qmp_member(bitmap, "count")), ==, 65536);
    g_assert_cmpint(json_object_get_int64(qmp_member(bitmap, "granularity")), ==, 32768);
    json_object_put(bitmap);
}

/* The bitmap is in an image between: what came to be above it is marked by the recorder. */
static void test_middle_and_pivot(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest = GUEST});
    g_autofree char *full = backup_full(s, /* persistent= */ true), *overlay = NULL;

    write_at(s, BEFORE_SNAPSHOT);
    overlay = scene_snapshot(s, "overlay");
    commit_and_pivot(s, scene_base(s));
    check_bitmap(s, scene_base(s), "backup", true, true);
    check_no_recorder(s);
    check_restored(s, full, scene_base(s));
    check_stored(scene_base(s), "backup");
}

/* An intermediate commit brings it to the base, another commit the guest. */
static void test_intermediate(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest = GUEST});
    g_autofree char *full = backup_full(s, /* persistent= */ true), *overlay = NULL;
    unsigned from;

    write_at(s, BEFORE_SNAPSHOT);
    overlay = scene_snapshot(s, "overlay");
    write_at(s, BEFORE_BITMAP);
    from = scene_commit(s, false);
    scene_wait_finished(s, from, "completed");
    check_bitmap(s, scene_base(s), "backup", true, true);
    scene_wait_depth(s, 2);
    commit_and_pivot(s, scene_base(s));
    check_restored(s, full, scene_base(s));
    check_stored(scene_base(s), "backup");
}

/* What clients of an export write is not held while QEMU switches: there is no barrier. */
static void test_exported(gconstpointer deep)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest = GUEST});
    g_autofree char *full = backup_full(s, /* persistent= */ true), *overlay = NULL, *node = NULL;
    g_autofree char *socket = g_build_filename(s->rig->dir, "nbd", NULL);

    if (deep)
        overlay = scene_snapshot(s, "overlay");
    node = node_of(s, deep ? overlay : scene_top(s));
    qmp_client_do(qemu_monitor(s->vm), "nbd-server-start",
                  "{'addr': {'type': 'unix', 'data': {'path': '%s'}}}", socket);
    qmp_client_do(qemu_monitor(s->vm), "block-export-add",
                  "{'type': 'nbd', 'id': 'e0', 'node-name': '%s'}", node);
    commit_and_pivot(s, scene_base(s));
    guest_wait_more(s->guest, 0, 200);
    check_bitmap(s, scene_base(s), "backup", true, true);
    check_no_recorder(s);
    check_restored(s, full, scene_base(s));
    check_stored(scene_base(s), "backup");
}

/* An Abort leaves the bitmaps where they are, and as they are. */
static void test_keep(gconstpointer on_ready)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.guest = GUEST});
    g_autofree char *full = backup_full(s, /* persistent= */ true);
    const unsigned from = recorder_mark(s->recorder);

    write_at(s, BEFORE_COMMIT);
    if (on_ready) {
        commit_with(s, 2, "active", "b", true, "on-ready", "s", "keep");
    } else {
        commit_with(s, 1, "active", "b", true);
        scene_wait_ready(s, from);
        write_at(s, WHEN_READY);
        scene_abort(s);
    }
    scene_wait_finished(s, from, "kept");
    write_at(s, AFTER_COMMIT);
    check_no_bitmap(s, scene_base(s), "backup");
    check_no_recorder(s);
    check_restored(s, full, scene_top(s));
    check_stored(scene_top(s), "backup");
}

static void add_to_middle(const Scene *s)
{
    g_free(process_run("qemu-img", "bitmap", "--add", s->chain[1], "backup", NULL));
}

/* The recorder of a commit that does not come to its end goes, too. */
static void test_abort_with_recorder(void)
{
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.no_guest = true, .depth = 3, .slow_base = true, .prepare = add_to_middle});
    const unsigned from = scene_commit(s, true);

    check_bitmap(s, "node0", "vmdisk-recorder", false, true);
    scene_abort(s);
    scene_wait_finished(s, from, "cancelled");
    qemu_wait_no_jobs(s->vm);
    check_no_bitmap(s, "node0", "vmdisk-recorder");
    check_no_bitmap(s, "node0", "backup");
}

static void test_raw_base(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_format = "raw"});
    const char *text;
    unsigned from;

    add_bitmap(s, "backup", /* persistent= */ true);
    text = recorder_refused(s->recorder, SERVICE_ERROR("NotSupported"), s->disk, DISK_INTERFACE,
                            "Commit", "b", (int)true);
    g_assert_nonnull(strstr(text, "'backup'"));
    g_assert_nonnull(strstr(text, scene_top(s)));
    g_assert_nonnull(strstr(text, scene_base(s)));
    g_assert_nonnull(strstr(text, "drop-bitmaps"));

    from = recorder_mark(s->recorder);
    commit_with(s, 3, "active", "b", true, "on-ready", "s", "pivot", "drop-bitmaps", "b", true);
    scene_wait_finished(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
}

/* What is not stored takes no qcow2. */
static void test_transient_on_raw(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_format = "raw"});

    add_bitmap(s, "backup", /* persistent= */ false);
    scene_commit_until_ready(s);
    scene_pivot(s);
    qemu_wait_no_jobs(s->vm);
    check_bitmap(s, scene_base(s), "backup", false, true);
}

/* Images of the given kind, with the bitmap "backup" in the upper one; all on disk. */
static void add_to_top(const Scene *s)
{
    g_free(process_run("qemu-img", "bitmap", "--add", scene_top(s), "backup", NULL));
}

static void make_base_old(const Scene *s)
{
    g_free(
        process_run("qemu-img", "amend", "-f", "qcow2", "-o", "compat=0.10", scene_base(s), NULL));
    add_to_top(s);
}

static void check_refused(Scene *s, const char *why)
{
    const char *text =
        recorder_refused(s->recorder, SERVICE_ERROR("NotSupported"), s->disk, DISK_INTERFACE,
                         "CommitWith", "a{sv}", 1, "active", "b", (int)true);

    if (!strstr(text, why))
        g_error("No word of '%s': %s", why, text);
}

static void test_old_base(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true, .prepare = make_base_old});

    check_refused(s, "cannot store bitmaps");
}

static void add_disabled(const Scene *s)
{
    g_free(process_run("qemu-img", "bitmap", "--add", "--disable", scene_top(s), "backup", NULL));
}

/* A bitmap that an export shows is in use, and cannot be merged. */
static void test_busy(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true, .prepare = add_disabled});
    g_autofree char *socket = g_build_filename(s->rig->dir, "nbd", NULL);
    g_autofree char *node = node_of(s, scene_top(s));

    qmp_client_do(qemu_monitor(s->vm), "nbd-server-start",
                  "{'addr': {'type': 'unix', 'data': {'path': '%s'}}}", socket);
    qmp_client_do(qemu_monitor(s->vm), "block-export-add",
                  "{'type': 'nbd', 'id': 'e0', 'node-name': '%s', 'bitmaps': ['backup']}", node);
    check_refused(s, "uses it");
}

static void add_to_all(const Scene *s)
{
    for (unsigned i = 0; i < s->depth; i++)
        g_free(process_run("qemu-img", "bitmap", "--add", s->chain[i], "backup", NULL));
}

/* QEMU's bitmaps are not stored: those of images that it could write to are inconsistent. */
static void crash(Scene *s)
{
    qemu_kill(s->vm);
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    qemu_start(s->vm);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
}

static void test_inconsistent_overlay(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true, .prepare = add_to_top});
    unsigned from;

    crash(s);
    from = scene_commit_until_ready(s);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    check_no_bitmap(s, scene_base(s), "backup");
}

static void test_inconsistent_base(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){
        .no_guest = true, .blockdev = true, .base_writable = true, .prepare = add_to_all});

    crash(s);
    qmp_client_do(qemu_monitor(s->vm), "block-dirty-bitmap-remove",
                  "{'node': 'node1', 'name': 'backup'}");
    qmp_client_do(qemu_monitor(s->vm), "block-dirty-bitmap-add",
                  "{'node': 'node1', 'name': 'backup', 'persistent': true}");
    check_refused(s, "inconsistent");
    qmp_client_do(qemu_monitor(s->vm), "block-dirty-bitmap-remove",
                  "{'node': 'node0', 'name': 'backup'}");
    scene_commit_until_ready(s);
    scene_pivot(s);
    qemu_wait_no_jobs(s->vm);
    check_bitmap(s, "node0", "backup", true, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/bitmaps/backup/snapshot-and-pivot", GINT_TO_POINTER(NONE),
                         test_snapshot_and_pivot);
    g_test_add_data_func("/bitmaps/backup/snapshot-with-bitmap-and-pivot", GINT_TO_POINTER(FRESH),
                         test_snapshot_and_pivot);
    g_test_add_data_func("/bitmaps/backup/snapshot-with-late-bitmap-and-pivot",
                         GINT_TO_POINTER(CONTINUING), test_snapshot_and_pivot);
    g_test_add_data_func("/bitmaps/backup/overlay-only", "persistent", test_overlay_only);
    g_test_add_data_func("/bitmaps/backup/overlay-only-not-stored", NULL, test_overlay_only);
    g_test_add_func("/bitmaps/backup/middle-and-pivot", test_middle_and_pivot);
    g_test_add_func("/bitmaps/backup/intermediate", test_intermediate);
    g_test_add_data_func("/bitmaps/backup/exported", NULL, test_exported);
    g_test_add_data_func("/bitmaps/backup/exported-middle", "deep", test_exported);
    g_test_add_data_func("/bitmaps/backup/abort", NULL, test_keep);
    g_test_add_data_func("/bitmaps/backup/keep", "keep", test_keep);
    g_test_add_func("/bitmaps/no-more-than-marked", test_no_more_than_marked);
    g_test_add_func("/bitmaps/abort-removes-recorder", test_abort_with_recorder);
    g_test_add_func("/bitmaps/raw-base", test_raw_base);
    g_test_add_func("/bitmaps/not-stored-on-raw-base", test_transient_on_raw);
    g_test_add_func("/bitmaps/old-qcow2-base", test_old_base);
    g_test_add_func("/bitmaps/in-use", test_busy);
    g_test_add_func("/bitmaps/inconsistent-in-overlay", test_inconsistent_overlay);
    g_test_add_func("/bitmaps/inconsistent-in-base", test_inconsistent_base);
    return g_test_run();
}
