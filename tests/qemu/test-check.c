/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disk.Check on a real QEMU: what it says of a commit, that the commit then does what it said, and
 * that the check itself changes nothing.
 */
#include "process.h"
#include "scene.h"

#include <string.h>

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"
#define SMALL_SIZE (32 * IMAGE_MIB)

static void add_line(GString *text, const char *line)
{
    if (text->len > 0)
        g_string_append_c(text, '\n');
    g_string_append(text, line);
}

static void read_images(sd_bus_message *m, GString *text)
{
    while (sd_bus_message_enter_container(m, 'a', "{sv}") > 0) {
        const char *key, *word;

        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
            g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
            if (strcmp(key, "becomes") == 0) {
                g_assert_cmpint(sd_bus_message_read(m, "v", "s", &word), >, 0);
                add_line(text, word);
            } else {
                g_assert_cmpint(sd_bus_message_skip(m, "v"), >, 0);
            }
            sd_bus_message_exit_container(m);
        }
        sd_bus_message_exit_container(m);
    }
}

static char *read_value(sd_bus_message *m)
{
    GString *text = g_string_new("");
    const char *type, *s;
    uint64_t number;
    uint32_t small;
    int truth;

    g_assert_cmpint(sd_bus_message_peek_type(m, NULL, &type), >, 0);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'v', type), >, 0);
    if (strcmp(type, "as") == 0 || strcmp(type, "aa{sv}") == 0) {
        g_assert_cmpint(sd_bus_message_enter_container(m, 'a', type + 1), >, 0);
        if (type[1] == 'a')
            read_images(m, text);
        else
            while (sd_bus_message_read(m, "s", &s) > 0)
                add_line(text, s);
        sd_bus_message_exit_container(m);
    } else if (*type == 's') {
        g_assert_cmpint(sd_bus_message_read(m, "s", &s), >, 0);
        g_string_append(text, s);
    } else if (*type == 'b') {
        g_assert_cmpint(sd_bus_message_read(m, "b", &truth), >, 0);
        g_string_append(text, truth ? "true" : "false");
    } else if (*type == 'u') {
        g_assert_cmpint(sd_bus_message_read(m, "u", &small), >, 0);
        g_string_append_printf(text, "%u", small);
    } else {
        g_assert_cmpint(sd_bus_message_read(m, "t", &number), >, 0);
        g_string_append_printf(text, "%" G_GUINT64_FORMAT, number);
    }
    sd_bus_message_exit_container(m);
    return g_string_free(text, FALSE);
}

/* The report as text: lists have a line for each element; of "images" that is the word in
 * "becomes".
 */
static GHashTable *read_report(Recorder *r, unsigned reply)
{
    GHashTable *report = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    sd_bus_message *m = recorder_at(r, reply)->message;
    const char *key;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
        g_hash_table_replace(report, g_strdup(key), read_value(m));
        sd_bus_message_exit_container(m);
    }
    return report;
}

/* What QEMU shows of its images and jobs, as text. */
static char *state_of(Qemu *vm)
{
    json_object *nodes =
        qmp_client_command(qemu_monitor(vm), "query-named-block-nodes", "{'flat': true}");
    json_object *jobs = qmp_client_command(qemu_monitor(vm), "query-jobs", NULL);
    char *text = g_strdup_printf("%s%s", json_object_to_json_string(nodes),
                                 json_object_to_json_string(jobs));

    json_object_put(nodes);
    json_object_put(jobs);
    return text;
}

#define check(r, disk, ...)                                                                        \
    read_report(r, recorder_call(r, disk, DISK_INTERFACE, "Check", "a{sv}", __VA_ARGS__))

/* The same; QEMU is afterwards as it was. */
#define check_scene(s, ...)                                                                        \
    ({                                                                                             \
        g_autofree char *before_ = state_of((s)->vm);                                              \
        GHashTable *report_ = check((s)->recorder, (s)->disk, __VA_ARGS__);                        \
        g_autofree char *after_ = state_of((s)->vm);                                               \
        g_assert_cmpstr(before_, ==, after_);                                                      \
        report_;                                                                                   \
    })

/* NULL: there is no such key. */
static void has(const GHashTable *report, const char *key, const char *value)
{
    g_test_message("%s", key);
    g_assert_cmpstr(g_hash_table_lookup((GHashTable *)report, key), ==, value);
}

static void speaks_of(const GHashTable *report, const char *key, const char *hint)
{
    const char *text = g_hash_table_lookup((GHashTable *)report, key);

    g_assert_nonnull(text);
    if (!strstr(text, hint))
        g_error("'%s' does not speak of %s: %s", key, hint, text);
}

static uint64_t number(const GHashTable *report, const char *key)
{
    const char *text = g_hash_table_lookup((GHashTable *)report, key);

    g_assert_nonnull(text);
    return g_ascii_strtoull(text, NULL, 10);
}

static unsigned lines(const GHashTable *report, const char *key)
{
    const char *text = g_hash_table_lookup((GHashTable *)report, key);
    unsigned n = text && *text;

    for (; text && *text; text++)
        n += *text == '\n';
    return n;
}

static void is_refused(const GHashTable *report, const char *error, const char *hint)
{
    has(report, "possible", "false");
    has(report, "error", error);
    speaks_of(report, "message", hint);
    speaks_of(report, "message", "web1");
    has(report, "commands", "");
}

static Scene *quiet_scene(unsigned depth)
{
    return scene_new(&(SceneOptions){.depth = depth, .no_guest = true});
}

static void test_active(void)
{
    g_autoptr(Scene) s = quiet_scene(3);
    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);
    g_autofree char *node = property_string(s->recorder, s->disk, DISK_INTERFACE, "Node");

    has(r, "possible", "true");
    has(r, "error", NULL);
    has(r, "obstacles", "");
    has(r, "warnings", "");
    has(r, "active", "true");
    has(r, "chain-depth", "3");
    has(r, "job", NULL);
    has(r, "images", "stale\nstale\nwritten");
    has(r, "top", node);
    has(r, "top-file", scene_top(s));
    has(r, "base-file", scene_base(s));
    has(r, "base-read-only", "true");
    has(r, "other-overlays", "");
    has(r, "grows-to", NULL);
    has(r, "room", NULL);
    g_assert_cmpuint(number(r, "base-size"), ==, SCENE_SIZE);
    g_assert_cmpuint(number(r, "bytes-to-copy"), >=, SCENE_DATA_LENGTH);
    g_assert_cmpuint(number(r, "bytes-to-copy"), <, SCENE_DATA_LENGTH + 4 * IMAGE_MIB);
    g_assert_cmpuint(lines(r, "commands"), ==, 4);
    speaks_of(r, "commands", "job-complete");
}

static void test_active_kept(void)
{
    g_autoptr(Scene) s = quiet_scene(2);
    g_autoptr(GHashTable) r = check_scene(s, 2, "active", "b", true, "on-ready", "s", "keep");

    has(r, "possible", "true");
    has(r, "images", "unchanged\nwritten");
    speaks_of(r, "commands", "block-job-cancel");
}

static void test_below(void)
{
    g_autoptr(Scene) s = quiet_scene(4);
    g_autoptr(GHashTable) r = check_scene(s, 0);

    has(r, "possible", "true");
    has(r, "active", "false");
    has(r, "images", "rewritten\nunused\nunused\nwritten");
    has(r, "top-file", s->chain[2]);
    /* The base and its file are flushed. */
    g_assert_cmpuint(lines(r, "commands"), ==, 5);
    /* The data is in the active image, which stays. */
    g_assert_cmpuint(number(r, "bytes-to-copy"), <, 4 * IMAGE_MIB);
}

static void test_named_images(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 5, .blockdev = true, .no_guest = true});
    g_autoptr(GHashTable) r = check_scene(s, 2, "top", "s", "node2", "base", "s", s->chain[1]);

    has(r, "possible", "true");
    has(r, "images", "unchanged\nrewritten\nunused\nwritten\nunchanged");
    has(r, "top", "node2");
    has(r, "base", "node1");
    speaks_of(r, "commands", "\"base-node\":\"node1\"");
}

static void test_job_in_the_way(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true, .no_guest = true});
    unsigned from = scene_commit(s, true);
    g_autofree char *id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");
    g_autoptr(GHashTable) r = check(s->recorder, s->disk, 1, "active", "b", true);

    is_refused(r, SERVICE_ERROR("JobExists"), "JobFinished");
    has(r, "job", id);
    has(r, "images", "stale\nwritten");
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "running");
    scene_abort(s);
    scene_wait_finished(s, from, "cancelled");
}

/* The job's own filter goes with it: that is no reason to advise another commit. */
static void test_job_below_in_the_way(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){
        .depth = 4, .slow_base = true, .no_guest = true, .prepare = scene_mark_images});
    unsigned from = scene_commit(s, false);
    g_autoptr(GHashTable) r = check(s->recorder, s->disk, 0);

    is_refused(r, SERVICE_ERROR("JobExists"), "JobFinished");
    has(r, "obstacles", "");
    scene_abort(s);
    scene_wait_finished(s, from, "cancelled");
}

static void test_job_of_another(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.blockdev = true, .no_guest = true});

    qmp_client_do(qemu_monitor(s->vm), "block-commit", "{'job-id': 'theirs', 'device': 'node1'}");
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_READY"));

    g_autoptr(GHashTable) r = check(s->recorder, s->disk, 1, "active", "b", true);
    is_refused(r, SERVICE_ERROR("JobExists"), "another monitor");
    has(r, "job", "theirs");
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
}

static void test_base_grows(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_size = SMALL_SIZE, .no_guest = true});
    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);

    has(r, "possible", "true");
    g_assert_cmpuint(number(r, "base-size"), ==, SMALL_SIZE);
    g_assert_cmpuint(number(r, "grows-to"), ==, SCENE_SIZE);
    scene_commit_until_ready(s);
}

/* A format that QEMU cannot make larger. */
static void test_base_cannot_grow(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.base_format = "vdi", .base_size = SMALL_SIZE, .no_guest = true});
    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);

    is_refused(r, SERVICE_ERROR("NotSupported"), "larger");
    g_assert_cmpuint(number(r, "grows-to"), ==, SCENE_SIZE);
    /* And so it is. */
    recorder_refused(s->recorder, SERVICE_ERROR("NotSupported"), s->disk, DISK_INTERFACE, "Commit",
                     "b", 1);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
}

/* A base that another process exports has the size that it has. */
static void test_base_on_a_device(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) server = qemu_new(QEMU_STORAGE_DAEMON, NULL, NULL);
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");
    g_autofree char *base = image_create(rig->dir, "base", "raw", SMALL_SIZE);
    g_autofree char *top = image_create(rig->dir, "top", "qcow2", SCENE_SIZE);

    qemu_option(server, "--blockdev", "driver=file,node-name=base,filename=%s", base);
    qemu_option(server, "--nbd-server", "addr.type=unix,addr.path=%s/nbd", rig->dir);
    qemu_option(server, "--export", "type=nbd,id=base,node-name=base,writable=on");
    qemu_start(server);
    qemu_option(vm, "-blockdev",
                "driver=raw,node-name=base,read-only=on,file.driver=nbd,file.server.type=unix,"
                "file.server.path=%s/nbd,file.export=base",
                rig->dir);
    qemu_option(vm, "-blockdev",
                "driver=qcow2,node-name=top,backing=base,file.driver=file,file.filename=%s", top);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=top,id=vda");
    qemu_start(vm);

    g_autofree char *disk = rig_wait_disk(rig, "web1", "vda");
    g_autoptr(GHashTable) r = check(rig->recorder, disk, 1, "active", "b", true);
    is_refused(r, SERVICE_ERROR("NotSupported"), "larger");
    g_assert_cmpuint(number(r, "room"), ==, SMALL_SIZE);
    recorder_refused(rig->recorder, SERVICE_ERROR("NotSupported"), disk, DISK_INTERFACE, "Commit",
                     "b", 1);
    g_assert_cmpuint(qemu_count_jobs(vm), ==, 0);
}

static void test_stale(void)
{
    g_autoptr(Scene) s = quiet_scene(2);
    unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qemu_quit(s->vm);
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    qemu_start(s->vm);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));

    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);
    is_refused(r, SERVICE_ERROR("StaleImage"), scene_base(s));
}

/* Another overlay of the base, whose VM does not run. */
static void test_other_overlay(void)
{
    g_autoptr(Scene) s = quiet_scene(2);
    g_autofree char *overlay = image_overlay(s->rig->dir, "other", scene_base(s), "qcow2", 0);
    g_autoptr(Qemu) other = rig_qemu(s->rig, QEMU_SYSTEM, "web2");
    g_autofree char *disk = NULL;

    qemu_option(other, "-drive", "if=none,id=d0,format=qcow2,file=%s", overlay);
    qemu_option(other, "-device", "virtio-blk-pci,drive=d0,id=vdb");
    qemu_start(other);
    disk = rig_wait_disk(s->rig, "web2", "vdb");
    g_autoptr(GHashTable) both = check_scene(s, 2, "active", "b", true, "override", "b", true);
    has(both, "possible", "true");
    speaks_of(both, "warnings", "open elsewhere");
    qemu_quit(other);
    rig_wait_gone(s->rig, disk, DISK_INTERFACE);

    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);
    is_refused(r, SERVICE_ERROR("ImageInUse"), "'override'");
    has(r, "other-overlays", "web2/vdb");

    g_autoptr(GHashTable) overridden =
        check_scene(s, 2, "active", "b", true, "override", "b", true);
    has(overridden, "possible", "true");
    has(overridden, "other-overlays", "web2/vdb");
    speaks_of(overridden, "warnings", "other-overlays");
}

static void test_read_only_disk(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, IMAGE_MIB);
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");

    qemu_option(vm, "-drive", "if=none,id=d0,read-only=on,format=qcow2,file=%s", chain[1]);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=d0,id=vda");
    qemu_start(vm);

    g_autofree char *disk = rig_wait_disk(rig, "web1", "vda");
    g_autoptr(GHashTable) r = check(rig->recorder, disk, 1, "active", "b", true);
    is_refused(r, SERVICE_ERROR("ReadOnly"), "read-only");
    has(r, "images", NULL);
    has(r, "chain-depth", "2");
    has(r, "left-out", "true");
}

static void test_chain_of_one(void)
{
    g_autoptr(Scene) s = quiet_scene(1);
    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);

    is_refused(r, SERVICE_ERROR("NothingToCommit"), "snapshot");
    has(r, "images", NULL);
}

static void test_refused_options(void)
{
    g_autoptr(Scene) s = quiet_scene(3);
    g_autoptr(GHashTable) missing = check_scene(s, 1, "base", "s", "nowhere");
    g_autoptr(GHashTable) contradiction = check_scene(s, 1, "on-ready", "s", "pivot");

    is_refused(missing, SERVICE_ERROR("NoSuchImage"), "'base'");
    is_refused(contradiction, INVALID_ARGS, "'on-ready'");
    recorder_refused(s->recorder, INVALID_ARGS, s->disk, DISK_INTERFACE, "Check", "a{sv}", 1,
                     "bottom", "s", "1");
}

static void add_bitmaps(const Scene *s)
{
    g_free(process_run("qemu-img", "bitmap", "--add", scene_top(s), "backup", NULL));
}

static void test_bitmaps(gconstpointer base_format)
{
    const bool raw = strcmp(base_format, "raw") == 0;
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.base_format = base_format, .no_guest = true, .prepare = add_bitmaps});
    g_autoptr(GHashTable) r = check_scene(s, 1, "active", "b", true);
    g_autoptr(GHashTable) kept = check_scene(s, 2, "active", "b", true, "on-ready", "s", "keep");

    has(r, "possible", raw ? "false" : "true");
    has(r, "bitmaps-kept", raw ? "" : "backup");
    if (raw)
        speaks_of(r, "bitmaps-lost", "backup: ");
    else
        has(r, "bitmaps-lost", "");
    has(kept, "possible", "true");
    has(kept, "bitmaps-lost", "");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/check/active", test_active);
    g_test_add_func("/check/active-kept", test_active_kept);
    g_test_add_func("/check/below", test_below);
    g_test_add_func("/check/named-images", test_named_images);
    g_test_add_func("/check/job-in-the-way", test_job_in_the_way);
    g_test_add_func("/check/job-below-in-the-way", test_job_below_in_the_way);
    g_test_add_func("/check/job-of-another-client", test_job_of_another);
    g_test_add_func("/check/base-grows", test_base_grows);
    g_test_add_func("/check/base-of-a-format-that-cannot-grow", test_base_cannot_grow);
    g_test_add_func("/check/base-on-a-device-that-cannot-grow", test_base_on_a_device);
    g_test_add_func("/check/stale", test_stale);
    g_test_add_func("/check/other-overlay", test_other_overlay);
    g_test_add_func("/check/read-only-disk", test_read_only_disk);
    g_test_add_func("/check/chain-of-one", test_chain_of_one);
    g_test_add_func("/check/refused-options", test_refused_options);
    g_test_add_data_func("/check/bitmaps-kept", "qcow2", test_bitmaps);
    g_test_add_data_func("/check/bitmaps-lost", "raw", test_bitmaps);
    return g_test_run();
}
