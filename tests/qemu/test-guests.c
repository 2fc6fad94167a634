/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits while the guest stands still, writes faster than the base takes it, is started again from
 * the image on record, or has its disk plugged and unplugged.
 */
#include "scene.h"

#include <string.h>

#include "process.h"

static void set_running(Scene *s, bool running)
{
    qmp_client_do(qemu_monitor(s->vm), running ? "cont" : "stop", NULL);
    property_wait_string(s->recorder, SERVICE_PATH "/vm/web1", VM_INTERFACE, "State",
                         running ? "running" : "paused");
}

/* Pivot or Abort, to its end. */
static void conclude(Scene *s, unsigned from, bool pivots)
{
    if (pivots)
        scene_pivot(s);
    else
        scene_abort(s);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
}

static void check_end(Scene *s, bool pivots)
{
    const char *active = pivots ? scene_base(s) : scene_top(s);

    guest_wait_more(s->guest, 0, 50);
    scene_check_active(s, pivots ? 1 : 2, active);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, active, "qcow2");
    image_check_clean(active);
}

static void test_paused_all_the_time(gconstpointer conclusion)
{
    const bool pivots = strcmp(conclusion, "pivot") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    unsigned from;

    set_running(s, false);
    from = scene_commit_until_ready(s);
    conclude(s, from, pivots);
    set_running(s, true);
    check_end(s, pivots);
}

static void test_paused_while_ready(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    const unsigned from = scene_commit_until_ready(s);

    set_running(s, false);
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    set_running(s, true);
    guest_wait_more(s->guest, 0, 50);
    conclude(s, from, true);
    check_end(s, true);
}

/* The base takes less than there is to copy; then it takes all. */
static void test_rate(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = scene_commit(s, true);

    guest_wait_more(s->guest, 0, 300);
    recorder_settle(s->recorder);
    g_assert_cmpint(recorder_find(s->recorder, from, (Sought){.member = "JobReady"}), ==, -1);
    scene_release(s);
    scene_wait_ready(s, from);
    guest_wait_more(s->guest, 0, 50);
    conclude(s, from, true);
    check_end(s, true);
}

/* What a start of the VM is to ask for. The caller frees it. */
static char *boot_image(const Scene *s)
{
    g_autofree char *address =
        g_strdup_printf("DBUS_SYSTEM_BUS_ADDRESS=%s", test_bus_address(s->rig->bus));

    return g_strchomp(
        process_run("env", address, g_getenv("VMDISKCTL"), "boot-image", "web1/vda", NULL));
}

/* The VM's process is gone; the next one starts from the image that is on record. */
static char *start_again(Scene *s)
{
    g_autofree char *image = NULL;
    uint32_t held;

    qemu_kill(s->vm);
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    image = boot_image(s);
    held = guest_check_image(s->guest, 0, image, "qcow2");
    qemu_free(s->vm);
    guest_free(s->guest);

    s->vm = rig_qemu(s->rig, QEMU_SYSTEM, "web1");
    s->guest = guest_new(s->rig->dir, "again", &(GuestOptions){.already = held, .read_back = true});
    qemu_option(s->vm, "-drive", "if=none,id=d0,cache=writethrough,format=qcow2,file=%s", image);
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=d0,id=vda,bootindex=1");
    guest_add_arguments(s->guest, qemu_arguments(s->vm));
    qemu_start(s->vm);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
    guest_wait(s->guest, 0, held + 1);
    return g_steal_pointer(&image);
}

static void test_boot_image(gconstpointer conclusion)
{
    const bool pivots = strcmp(conclusion, "pivot") == 0;
    g_autoptr(Scene) s = scene_new(NULL);
    unsigned from = scene_commit_until_ready(s);
    g_autofree char *image = NULL;

    conclude(s, from, pivots);
    image = start_again(s);
    g_assert_cmpstr(image, ==, pivots ? scene_base(s) : scene_top(s));
    if (pivots)
        g_free(scene_snapshot(s, "overlay"));
    from = scene_commit_until_ready(s);
    conclude(s, from, true);
    check_end(s, true);
}

/* How a disk is plugged in and out: with -blockdev's commands, or with those of -drive. */
static void plug(Scene *s, bool drive, const char *file)
{
    if (drive)
        qmp_client_do(qemu_monitor(s->vm), "human-monitor-command",
                      "{'command-line': 'drive_add 0 if=none,id=image,format=qcow2,file=%s'}",
                      file);
    else
        qmp_client_do(qemu_monitor(s->vm), "blockdev-add",
                      "{'driver': 'qcow2', 'node-name': 'image', 'file': {'driver': 'file', "
                      "'filename': '%s'}}",
                      file);
    qmp_client_do(qemu_monitor(s->vm), "device_add",
                  "{'driver': 'scsi-hd', 'drive': 'image', 'id': 'sdx'}");
    g_free(s->disk);
    s->disk = rig_wait_disk(s->rig, "web1", "sdx");
}

static void unplug(Scene *s)
{
    g_autofree char *node = property_string(s->recorder, s->disk, DISK_INTERFACE, "Node");

    qmp_client_do(qemu_monitor(s->vm), "device_del", "{'id': 'sdx'}");
    rig_wait_gone(s->rig, s->disk, DISK_INTERFACE);
    if (*node != '#')
        qmp_client_do(qemu_monitor(s->vm), "blockdev-del", "{'node-name': '%s'}", node);
}

static void write_to_plugged(Scene *s, uint8_t byte, unsigned mib)
{
    qmp_client_do(qemu_monitor(s->vm), "human-monitor-command",
                  "{'command-line': 'qemu-io -d /machine/peripheral/sdx "
                  "\\\"write -P %u %uM 1M\\\"'}",
                  byte, mib);
}

static void add_controller(const Scene *s)
{
    qemu_option(s->vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", scene_top(s));
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=d0,id=vda");
    qemu_option(s->vm, "-device", "virtio-scsi-pci");
}

/* Plugged, committed, unplugged, and plugged again with what is on record to be used. */
static void test_plug_again(gconstpointer way)
{
    const bool drive = strcmp(way, "drive") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true, .add_disk = add_controller});
    g_auto(GStrv) chain = image_chain(s->rig->dir, "plugged", "qcow2", 2, 8 * IMAGE_MIB);

    for (unsigned round = 0; round < 3; round++) {
        const bool keeps = round == 0;
        unsigned from;

        plug(s, drive, chain[1]);
        write_to_plugged(s, (uint8_t)(0x31 + round), round);
        from = scene_commit_until_ready(s);
        conclude(s, from, !keeps);
        unplug(s);
        for (unsigned i = 0; i <= round; i++)
            image_check_filled(chain[0], "qcow2", (uint8_t)(0x31 + i), i * IMAGE_MIB, IMAGE_MIB);
        if (!keeps) {
            g_autofree char *name = g_strdup_printf("plugged.%u", 2 + round);

            g_free(chain[1]);
            chain[1] = image_overlay(s->rig->dir, name, chain[0], "qcow2", 0);
        }
    }
    image_check_clean(chain[0]);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/guests/paused-all-the-time/pivot", "pivot", test_paused_all_the_time);
    g_test_add_data_func("/guests/paused-all-the-time/keep", "keep", test_paused_all_the_time);
    g_test_add_func("/guests/paused-and-resumed-while-ready", test_paused_while_ready);
    g_test_add_func("/guests/ready-once-the-rate-allows", test_rate);
    g_test_add_data_func("/guests/restart-on-boot-image/pivot", "pivot", test_boot_image);
    g_test_add_data_func("/guests/restart-on-boot-image/keep", "keep", test_boot_image);
    g_test_add_data_func("/guests/plugged-again/drive", "drive", test_plug_again);
    g_test_add_data_func("/guests/plugged-again/blockdev", "blockdev", test_plug_again);
    return g_test_run();
}
