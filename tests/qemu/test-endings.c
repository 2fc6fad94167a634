/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job's end when several want it at once: two requests, another monitor, an unplugged device, a
 * base that vanishes, a caller who has run out of time; and when its events come in one piece or in
 * the smallest ones. There is one end, one result, and it is the true one.
 */
#include "scene.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "relay.h"
#include "wait.h"

#define ROUNDS 3

/* JobFinished, the only one since `from`; its result, borrowed. */
static const char *wait_result(Scene *s, unsigned from)
{
    const Sought finished = {.path = s->disk, .member = "JobFinished"};
    const unsigned position = recorder_wait(s->recorder, from, finished);
    const char *skip, *result;

    recorder_read(s->recorder, position, "sss", &skip, &skip, &result);
    recorder_settle(s->recorder);
    g_assert_cmpuint(recorder_count(s->recorder, from, finished), ==, 1);
    return result;
}

/* The graph says the same as the result, and the guest has lost nothing. */
static void check_true(Scene *s, const char *result)
{
    const bool merged = strcmp(result, "completed") == 0;
    const char *active = merged ? scene_base(s) : scene_top(s);

    qemu_wait_no_jobs(s->vm);
    scene_check_active(s, merged ? 1 : 2, active);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, active, "qcow2");
}

/* A request that comes too late; the error. */
static void check_late(Scene *s, unsigned call)
{
    const unsigned answer = recorder_await(s->recorder, call);
    sd_bus_message *m = recorder_at(s->recorder, answer)->message;

    if (!sd_bus_message_is_method_error(m, SERVICE_ERROR("NotReady")))
        g_assert_true(sd_bus_message_is_method_error(m, SERVICE_ERROR("NoJob")));
}

static void test_after_the_end(gconstpointer member)
{
    const bool pivots = strcmp(member, "Pivot") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    recorder_call(s->recorder, s->disk, DISK_INTERFACE, member, NULL);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    recorder_refused(s->recorder, SERVICE_ERROR("NoJob"), s->disk, DISK_INTERFACE, "Pivot", NULL);
    recorder_refused(s->recorder, SERVICE_ERROR("NoJob"), s->disk, DISK_INTERFACE, "Abort", NULL);
    check_true(s, wait_result(s, from));
}

static void test_abort_while_pivoting(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        g_autoptr(Scene) s = scene_new(NULL);
        const unsigned from = scene_commit_until_ready(s);
        const unsigned pivot = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);
        unsigned abort;

        /* At once, and when the pivot was accepted. */
        if (round % 2)
            recorder_await(s->recorder, pivot);
        abort = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Abort", NULL);
        check_late(s, abort);
        g_assert_cmpint(recorder_at(s->recorder, recorder_await(s->recorder, pivot))->kind, ==,
                        RECORD_REPLY);
        g_assert_cmpstr(wait_result(s, from), ==, "completed");
        check_true(s, "completed");
    }
}

/* The human monitor answers in words, whether the job is still there or not. */
static void test_other_monitor(gconstpointer force)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        g_autoptr(Scene) s = scene_new(NULL);
        const unsigned from = scene_commit_until_ready(s);
        g_autofree char *id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");
        const unsigned pivot = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);

        qmp_client_do(qemu_monitor(s->vm), "human-monitor-command",
                      "{'command-line': 'block_job_cancel %s %s'}", (const char *)force, id);
        recorder_await(s->recorder, pivot);
        check_true(s, wait_result(s, from));
    }
}

static void add_scsi(const Scene *s)
{
    qemu_option(s->vm, "-device", "virtio-scsi-pci");
    qemu_option(s->vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", scene_top(s));
    qemu_option(s->vm, "-device", "scsi-hd,drive=d0,id=vda");
}

static void check_data(const char *file)
{
    image_check_filled(file, "qcow2", SCENE_DATA_BYTE, SCENE_DATA_OFFSET, SCENE_DATA_LENGTH);
}

static void test_unplug(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true, .add_disk = add_scsi});
        const unsigned from = scene_commit_until_ready(s);
        const unsigned pivot = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);
        const char *result;

        qmp_client_do(qemu_monitor(s->vm), "device_del", "{'id': 'vda'}");
        recorder_await(s->recorder, pivot);
        result = wait_result(s, from);
        rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
        qemu_kill(s->vm);
        if (strcmp(result, "completed") == 0 || strcmp(result, "kept") == 0)
            check_data(scene_base(s));
        check_data(scene_top(s));
    }
}

/* The base is gone from the network: whether the pivot was there first, or the loss. */
static void test_base_vanishes(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        g_autoptr(Scene) s = scene_new(
            &(SceneOptions){.no_guest = true, .base_format = "raw", .base_place = BASE_NBD});
        const unsigned from = scene_commit_until_ready(s);
        const unsigned pivot = recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL);
        const char *result;

        base_vanish(s->base);
        recorder_await(s->recorder, pivot);
        result = wait_result(s, from);
        if (strcmp(result, "completed") != 0)
            g_assert_cmpstr(result, ==, "failed");
        scene_wait_depth(s, strcmp(result, "completed") == 0 ? 1 : 2);
        qemu_kill(s->vm);
        image_check_filled(scene_base(s), "raw", SCENE_DATA_BYTE, SCENE_DATA_OFFSET,
                           SCENE_DATA_LENGTH);
    }
}

/* A job of one phase ends by itself, whatever is asked of it meanwhile. */
static void test_ends_by_itself(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 3, .prepare = scene_mark_images});
    const unsigned from = scene_commit(s, false);
    const Sought finished = {.path = s->disk, .member = "JobFinished"};

    do
        check_late(s, recorder_send(s->recorder, s->disk, DISK_INTERFACE, "Pivot", NULL));
    while (recorder_find(s->recorder, from, finished) < 0);
    g_assert_cmpstr(wait_result(s, from), ==, "completed");
    scene_wait_depth(s, 2);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_top(s), "qcow2");
    scene_check_marks(s, 0, 1, 1);
}

/* vmdiskctl, as somebody at a terminal would run it; its exit code. */
static int run_client(const Scene *s, const char *line)
{
    g_autofree char *command = g_strdup_printf("%s %s", g_getenv("VMDISKCTL"), line);
    g_auto(GStrv) argv = g_strsplit(command, " ", -1);
    g_auto(GStrv) environment = g_environ_setenv(g_get_environ(), "DBUS_SYSTEM_BUS_ADDRESS",
                                                 test_bus_address(s->rig->bus), TRUE);
    g_autoptr(Process) p = process_start(argv, environment, NULL);

    return WEXITSTATUS(process_wait(p));
}

/* Whoever waits has no more time for it: the job goes on, and somebody else takes it up. */
static void test_deadline(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = recorder_mark(s->recorder);

    g_assert_cmpint(run_client(s, "commit --active --wait --timeout=0 web1/vda"), ==, 6);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "running");
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    scene_release(s);
    scene_wait_ready(s, from);
    g_assert_cmpint(run_client(s, "pivot --wait web1/vda"), ==, 0);
    check_true(s, wait_result(s, from));
}

static bool is_stopped(gpointer daemon)
{
    return daemon_is_stopped(daemon);
}

/* The service looks away while the job becomes ready, is completed by somebody else and ends: it
 * finds all of that at once. */
static void test_all_at_once(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);
    g_autofree char *id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");

    daemon_signal(s->rig->daemon, SIGSTOP);
    wait_until("the daemon has stopped", is_stopped, s->rig->daemon);
    scene_release(s);
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_READY"));
    qmp_client_do(qemu_monitor(s->vm), "job-complete", "{'id': '%s'}", id);
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_PENDING"));
    qmp_client_do(qemu_monitor(s->vm), "job-finalize", "{'id': '%s'}", id);
    json_object_put(qmp_client_wait_event(qemu_monitor(s->vm), "BLOCK_JOB_COMPLETED"));
    daemon_signal(s->rig->daemon, SIGCONT);
    g_assert_cmpstr(wait_result(s, from), ==, "completed");
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobReady"}), <=, 1);
    check_true(s, "completed");
}

/* Somebody else has told the job to complete, and it has not come to that: QEMU would pivot after a
 * soft cancel all the same (mirror.c, should_complete). Whoever calls Abort keeps the overlay. */
static void test_abort_against_completion(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.slow_base = true, .little_data = true, .no_guest = true});
    const unsigned from = scene_commit_until_ready(s);
    g_autofree char *id = property_string(s->recorder, s->disk, JOB_INTERFACE, "Id");

    scene_write(s, SCENE_DATA_BYTE + 1, SCENE_DATA_OFFSET, SCENE_DATA_LENGTH);
    qmp_client_do(qemu_monitor(s->vm), "job-complete", "{'id': '%s'}", id);
    scene_abort(s);
    scene_release(s);
    scene_wait_finished(s, from, "kept");
    scene_check_active(s, 2, scene_top(s));
}

/* The VM goes; the next one does not dial in, but is attached through the relay. */
static Relay *attach_again(Scene *s)
{
    g_autofree char *socket_path = g_build_filename(s->rig->dir, "qmp", NULL);
    Relay *relay;
    uint32_t held;
    int fd;

    qemu_kill(s->vm);
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    held = guest_check_image(s->guest, 0, scene_top(s), "qcow2");
    qemu_free(s->vm);
    guest_free(s->guest);

    s->vm = qemu_new(QEMU_SYSTEM, NULL, "web1");
    s->guest = guest_new(s->rig->dir, "again", &(GuestOptions){.already = held, .read_back = true});
    qemu_option(s->vm, "-qmp", "unix:%s,server=on,wait=off", socket_path);
    qemu_option(s->vm, "-drive", "if=none,id=d0,cache=writethrough,format=qcow2,file=%s",
                scene_top(s));
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=d0,id=vda,bootindex=1");
    guest_add_arguments(s->guest, qemu_arguments(s->vm));
    qemu_start(s->vm);
    guest_wait(s->guest, 0, held + 1);

    relay = relay_start(socket_path, &fd);
    recorder_call(s->recorder, SERVICE_PATH, MANAGER_INTERFACE, "AttachVM", "sha{sv}", "web1", fd,
                  0);
    close(fd);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
    return relay;
}

static void test_bytes(gconstpointer conclusion)
{
    const bool pivots = strcmp(conclusion, "Pivot") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    g_autoptr(Relay) relay = attach_again(s);
    const unsigned from = scene_commit_until_ready(s);

    recorder_call(s->recorder, s->disk, DISK_INTERFACE, conclusion, NULL);
    g_assert_cmpstr(wait_result(s, from), ==, pivots ? "completed" : "kept");
    g_assert_cmpuint(
        recorder_count(s->recorder, from, (Sought){.path = s->disk, .member = "JobReady"}), ==, 1);
    check_true(s, pivots ? "completed" : "kept");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/endings/after-pivot", "Pivot", test_after_the_end);
    g_test_add_data_func("/endings/after-abort", "Abort", test_after_the_end);
    g_test_add_func("/endings/abort-while-pivoting", test_abort_while_pivoting);
    g_test_add_func("/endings/abort-against-completion", test_abort_against_completion);
    g_test_add_data_func("/endings/pivot-against-soft-cancel", "", test_other_monitor);
    g_test_add_data_func("/endings/pivot-against-forced-cancel", "-f", test_other_monitor);
    g_test_add_func("/endings/pivot-against-unplug", test_unplug);
    g_test_add_func("/endings/pivot-against-loss-of-base", test_base_vanishes);
    g_test_add_func("/endings/pivot-of-job-that-ends-by-itself", test_ends_by_itself);
    g_test_add_func("/endings/deadline-of-caller", test_deadline);
    g_test_add_func("/endings/all-at-once", test_all_at_once);
    g_test_add_data_func("/endings/byte-by-byte/pivot", "Pivot", test_bytes);
    g_test_add_data_func("/endings/byte-by-byte/abort", "Abort", test_bytes);
    return g_test_run();
}
