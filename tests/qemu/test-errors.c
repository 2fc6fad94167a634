/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * I/O errors below a commit: a base without room, one that cannot be written, one that is gone. The
 * guest does not notice, and nothing that it wrote is lost.
 */
#include "scene.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#include "process.h"

static unsigned commit_with(Scene *s, bool active, const char *on_error)
{
    const unsigned from = recorder_mark(s->recorder);

    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "CommitWith", "a{sv}", 2, "active", "b",
                  (int)active, "on-error", "s", on_error);
    return from;
}

static void resume(Scene *s)
{
    recorder_call(s->recorder, s->disk, JOB_INTERFACE, "Resume", NULL);
}

/* The job is paused by that error, which is announced after `from`. */
static void wait_stopped(Scene *s, unsigned from, const char *error)
{
    recorder_wait(s->recorder, from,
                  (Sought){.path = s->disk,
                           .interface = "org.freedesktop.DBus.Properties",
                           .member = "PropertiesChanged",
                           .property = "Error",
                           .value = error});
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "State", "paused");
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "Error", error);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "paused");
}

static void wait_no_room(Scene *s, unsigned from)
{
    wait_stopped(s, from, g_strerror(ENOSPC));
}

/* On which of the images the guest is. */
static void check_guest(Scene *s, unsigned index)
{
    const char *file = s->chain[index], *format = scene_format(s, index);

    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, file, format);
    image_check_filled(file, format, SCENE_DATA_BYTE, SCENE_DATA_OFFSET, SCENE_DATA_LENGTH);
}

static void pivot(Scene *s, unsigned from)
{
    scene_wait_ready(s, from);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    scene_check_active(s, 1, scene_base(s));
    check_guest(s, 0);
}

static void test_stop_and_resume(gconstpointer on_error)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_room = true});
    const unsigned from = commit_with(s, true, on_error);
    unsigned again;
    const char *text;

    wait_no_room(s, from);
    guest_wait_more(s->guest, 0, 50);
    text = recorder_refused(s->recorder, SERVICE_ERROR("NotReady"), s->disk, DISK_INTERFACE,
                            "Pivot", NULL);
    g_assert_nonnull(strstr(text, "Resume"));
    again = recorder_mark(s->recorder);
    resume(s);
    wait_no_room(s, again);
    scene_make_room(s);
    resume(s);
    pivot(s, from);
}

static void fill_middle(const Scene *s)
{
    image_fill(s->chain[1], "qcow2", 0x22, 16 * IMAGE_MIB, 32 * IMAGE_MIB);
}

static void test_below(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = 3, .no_room = true, .prepare = fill_middle});
    const unsigned from = commit_with(s, false, "stop");

    wait_no_room(s, from);
    scene_make_room(s);
    resume(s);
    scene_wait_finished(s, from, "completed");
    image_check_filled(scene_base(s), "qcow2", 0x22, 16 * IMAGE_MIB, 32 * IMAGE_MIB);
    check_guest(s, s->depth - 1);
}

/* Ready, and then the guest fills the base. */
static unsigned fill_when_ready(Scene *s, const char *on_error)
{
    const unsigned from = commit_with(s, true, on_error);

    scene_wait_ready(s, from);
    scene_write(s, 0x77, SCENE_FULL_OFFSET, 16 * IMAGE_MIB);
    return from;
}

static void test_ready(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_room_above = true, .base_format = "raw"});
    const unsigned from = fill_when_ready(s, "stop");

    wait_no_room(s, from);
    guest_wait_more(s->guest, 0, 50);
    scene_make_room(s);
    resume(s);
    property_wait_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    pivot(s, from);
    image_check_filled(scene_base(s), "raw", 0x77, SCENE_FULL_OFFSET, 16 * IMAGE_MIB);
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobReady"}), ==, 1);
}

static void test_ready_reported(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_room_above = true, .base_format = "raw"});
    const unsigned from = fill_when_ready(s, "report");

    scene_wait_finished(s, from, "failed");
    scene_check_active(s, 2, scene_top(s));
    check_guest(s, s->depth - 1);
}

static void test_abort(gconstpointer state)
{
    const bool ready = strcmp(state, "ready") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){
        .no_room = !ready, .no_room_above = ready, .base_format = ready ? "raw" : NULL});
    const unsigned from = ready ? fill_when_ready(s, "stop") : commit_with(s, true, "stop");

    wait_no_room(s, from);
    scene_abort(s);
    scene_wait_finished(s, from, "cancelled");
    qemu_wait_no_jobs(s->vm);
    scene_check_active(s, 2, scene_top(s));
    check_guest(s, s->depth - 1);
}

static void test_restart(gconstpointer state)
{
    const bool ready = strcmp(state, "ready") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){
        .no_room = !ready, .no_room_above = ready, .base_format = ready ? "raw" : NULL});
    const unsigned from = ready ? fill_when_ready(s, "stop") : commit_with(s, true, "stop");

    wait_no_room(s, from);
    daemon_kill(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
    daemon_start(s->rig->daemon);
    rig_wait_daemon(s->rig);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
    property_wait_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "paused");
    property_check_string(s->recorder, s->disk, JOB_INTERFACE, "Error", g_strerror(ENOSPC));
    scene_make_room(s);
    resume(s);
    pivot(s, from);
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobReady"}), ==, 1);
}

#define WRITES_FAIL                                                                                \
    "file.driver=blkdebug,file.inject-error.0.event=none,file.inject-error.0.iotype=write,"        \
    "file.inject-error.0.errno=5,"
#define IMAGE_FILE "file.image.driver=file,file.image.filename"

/* A base that is broken, and not full: that is not what "enospc" waits for. */
static void test_broken(gconstpointer on_error)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.base_options = WRITES_FAIL IMAGE_FILE});
    const unsigned from = commit_with(s, true, on_error);
    g_autofree char *message = NULL;

    scene_wait_finished(s, from, "failed");
    message = property_last_job(s->recorder, s->disk, "message");
    g_assert_nonnull(strstr(message, g_strerror(EIO)));
    scene_check_active(s, 2, scene_top(s));
    check_guest(s, s->depth - 1);
}

static void test_broken_once(void)
{
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.base_options = WRITES_FAIL "file.inject-error.0.once=on," IMAGE_FILE});
    const unsigned from = commit_with(s, true, "stop");

    wait_stopped(s, from, g_strerror(EIO));
    resume(s);
    pivot(s, from);
}

static char *socket_of(const Scene *s)
{
    return g_strdup_printf("%s.nbd", scene_base(s));
}

static void serve_base(const Scene *s)
{
    g_autofree char *socket = socket_of(s), *pid = g_strdup_printf("%s.pid", socket);

    g_free(process_run("qemu-nbd", "--fork", "--persistent", "--pid-file", pid, "--format", "raw",
                       "--socket", socket, scene_base(s), NULL));
}

static void stop_serving(const Scene *s)
{
    g_autofree char *socket = socket_of(s), *file = g_strdup_printf("%s.pid", socket);
    g_autofree char *pid = NULL;

    g_assert_true(g_file_get_contents(file, &pid, NULL, NULL));
    g_assert_cmpint(kill((pid_t)g_ascii_strtoll(pid, NULL, 10), SIGKILL), ==, 0);
}

/* The server of the base dies under the commit. */
static void test_device_gone(gconstpointer on_error)
{
    const bool stops = strcmp(on_error, "stop") == 0;
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.base_options = "file.driver=nbd,file.server.type=unix,file.server.path",
                        .base_suffix = ".nbd",
                        .prepare = serve_base});
    unsigned from = recorder_mark(s->recorder);

    /* Slow enough to be on the way when the base goes. */
    recorder_call(s->recorder, s->disk, DISK_INTERFACE, "CommitWith", "a{sv}", 3, "active", "b", 1,
                  "on-error", "s", on_error, "speed", "t", (uint64_t)IMAGE_MIB);
    stop_serving(s);
    if (stops) {
        wait_stopped(s, from, g_strerror(EIO));
        scene_abort(s);
    }
    scene_wait_finished(s, from, stops ? "cancelled" : "failed");
    qemu_wait_no_jobs(s->vm);
    g_assert_cmpuint(property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth"), ==, 2);
    guest_wait_more(s->guest, 0, 50);
}

/* QEMU opens the file of a read-only base anew for the job, by its name. */
static void test_file_gone(void)
{
    g_autoptr(Scene) s = scene_new(NULL);

    g_assert_cmpint(g_unlink(scene_base(s)), ==, 0);
    recorder_refused(s->recorder, SERVICE_ERROR("QMP"), s->disk, DISK_INTERFACE, "Commit", "b", 1);
    qemu_wait_no_jobs(s->vm);
    scene_check_active(s, 2, scene_top(s));
    guest_wait_more(s->guest, 0, 50);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/errors/no-room/stop", "stop", test_stop_and_resume);
    g_test_add_data_func("/errors/no-room/enospc", "enospc", test_stop_and_resume);
    g_test_add_func("/errors/no-room/below-the-active-layer", test_below);
    g_test_add_func("/errors/no-room/when-ready", test_ready);
    g_test_add_func("/errors/no-room/when-ready-reported", test_ready_reported);
    g_test_add_data_func("/errors/no-room/abort-when-running", "running", test_abort);
    g_test_add_data_func("/errors/no-room/abort-when-ready", "ready", test_abort);
    g_test_add_data_func("/errors/no-room/restart-when-running", "running", test_restart);
    g_test_add_data_func("/errors/no-room/restart-when-ready", "ready", test_restart);
    g_test_add_data_func("/errors/broken/report", "report", test_broken);
    g_test_add_data_func("/errors/broken/enospc", "enospc", test_broken);
    g_test_add_func("/errors/broken/once", test_broken_once);
    g_test_add_data_func("/errors/device-gone/report", "report", test_device_gone);
    g_test_add_data_func("/errors/device-gone/stop", "stop", test_device_gone);
    g_test_add_func("/errors/file-gone", test_file_gone);
    return g_test_run();
}
