/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every way in which people give disks to QEMU: what the disk is called, that it can be committed,
 * and that it comes and goes with its device.
 */
#include <signal.h>

#include "image.h"
#include "properties.h"
#include "rig.h"

/* One VM that does not run its guest, with one chain of two images. */
typedef struct Plain {
    Rig *rig;
    Recorder *recorder;
    Qemu *vm;
    char **chain;
} Plain;

static Plain *plain_new(QemuKind kind)
{
    Plain *p = g_new0(Plain, 1);

    p->rig = rig_new();
    p->recorder = p->rig->recorder;
    p->chain = image_chain(p->rig->dir, "image", "qcow2", 2, 4 * IMAGE_MIB);
    image_fill(p->chain[1], "qcow2", 0x77, IMAGE_MIB, IMAGE_MIB);
    p->vm = rig_qemu(p->rig, kind, "web1");
    if (kind == QEMU_SYSTEM)
        g_ptr_array_add(qemu_arguments(p->vm), g_strdup("-S"));
    return p;
}

static void plain_free(Plain *p)
{
    qemu_free(p->vm);
    rig_free(p->rig);
    g_strfreev(p->chain);
    g_free(p);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plain, plain_free)

/* What a VM without a name is called, as a storage daemon is. */
static char *name_by_pid(const Plain *p)
{
    return g_strdup_printf("qemu-%d", qemu_pid(p->vm));
}

static void check_names(const Plain *p, const char *vm, const char *const *disks)
{
    g_auto(GStrv) found = rig_objects(p->rig, DISK_INTERFACE);

    g_assert_cmpuint(g_strv_length(found), ==, g_strv_length((char **)disks));
    for (unsigned i = 0; disks[i]; i++) {
        g_autofree char *path = rig_disk_path(vm, disks[i]);

        if (!g_strv_contains((const char *const *)found, path))
            g_error("No disk %s", path);
        property_check_string(p->recorder, path, DISK_INTERFACE, "Name", disks[i]);
    }
}

static void commit_and_pivot(const Plain *p, const char *disk)
{
    const unsigned from = recorder_mark(p->recorder);
    const char *result, *skip;
    unsigned finished;

    g_assert_cmpuint(property_u32(p->recorder, disk, DISK_INTERFACE, "ChainDepth"), ==, 2);
    recorder_call(p->recorder, disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(p->recorder, from, (Sought){.path = disk, .member = "JobReady"});
    recorder_call(p->recorder, disk, DISK_INTERFACE, "Pivot", NULL);
    finished = recorder_wait(p->recorder, from, (Sought){.path = disk, .member = "JobFinished"});
    recorder_read(p->recorder, finished, "sss", &skip, &skip, &result);
    g_assert_cmpstr(result, ==, "completed");
    g_assert_cmpuint(property_u32(p->recorder, disk, DISK_INTERFACE, "ChainDepth"), ==, 1);
}

/* What was in the overlay is in the base. */
static void check_merged(const Plain *p)
{
    qemu_quit(p->vm);
    image_check_filled(p->chain[0], "qcow2", 0x77, IMAGE_MIB, IMAGE_MIB);
    image_check_clean(p->chain[0]);
}

/* A way to start: the options, where %0 and %1 are base and overlay, and the disk's name. */
typedef struct Start {
    const char *path; /* of the test */
    const char *disk;
    const char *options[12]; /* ended by NULL */
} Start;

#define NODE0 "qcow2,node-name=node0,read-only=on,file.driver=file,file.filename=%0"
#define NODE1 "qcow2,node-name=node1,backing=node0,file.driver=file,file.filename=%1"
#define DRIVE "id=d0,if=none,format=qcow2,file=%1"

static const Start starts[] = {
    {"/disks/start/if-virtio", "virtio0", {"-drive", "if=virtio,format=qcow2,file=%1"}},
    {"/disks/start/if-ide", "ide0-hd0", {"-drive", "format=qcow2,file=%1"}},
    {"/disks/start/hda", "ide0-hd0", {"-hda", "%1"}},
    {"/disks/start/drive-and-device-with-id",
     "vda",
     {"-drive", DRIVE, "-device", "virtio-blk-pci,drive=d0,id=vda"}},
    {"/disks/start/drive-and-device-without-id",
     "d0",
     {"-drive", DRIVE, "-device", "virtio-blk-pci,drive=d0"}},
    {"/disks/start/blockdev-and-device-with-id",
     "vda",
     {"-blockdev", NODE0, "-blockdev", NODE1, "-device", "virtio-blk-pci,drive=node1,id=vda"}},
    {"/disks/start/blockdev-and-device-without-id",
     "node1",
     {"-blockdev", NODE0, "-blockdev", NODE1, "-device", "virtio-blk-pci,drive=node1"}},
    {"/disks/start/blockdev-implicit-backing",
     "vda",
     {"-blockdev", "qcow2,node-name=node1,file.driver=file,file.filename=%1", "-device",
      "virtio-blk-pci,drive=node1,id=vda"}},
    {"/disks/start/iothread",
     "vda",
     {"-object", "iothread,id=thread", "-drive", DRIVE, "-device",
      "virtio-blk-pci,drive=d0,id=vda,iothread=thread"}},
    {"/disks/start/scsi",
     "sda",
     {"-device", "virtio-scsi-pci", "-drive", DRIVE, "-device", "scsi-hd,drive=d0,id=sda"}},
    {"/disks/start/nvme", "nvm", {"-drive", DRIVE, "-device", "nvme,drive=d0,serial=1,id=nvm"}},
    {"/disks/start/throttle-on-top",
     "vda",
     {"-object", "throttle-group,id=tg", "-blockdev", NODE0, "-blockdev", NODE1, "-blockdev",
      "throttle,node-name=limit,throttle-group=tg,file=node1", "-device",
      "virtio-blk-pci,drive=limit,id=vda"}},
};

static char *fill_in(const Plain *p, const char *option)
{
    g_auto(GStrv) around_base = g_strsplit(option, "%0", -1);
    g_autofree char *with_base = g_strjoinv(p->chain[0], around_base);
    g_auto(GStrv) around_top = g_strsplit(with_base, "%1", -1);

    return g_strjoinv(p->chain[1], around_top);
}

static void test_start(gconstpointer data)
{
    const Start *start = data;
    g_autoptr(Plain) p = plain_new(QEMU_SYSTEM);
    g_autofree char *disk = NULL, *node = NULL;
    const char *const names[] = {start->disk, NULL};

    for (unsigned i = 0; start->options[i]; i++)
        g_ptr_array_add(qemu_arguments(p->vm), fill_in(p, start->options[i]));
    qemu_start(p->vm);
    disk = rig_wait_disk(p->rig, "web1", start->disk);
    check_names(p, "web1", names);
    property_check_string(p->recorder, disk, DISK_INTERFACE, "Format", "qcow2");
    g_assert_cmpuint(property_u64(p->recorder, disk, DISK_INTERFACE, "Size"), ==, 4 * IMAGE_MIB);
    g_assert_false(property_bool(p->recorder, disk, DISK_INTERFACE, "ReadOnly"));
    node = property_string(p->recorder, disk, DISK_INTERFACE, "Node");
    g_assert_cmpstr(node, !=, "");

    /* The name stays, whatever the pivot does to the nodes. */
    commit_and_pivot(p, disk);
    check_names(p, "web1", names);
    check_merged(p);
}

static void test_several(void)
{
    g_autoptr(Plain) p = plain_new(QEMU_SYSTEM);
    g_autofree char *first = NULL, *second = NULL, *third = NULL, *file = NULL;
    static const char *const names[] = {"vda", "d1", "ide1-cd0", "cd", NULL};
    g_autofree char *raw = image_create(p->rig->dir, "raw", "raw", IMAGE_MIB);
    g_autofree char *iso = image_create(p->rig->dir, "iso", "raw", IMAGE_MIB);

    qemu_option(p->vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", p->chain[1]);
    qemu_option(p->vm, "-device", "virtio-blk-pci,drive=d0,id=vda");
    qemu_option(p->vm, "-drive", "if=none,id=d1,format=raw,read-only=on,file=%s", raw);
    qemu_option(p->vm, "-device", "virtio-blk-pci,drive=d1");
    qemu_option(p->vm, "-cdrom", "%s", iso);
    qemu_option(p->vm, "-device", "ide-cd,id=cd,bus=ide.0");
    qemu_start(p->vm);
    first = rig_wait_disk(p->rig, "web1", "vda");
    check_names(p, "web1", names);

    second = rig_disk_path("web1", "d1");
    g_assert_true(property_bool(p->recorder, second, DISK_INTERFACE, "ReadOnly"));
    file = property_chain_string(p->recorder, second, 0, "file");
    g_assert_cmpstr(file, ==, raw);

    third = rig_disk_path("web1", "cd");
    property_check_string(p->recorder, third, DISK_INTERFACE, "Node", "");
    g_assert_cmpuint(property_u32(p->recorder, third, DISK_INTERFACE, "ChainDepth"), ==, 0);
    commit_and_pivot(p, first);
    check_merged(p);
}

/* Images whose names differ in the directory only, and relative backing names. */
static void test_same_names(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");

    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *dir = g_strdup_printf("%s/%u", rig->dir, i);
        g_autofree char *base = NULL, *top = NULL;

        g_assert_cmpint(g_mkdir_with_parents(dir, 0700), ==, 0);
        base = image_create(dir, "base", "qcow2", IMAGE_MIB);
        top = image_overlay(dir, "top", "base", "qcow2", 0);
        image_fill(top, "qcow2", (uint8_t)(i + 1), 0, 65536);
        qemu_option(vm, "-drive", "if=virtio,format=qcow2,file=%s", top);
    }
    qemu_start(vm);
    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *name = g_strdup_printf("virtio%u", i);
        g_autofree char *path = rig_wait_disk(rig, "web1", name);
        g_autofree char *base = g_strdup_printf("%s/%u/base", rig->dir, i);
        const Plain p = {.rig = rig, .recorder = rig->recorder, .vm = vm};

        commit_and_pivot(&p, path);
        image_check_filled(base, "qcow2", (uint8_t)(i + 1), 0, 65536);
    }
}

static void test_hot_plug(void)
{
    g_autoptr(Plain) p = plain_new(QEMU_SYSTEM);
    g_autofree char *vm = NULL, *disk = NULL;
    static const char *const none[] = {NULL};

    qemu_option(p->vm, "-device", "virtio-scsi-pci");
    qemu_start(p->vm);
    vm = rig_wait_vm(p->rig, "web1");
    check_names(p, "web1", none);
    for (unsigned round = 0; round < 2; round++) {
        qmp_client_do(qemu_monitor(p->vm), "blockdev-add",
                      "{'driver': 'qcow2', 'node-name': 'plugged', 'file': {'driver': 'file', "
                      "'filename': '%s'}}",
                      p->chain[1]);
        qmp_client_do(qemu_monitor(p->vm), "device_add",
                      "{'driver': 'scsi-hd', 'drive': 'plugged', 'id': 'sdx'}");
        g_free(disk);
        disk = rig_wait_disk(p->rig, "web1", "sdx");
        if (round == 0) {
            qmp_client_do(qemu_monitor(p->vm), "device_del", "{'id': 'sdx'}");
            rig_wait_gone(p->rig, disk, DISK_INTERFACE);
            qmp_client_do(qemu_monitor(p->vm), "blockdev-del", "{'node-name': 'plugged'}");
        }
    }
    commit_and_pivot(p, disk);
    check_merged(p);
}

/* Another disk comes under the name of one that was to be committed, while QEMU is asked. */
static void test_exchanged(void)
{
    g_autoptr(Plain) p = plain_new(QEMU_SYSTEM);
    g_autofree char *disk = NULL, *qdev = NULL;
    g_auto(GStrv) other = image_chain(p->rig->dir, "other", "qcow2", 2, 4 * IMAGE_MIB);
    const unsigned from = recorder_mark(p->recorder);
    unsigned call;

    qemu_option(p->vm, "-device", "virtio-scsi-pci");
    qemu_option(p->vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", p->chain[1]);
    qemu_option(p->vm, "-device", "scsi-hd,drive=d0");
    qemu_option(p->vm, "-blockdev", "qcow2,node-name=new,file.driver=file,file.filename=%s",
                other[1]);
    qemu_start(p->vm);
    disk = rig_wait_disk(p->rig, "web1", "d0");
    qdev = property_string(p->recorder, disk, DISK_INTERFACE, "Device");

    daemon_signal(p->rig->daemon, SIGSTOP);
    qmp_client_do(qemu_monitor(p->vm), "device_del", "{'id': '%s'}", qdev);
    json_object_put(qmp_client_wait_event(qemu_monitor(p->vm), "DEVICE_DELETED"));
    qmp_client_do(qemu_monitor(p->vm), "device_add",
                  "{'driver': 'scsi-hd', 'drive': 'new', 'id': 'd0'}");
    qemu_signal(p->vm, SIGSTOP);
    call = recorder_send(p->recorder, disk, DISK_INTERFACE, "Commit", "b", 1);
    daemon_signal(p->rig->daemon, SIGCONT);
    recorder_settle(p->recorder);
    qemu_signal(p->vm, SIGCONT);

    g_assert_cmpint(recorder_at(p->recorder, recorder_await(p->recorder, call))->kind, ==,
                    RECORD_REPLY);
    recorder_wait(p->recorder, from, (Sought){.path = disk, .member = "JobReady"});
    property_check_string(p->recorder, disk, DISK_INTERFACE, "Node", "new");
}

/* The drive of a disk goes while its job is ready: the job ends, once, and then the disk goes. */
static void test_unplug_when_ready(void)
{
    g_autoptr(Plain) p = plain_new(QEMU_SYSTEM);
    const unsigned from = recorder_mark(p->recorder);
    const Sought finished = {.member = "JobFinished"};
    g_autofree char *disk = NULL;
    const char *result, *skip;

    qemu_option(p->vm, "-device", "virtio-scsi-pci");
    qemu_option(p->vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", p->chain[1]);
    qemu_option(p->vm, "-device", "scsi-hd,drive=d0,id=sda");
    qemu_start(p->vm);
    disk = rig_wait_disk(p->rig, "web1", "sda");
    recorder_call(p->recorder, disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(p->recorder, from, (Sought){.path = disk, .member = "JobReady"});
    qmp_client_do(qemu_monitor(p->vm), "device_del", "{'id': 'sda'}");
    rig_wait_gone(p->rig, disk, DISK_INTERFACE);
    g_assert_cmpuint(recorder_count(p->recorder, from, finished), ==, 1);
    recorder_read(p->recorder, (unsigned)recorder_find(p->recorder, from, finished), "sss", &skip,
                  &skip, &result);
    g_assert_cmpstr(result, ==, "kept");
    check_merged(p);
}

#define DAEMON_NODES                                                                               \
    "--blockdev", "qcow2,node-name=node0,read-only=on,file.driver=file,file.filename=%0",          \
        "--blockdev", "qcow2,node-name=node1,backing=node0,file.driver=file,file.filename=%1"

static const Start daemon_starts[] = {
    {"/disks/storage-daemon/node-without-export", "node1", {DAEMON_NODES}},
    {"/disks/storage-daemon/export",
     "node1",
     {DAEMON_NODES, "--export", "nbd,id=e0,node-name=node1,name=disk,writable=on"}},
};

static void test_storage_daemon(gconstpointer data)
{
    const Start *start = data;
    g_autoptr(Plain) p = plain_new(QEMU_STORAGE_DAEMON);
    g_autofree char *vm = NULL, *disk = NULL;
    const char *const names[] = {start->disk, NULL};

    qemu_option(p->vm, "--nbd-server", "addr.type=unix,addr.path=%s/nbd", p->rig->dir);
    for (unsigned i = 0; start->options[i]; i++)
        g_ptr_array_add(qemu_arguments(p->vm), fill_in(p, start->options[i]));
    qemu_start(p->vm);
    vm = name_by_pid(p);
    disk = rig_wait_disk(p->rig, vm, start->disk);
    check_names(p, vm, names);
    commit_and_pivot(p, disk);
    check_names(p, vm, names);
    check_merged(p);
}

/* Two exports of one node are one disk, and both follow the pivot. */
static void test_two_exports(void)
{
    g_autoptr(Plain) p = plain_new(QEMU_STORAGE_DAEMON);
    g_autofree char *vm = NULL, *disk = NULL;
    static const char *const names[] = {"node1", NULL};
    json_object *exports;

    qemu_option(p->vm, "--nbd-server", "addr.type=unix,addr.path=%s/nbd", p->rig->dir);
    for (unsigned i = 0; i < 4; i++)
        g_ptr_array_add(qemu_arguments(p->vm), fill_in(p, daemon_starts[0].options[i]));
    qemu_option(p->vm, "--export", "nbd,id=e0,node-name=node1,name=a,writable=on");
    qemu_option(p->vm, "--export", "nbd,id=e1,node-name=node1,name=b,writable=on");
    qemu_start(p->vm);
    vm = name_by_pid(p);
    disk = rig_wait_disk(p->rig, vm, "node1");
    check_names(p, vm, names);
    commit_and_pivot(p, disk);
    exports = qmp_client_command(qemu_monitor(p->vm), "query-block-exports", NULL);
    for (size_t i = 0; i < 2; i++)
        g_assert_cmpstr(qmp_text(json_object_array_get_idx(exports, i), "node-name"), ==, "node0");
    json_object_put(exports);
    check_merged(p);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(starts); i++)
        g_test_add_data_func(starts[i].path, &starts[i], test_start);
    for (unsigned i = 0; i < G_N_ELEMENTS(daemon_starts); i++)
        g_test_add_data_func(daemon_starts[i].path, &daemon_starts[i], test_storage_daemon);
    g_test_add_func("/disks/storage-daemon/two-exports-of-one-node", test_two_exports);
    g_test_add_func("/disks/several-of-all-kinds", test_several);
    g_test_add_func("/disks/same-names-in-other-directories", test_same_names);
    g_test_add_func("/disks/hot-plug-and-unplug", test_hot_plug);
    g_test_add_func("/disks/exchanged-while-asked", test_exchanged);
    g_test_add_func("/disks/unplugged-when-ready-is-kept", test_unplug_when_ready);
    return g_test_run();
}
