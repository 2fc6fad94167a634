/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits under several writers at once, a guest and NBD clients: after a pivot and after a kept
 * overlay every image holds an instant of each writer, and no acknowledged write is lost.
 *
 * Clients come and go while a job is copying, ready and over, but not in the instant of the pivot
 * itself: QEMU (7.2 and 10.0, seen with block-commit and job-complete alone) drains the clients
 * that it has, not the one that is just connecting, and loses that one's first writes or fails its
 * own assertion on them. Nothing on this side of QMP can keep a client from connecting.
 */
#include <string.h>

#include "guest.h"
#include "image.h"
#include "nbd-writer.h"
#include "properties.h"
#include "rig.h"

#define SIZE (64 * IMAGE_MIB)
#define WRITERS 2
#define SLOTS 64

/* A disk with an NBD export under the given writers. */
typedef struct Export {
    Rig *rig;
    Recorder *recorder;
    Qemu *vm;
    char **chain;
    const char *base_format;
    char *socket, *disk;
    NbdWriter *writers[WRITERS];
} Export;

static const NbdWriterMode modes[WRITERS] = {NBD_WRITER_FUA, NBD_WRITER_FLUSH};

static void start_writers(Export *e)
{
    for (unsigned i = 0; i < WRITERS; i++)
        e->writers[i] =
            nbd_writer_start(e->socket, "disk", modes[i], 100 + i, (i + 1) * 8 * IMAGE_MIB, SLOTS);
    for (unsigned i = 0; i < WRITERS; i++)
        nbd_writer_wait_more(e->writers[i], 1);
}

static void add_export(Export *e)
{
    qmp_client_do(qemu_monitor(e->vm), "block-export-add",
                  "{'type': 'nbd', 'id': 'e0', 'node-name': 'node1', 'name': 'disk', "
                  "'writable': true}");
}

static Export *export_new(const char *base_format, bool with_export)
{
    Export *e = g_new0(Export, 1);
    g_autofree char *name = NULL;

    e->rig = rig_new();
    e->recorder = e->rig->recorder;
    e->base_format = base_format;
    e->chain = image_chain(e->rig->dir, "image", base_format, 2, SIZE);
    image_fill(e->chain[1], "qcow2", 0xee, 48 * IMAGE_MIB, 8 * IMAGE_MIB);
    e->socket = g_build_filename(e->rig->dir, "nbd", NULL);

    e->vm = rig_qemu(e->rig, QEMU_STORAGE_DAEMON, NULL);
    qemu_option(e->vm, "--nbd-server", "addr.type=unix,addr.path=%s,max-connections=0", e->socket);
    qemu_option(e->vm, "--blockdev",
                "driver=%s,node-name=node0,read-only=on,file.driver=file,file.filename=%s",
                base_format, e->chain[0]);
    qemu_option(e->vm, "--blockdev",
                "driver=qcow2,node-name=node1,backing=node0,file.driver=file,file.filename=%s",
                e->chain[1]);
    qemu_start(e->vm);
    if (with_export)
        add_export(e);

    name = g_strdup_printf("qemu-%d", qemu_pid(e->vm));
    e->disk = rig_wait_disk(e->rig, name, "node1");
    return e;
}

static void export_free(Export *e)
{
    for (unsigned i = 0; i < WRITERS; i++)
        nbd_writer_free(e->writers[i]);
    qemu_free(e->vm);
    rig_free(e->rig);
    g_strfreev(e->chain);
    g_free(e->socket);
    g_free(e->disk);
    g_free(e);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Export, export_free)

static unsigned commit_until_ready(Export *e)
{
    const unsigned from = recorder_mark(e->recorder);

    recorder_call(e->recorder, e->disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(e->recorder, from, (Sought){.path = e->disk, .member = "JobReady"});
    return from;
}

static void end(Export *e, unsigned from, const char *member, const char *expected)
{
    const Sought finished = {.path = e->disk, .member = "JobFinished"};
    const char *skip, *result;
    unsigned position;

    recorder_call(e->recorder, e->disk, DISK_INTERFACE, member, NULL);
    position = recorder_wait(e->recorder, from, finished);
    recorder_read(e->recorder, position, "sss", &skip, &skip, &result);
    g_assert_cmpstr(result, ==, expected);
    recorder_settle(e->recorder);
    g_assert_cmpuint(recorder_count(e->recorder, from, finished), ==, 1);
}

static void write_more(Export *e, uint32_t more)
{
    for (unsigned i = 0; i < WRITERS; i++)
        nbd_writer_wait_more(e->writers[i], more);
}

static void check_nothing_lost(Export *e, const char *file, const char *format)
{
    qemu_kill(e->vm);
    for (unsigned i = 0; i < WRITERS; i++) {
        nbd_writer_stop(e->writers[i], /* server_may_end= */ true);
        nbd_writer_check_nothing_lost(e->writers[i], file, format);
    }
    image_check_filled(file, format, 0xee, 48 * IMAGE_MIB, 8 * IMAGE_MIB);
}

static void test_pivot(gconstpointer base_format)
{
    g_autoptr(Export) e = export_new(base_format, /* with_export= */ true);
    unsigned from;

    start_writers(e);
    from = commit_until_ready(e);
    write_more(e, 20);
    end(e, from, "Pivot", "completed");
    write_more(e, 100);
    check_nothing_lost(e, e->chain[0], base_format);
}

static void test_keep(gconstpointer base_format)
{
    g_autoptr(Export) e = export_new(base_format, /* with_export= */ true);
    uint32_t before[WRITERS], after[WRITERS];

    start_writers(e);
    for (unsigned round = 0; round < 3; round++) {
        const unsigned from = commit_until_ready(e);

        for (unsigned i = 0; i < WRITERS; i++)
            before[i] = nbd_writer_wait_more(e->writers[i], 5);
        end(e, from, "Abort", "kept");
        for (unsigned i = 0; i < WRITERS; i++)
            after[i] = nbd_writer_acknowledged(e->writers[i]);
        write_more(e, 20);
        for (unsigned i = 0; i < WRITERS; i++) {
            const StampLayout layout = nbd_writer_layout(e->writers[i]);
            const uint32_t held = stamp_check_image(&layout, e->chain[0], base_format);

            g_assert_cmpuint(held, >=, before[i]);
            g_assert_cmpuint(held, <=, after[i] + 1);
        }
    }
    check_nothing_lost(e, e->chain[1], "qcow2");
}

/* Snapshot, commit, pivot, again and again, without a pause for anybody. */
static void test_rounds(void)
{
    g_autoptr(Export) e = export_new("qcow2", /* with_export= */ true);

    start_writers(e);
    for (unsigned round = 0; round < 5; round++) {
        if (round > 0) {
            g_autofree char *node = property_string(e->recorder, e->disk, DISK_INTERFACE, "Node");

            qmp_client_do(qemu_monitor(e->vm), "blockdev-snapshot-sync",
                          "{'node-name': '%s', 'snapshot-file': '%s/round.%u', "
                          "'snapshot-node-name': 'round%u'}",
                          node, e->rig->dir, round, round);
            write_more(e, 5);
        }
        end(e, commit_until_ready(e), "Pivot", "completed");
        write_more(e, 5);
    }
    check_nothing_lost(e, e->chain[0], "qcow2");
}

static NbdWriter *start_visitor(Export *e, uint32_t writer, uint64_t offset)
{
    NbdWriter *visitor =
        nbd_writer_start(e->socket, "disk", NBD_WRITER_CONNECT, writer, offset, SLOTS);

    nbd_writer_wait_more(visitor, 5);
    return visitor;
}

/* Clients that connect, write once and leave, all the time until the pivot and from then on. */
static void test_visitors(gconstpointer member)
{
    const bool pivots = strcmp(member, "Pivot") == 0;
    g_autoptr(Export) e = export_new("qcow2", /* with_export= */ true);
    g_autoptr(NbdWriter) early = start_visitor(e, 200, 32 * IMAGE_MIB);
    g_autoptr(NbdWriter) late = NULL;
    const char *file = e->chain[pivots ? 0 : 1];
    unsigned from;

    start_writers(e);
    from = commit_until_ready(e);
    nbd_writer_wait_more(early, 20);
    nbd_writer_stop(early, /* server_may_end= */ false);
    end(e, from, member, pivots ? "completed" : "kept");
    late = start_visitor(e, 201, 40 * IMAGE_MIB);
    nbd_writer_wait_more(late, 20);
    check_nothing_lost(e, file, "qcow2");
    nbd_writer_stop(late, /* server_may_end= */ true);
    nbd_writer_check_nothing_lost(early, file, "qcow2");
    nbd_writer_check_nothing_lost(late, file, "qcow2");
}

/* Somebody exports the disk while its job is ready, and clients come at once. */
static void test_export_added(gconstpointer member)
{
    const bool pivots = strcmp(member, "Pivot") == 0;
    g_autoptr(Export) e = export_new("qcow2", /* with_export= */ false);
    const unsigned from = commit_until_ready(e);

    add_export(e);
    start_writers(e);
    end(e, from, member, pivots ? "completed" : "kept");
    write_more(e, 50);
    check_nothing_lost(e, e->chain[pivots ? 0 : 1], "qcow2");
}

/* A guest and NBD clients on one disk of a VM. */
static void test_guest_and_clients(gconstpointer member)
{
    const bool pivots = strcmp(member, "Pivot") == 0;
    g_autoptr(Export) e = g_new0(Export, 1);
    g_autoptr(Guest) guest = NULL;
    unsigned from;

    e->rig = rig_new();
    e->recorder = e->rig->recorder;
    e->chain = image_chain(e->rig->dir, "image", "qcow2", 2, SIZE);
    image_fill(e->chain[1], "qcow2", 0xee, 48 * IMAGE_MIB, 8 * IMAGE_MIB);
    e->socket = g_build_filename(e->rig->dir, "nbd", NULL);
    e->vm = rig_qemu(e->rig, QEMU_SYSTEM, "web1");
    guest = guest_new(e->rig->dir, "web1", NULL);
    guest_add_arguments(guest, qemu_arguments(e->vm));
    qemu_option(e->vm, "-blockdev", "qcow2,node-name=node1,file.driver=file,file.filename=%s",
                e->chain[1]);
    qemu_option(e->vm, "-device",
                "virtio-blk-pci,drive=node1,id=vda,bootindex=1,write-cache=off,share-rw=on");
    qemu_start(e->vm);
    e->disk = rig_wait_disk(e->rig, "web1", "vda");
    qmp_client_do(qemu_monitor(e->vm), "nbd-server-start",
                  "{'addr': {'type': 'unix', 'data': {'path': '%s'}}, 'max-connections': 0}",
                  e->socket);
    add_export(e);
    start_writers(e);
    guest_wait(guest, 0, 1);

    from = commit_until_ready(e);
    guest_wait_more(guest, 0, 10);
    end(e, from, member, pivots ? "completed" : "kept");
    guest_wait_more(guest, 0, 100);
    check_nothing_lost(e, e->chain[pivots ? 0 : 1], "qcow2");
    guest_check_nothing_lost(guest, 0, e->chain[pivots ? 0 : 1], "qcow2");
}

/* Two disks of one VM, with one guest that writes to both in turn; one is pivoted, one is kept. */
static void test_two_disks(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");
    g_autoptr(Guest) guest =
        guest_new(rig->dir, "web1", &(GuestOptions){.disks = 2, .read_back = true});
    g_auto(GStrv) a = image_chain(rig->dir, "a", "raw", 2, SIZE);
    g_auto(GStrv) b = image_chain(rig->dir, "b", "qcow2", 2, SIZE);
    Export disks[] = {{.rig = rig, .recorder = rig->recorder, .vm = vm, .chain = a},
                      {.rig = rig, .recorder = rig->recorder, .vm = vm, .chain = b}};
    unsigned from[2];

    guest_add_arguments(guest, qemu_arguments(vm));
    for (unsigned i = 0; i < 2; i++) {
        qemu_option(vm, "-drive", "if=none,id=d%u,cache=writethrough,format=qcow2,file=%s", i,
                    disks[i].chain[1]);
        qemu_option(vm, "-device", "virtio-blk-pci,drive=d%u,id=vd%c,bootindex=%u,iothread=t%u", i,
                    'a' + i, i + 1, i);
        qemu_option(vm, "-object", "iothread,id=t%u", i);
    }
    qemu_start(vm);
    disks[0].disk = rig_wait_disk(rig, "web1", "vda");
    disks[1].disk = rig_wait_disk(rig, "web1", "vdb");
    guest_wait(guest, 1, 1);
    for (unsigned i = 0; i < 2; i++)
        from[i] = commit_until_ready(&disks[i]);
    guest_wait_more(guest, 1, 10);
    end(&disks[0], from[0], "Pivot", "completed");
    guest_wait_more(guest, 1, 10);
    end(&disks[1], from[1], "Abort", "kept");
    guest_wait_more(guest, 1, 10);
    qemu_kill(vm);
    guest_check_nothing_lost(guest, 0, a[0], "raw");
    guest_check_nothing_lost(guest, 1, b[1], "qcow2");
    g_free(disks[0].disk);
    g_free(disks[1].disk);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/writers/nbd/pivot-on-qcow2", "qcow2", test_pivot);
    g_test_add_data_func("/writers/nbd/pivot-on-raw", "raw", test_pivot);
    g_test_add_data_func("/writers/nbd/keep-on-qcow2", "qcow2", test_keep);
    g_test_add_data_func("/writers/nbd/keep-on-raw", "raw", test_keep);
    g_test_add_data_func("/writers/nbd/clients-come-and-go-around-pivot", "Pivot", test_visitors);
    g_test_add_data_func("/writers/nbd/clients-come-and-go-around-abort", "Abort", test_visitors);
    g_test_add_func("/writers/nbd/rounds-of-snapshot-and-pivot", test_rounds);
    g_test_add_data_func("/writers/nbd/export-added-when-ready-pivot", "Pivot", test_export_added);
    g_test_add_data_func("/writers/nbd/export-added-when-ready-abort", "Abort", test_export_added);
    g_test_add_data_func("/writers/guest-and-nbd-clients-pivot", "Pivot", test_guest_and_clients);
    g_test_add_data_func("/writers/guest-and-nbd-clients-abort", "Abort", test_guest_and_clients);
    g_test_add_func("/writers/two-disks-two-iothreads", test_two_disks);
    return g_test_run();
}
