/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of one VM that are committed together, on a real QEMU, under a guest that writes the same
 * counter to all of them in lock step: whatever happens, the bases that the guest goes on with, or
 * that are kept, hold one and the same instant of it.
 */
#include <string.h>

#include "guest.h"
#include "image.h"
#include "properties.h"
#include "rig.h"
#include "wait.h"

#define DISKS_MAX 8
#define SIZE (16 * IMAGE_MIB)
#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

typedef enum Oddity {
    ODDITY_NONE,
    ODDITY_SLOW,      /* the base of the last disk takes 64 KiB/s until it is released */
    ODDITY_FULL,      /* the base of the last disk takes no writes */
    ODDITY_ALONE,     /* the last disk has no backing image */
    ODDITY_READ_ONLY, /* the last disk is one more, read-only */
} Oddity;

typedef struct World {
    Rig *rig;
    Recorder *recorder;
    Qemu *vm;
    Guest *guest;
    unsigned disks;
    char *path; /* of the VM */
    char *base[DISKS_MAX], *top[DISKS_MAX], *disk[DISKS_MAX];
} World;

static const char *base_options(Oddity oddity)
{
    switch (oddity) {
    case ODDITY_SLOW:
        return "file.driver=throttle,file.throttle-group=slow,file.file.driver=file,"
               "file.file.filename";
    case ODDITY_FULL:
        return "file.driver=blkdebug,file.inject-error.0.event=none,"
               "file.inject-error.0.iotype=write,file.inject-error.0.errno=28,"
               "file.image.driver=file,file.image.filename";
    case ODDITY_NONE:
    case ODDITY_ALONE:
    case ODDITY_READ_ONLY:
        return "file.driver=file,file.filename";
    }
    return NULL;
}

static void add_disk(World *w, unsigned i, Oddity oddity)
{
    g_autofree char *base = g_strdup_printf("base.%u", i), *top = g_strdup_printf("top.%u", i);
    g_autofree char *backing = g_strdup_printf(",backing=base%u", i);
    const bool alone = oddity == ODDITY_ALONE, read_only = oddity == ODDITY_READ_ONLY;

    w->base[i] = image_create(w->rig->dir, base, "qcow2", SIZE);
    w->top[i] = alone ? image_create(w->rig->dir, top, "qcow2", SIZE)
                      : image_overlay(w->rig->dir, top, w->base[i], "qcow2", SIZE);
    if (oddity == ODDITY_SLOW || oddity == ODDITY_FULL)
        image_fill(w->top[i], "qcow2", 0xa5, 8 * IMAGE_MIB, IMAGE_MIB);
    if (!alone)
        qemu_option(w->vm, "-blockdev", "driver=qcow2,node-name=base%u,read-only=on,%s=%s", i,
                    base_options(oddity), w->base[i]);
    qemu_option(w->vm, "-blockdev",
                "driver=qcow2,node-name=top%u,read-only=%s,file.driver=file,file.filename=%s%s", i,
                read_only ? "on" : "off", w->top[i], alone ? "" : backing);
    qemu_option(w->vm, "-device", "virtio-blk-pci,drive=top%u,id=vd%c,bootindex=%u,write-cache=off",
                i, 'a' + i, i + 1);
    w->disk[i] = g_strdup_printf(SERVICE_PATH "/vm/web1/vd%c", 'a' + i);
}

/* As many disks as the guest writes to; the oddity is of the last one. */
static World *world_new(unsigned disks, Oddity oddity)
{
    World *w = g_new0(World, 1);
    const bool extra = oddity == ODDITY_READ_ONLY;

    w->rig = rig_new();
    w->recorder = w->rig->recorder;
    w->disks = disks;
    w->path = rig_vm_path("web1");
    w->vm = rig_qemu(w->rig, QEMU_SYSTEM, "web1");
    qemu_option(w->vm, "-object", "throttle-group,id=slow,x-bps-write=65536");
    for (unsigned i = 0; i < disks; i++)
        add_disk(w, i, i == disks - 1 ? oddity : ODDITY_NONE);
    w->guest = guest_new(w->rig->dir, "web1", &(GuestOptions){.disks = disks - extra});
    guest_add_arguments(w->guest, qemu_arguments(w->vm));
    qemu_start(w->vm);
    for (unsigned i = 0; i < disks; i++) {
        char id[] = {'v', 'd', (char)('a' + i), '\0'};

        g_free(rig_wait_disk(w->rig, "web1", id));
    }
    /* Each slot is in the overlay: what a base gets later does not show through. */
    guest_wait(w->guest, 0, 300);
    return w;
}

static void world_free(World *w)
{
    if (!w)
        return;
    qemu_free(w->vm);
    guest_free(w->guest);
    rig_free(w->rig);
    for (unsigned i = 0; i < w->disks; i++) {
        g_free(w->base[i]);
        g_free(w->top[i]);
        g_free(w->disk[i]);
    }
    g_free(w->path);
    g_free(w);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

static void vm_call(World *w, const char *member)
{
    recorder_call(w->recorder, w->path, VM_INTERFACE, member, NULL);
}

static unsigned commit(World *w)
{
    const unsigned from = recorder_mark(w->recorder);

    recorder_call(w->recorder, w->path, VM_INTERFACE, "Commit", "b", 1);
    return from;
}

static void wait_ready(World *w, unsigned from)
{
    recorder_wait(w->recorder, from, (Sought){.path = w->path, .member = "JobsReady"});
}

static unsigned commit_until_ready(World *w)
{
    const unsigned from = commit(w);

    wait_ready(w, from);
    property_check_string(w->recorder, w->path, VM_INTERFACE, "JobsState", "ready");
    return from;
}

/* JobsFinished, once, with these results in the order of the disks; "" for one that is left out. */
static void check_finished(World *w, unsigned from, const char *const *results)
{
    const Sought finished = {.path = w->path, .member = "JobsFinished"};
    sd_bus_message *m =
        recorder_at(w->recorder, recorder_wait(w->recorder, from, finished))->message;
    const char *path, *result, *message;
    unsigned n = 0, expected = 0;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(oss)"), >=, 0);
    while (sd_bus_message_read(m, "(oss)", &path, &result, &message) > 0) {
        n++;
        for (unsigned i = 0; i < w->disks; i++)
            if (strcmp(w->disk[i], path) == 0 && strcmp(results[i], result) != 0)
                g_error("%s is %s, not %s: %s", path, result, results[i], message);
    }
    for (unsigned i = 0; i < w->disks; i++) {
        const Sought alone = {.path = w->disk[i], .member = "JobFinished"};

        expected += *results[i] != '\0';
        g_assert_cmpuint(recorder_count(w->recorder, from, alone), ==, *results[i] != '\0');
    }
    g_assert_cmpuint(n, ==, expected);
    recorder_settle(w->recorder);
    g_assert_cmpuint(recorder_count(w->recorder, from, finished), ==, 1);
    property_check_string(w->recorder, w->path, VM_INTERFACE, "JobsState", "none");
    qemu_wait_no_jobs(w->vm);
}

static void check_all_finished(World *w, unsigned from, const char *result)
{
    const char *results[DISKS_MAX];

    for (unsigned i = 0; i < w->disks; i++)
        results[i] = result;
    check_finished(w, from, results);
}

/* Disk 0 is written first: it is ahead of each other by one write at most. */
static void check_one_instant(World *w, char *const *files)
{
    const uint32_t first = guest_check_image(w->guest, 0, files[0], "qcow2");

    for (unsigned i = 1; i < w->disks; i++) {
        const uint32_t other = guest_check_image(w->guest, i, files[i], "qcow2");

        if (other != first && other + 1 != first)
            g_error("%s holds write %u, %s write %u", files[0], first, files[i], other);
    }
}

static void check_nothing_lost(World *w, char *const *files, unsigned disks)
{
    guest_wait_more(w->guest, 0, 50);
    qemu_kill(w->vm);
    for (unsigned i = 0; i < disks; i++)
        guest_check_nothing_lost(w->guest, i, files[i], "qcow2");
}

static void test_pivot(gconstpointer disks)
{
    g_autoptr(World) w = world_new(GPOINTER_TO_UINT(disks), ODDITY_NONE);
    const unsigned from = commit_until_ready(w);

    guest_wait_more(w->guest, 0, 10);
    vm_call(w, "Pivot");
    check_all_finished(w, from, "completed");
    for (unsigned i = 0; i < w->disks; i++)
        g_assert_cmpuint(property_u32(w->recorder, w->disk[i], DISK_INTERFACE, "ChainDepth"), ==,
                         1);
    /* What the overlays were left with is the instant of the handover. */
    check_one_instant(w, w->top);
    check_nothing_lost(w, w->base, w->disks);
}

/* Each round is an instant of its own. */
static void test_keep(gconstpointer disks)
{
    g_autoptr(World) w = world_new(GPOINTER_TO_UINT(disks), ODDITY_NONE);

    for (unsigned round = 0; round < 5; round++) {
        const unsigned from = commit_until_ready(w);

        guest_wait_more(w->guest, 0, 10);
        vm_call(w, "Abort");
        check_all_finished(w, from, "kept");
        check_one_instant(w, w->base);
    }
    check_nothing_lost(w, w->top, w->disks);
}

static void test_abort_running(void)
{
    g_autoptr(World) w = world_new(2, ODDITY_SLOW);
    const unsigned from = commit(w);
    const char *const results[] = {"kept", "cancelled"};

    recorder_wait(w->recorder, from, (Sought){.path = w->disk[0], .member = "JobReady"});
    property_check_string(w->recorder, w->path, VM_INTERFACE, "JobsState", "running");
    recorder_refused(w->recorder, SERVICE_ERROR("NotReady"), w->path, VM_INTERFACE, "Pivot", NULL);
    vm_call(w, "Abort");
    check_finished(w, from, results);
    check_nothing_lost(w, w->top, 2);
}

/* The ends of the one are the ends of all. */
static void test_member_is_not_ended_alone(void)
{
    g_autoptr(World) w = world_new(2, ODDITY_NONE);
    const unsigned from = commit_until_ready(w);
    const char *text = recorder_refused(w->recorder, SERVICE_ERROR("NotSupported"), w->disk[0],
                                        DISK_INTERFACE, "Pivot", NULL);

    g_assert_nonnull(strstr(text, "together"));
    recorder_refused(w->recorder, SERVICE_ERROR("NotSupported"), w->disk[1], DISK_INTERFACE,
                     "Abort", NULL);
    recorder_refused(w->recorder, SERVICE_ERROR("JobExists"), w->path, VM_INTERFACE, "Commit", "b",
                     1);
    vm_call(w, "Pivot");
    check_all_finished(w, from, "completed");
    recorder_refused(w->recorder, SERVICE_ERROR("NoJob"), w->path, VM_INTERFACE, "Pivot", NULL);
    recorder_refused(w->recorder, SERVICE_ERROR("NoJob"), w->path, VM_INTERFACE, "Abort", NULL);
}

static void test_one_fails(void)
{
    g_autoptr(World) w = world_new(3, ODDITY_FULL);
    const unsigned from = commit(w);
    const char *const results[] = {"kept", "kept", "failed"};

    check_finished(w, from, results);
    check_nothing_lost(w, w->top, 3);
}

/* At the barrier of one disk the other one is ended by somebody else. */
static void test_one_is_cancelled_when_ready(void)
{
    g_autoptr(World) w = world_new(2, ODDITY_NONE);
    const unsigned from = commit_until_ready(w);
    g_autofree char *id = property_string(w->recorder, w->disk[1], JOB_INTERFACE, "Id");
    const char *const results[] = {"kept", "cancelled"};

    qmp_client_do(qemu_monitor(w->vm), "job-cancel", "{'id': '%s'}", id);
    check_finished(w, from, results);
    check_nothing_lost(w, w->top, 2);
}

static void test_left_out(gconstpointer oddity)
{
    const bool alone = GPOINTER_TO_UINT(oddity) == ODDITY_ALONE;
    g_autoptr(World) w = world_new(3, (Oddity)GPOINTER_TO_UINT(oddity));
    const unsigned from = commit_until_ready(w);
    const char *const results[] = {"completed", "completed", ""};
    char *const files[] = {w->base[0], w->base[1], w->top[2]};

    vm_call(w, "Pivot");
    check_finished(w, from, results);
    check_nothing_lost(w, files, alone ? 3 : 2);
}

static void test_named_disks(void)
{
    g_autoptr(World) w = world_new(3, ODDITY_NONE);
    const unsigned from = recorder_mark(w->recorder);
    const char *const results[] = {"completed", "", "completed"};
    char *const files[] = {w->base[0], w->top[1], w->base[2]};

    recorder_call(w->recorder, w->path, VM_INTERFACE, "CommitWith", "a{sv}", 3, "active", "b", 1,
                  "disks", "as", 2, "vda", "vdc", "on-ready", "s", "pivot");
    check_finished(w, from, results);
    check_nothing_lost(w, files, 3);
}

static void test_refusals(void)
{
    g_autoptr(World) w = world_new(3, ODDITY_ALONE);
    unsigned from;

#define refused(error, ...)                                                                        \
    recorder_refused(w->recorder, error, w->path, VM_INTERFACE, "CommitWith", "a{sv}", __VA_ARGS__)
    refused(SERVICE_ERROR("NothingToCommit"), 1, "active", "b", 0);
    refused(SERVICE_ERROR("NothingToCommit"), 2, "active", "b", 1, "disks", "as", 2, "vda", "vdc");
    refused(SERVICE_ERROR("NoSuchDisk"), 2, "active", "b", 1, "disks", "as", 2, "vda", "vdz");
    refused(INVALID_ARGS, 2, "active", "b", 1, "disks", "as", 2, "vda", "vda");
    refused(INVALID_ARGS, 2, "active", "b", 1, "disks", "as", 0);
    refused(INVALID_ARGS, 1, "disks", "s", "vda");
    refused(INVALID_ARGS, 1, "top", "s", "1");
    recorder_refused(w->recorder, SERVICE_ERROR("NoJob"), w->path, VM_INTERFACE, "Pivot", NULL);
    g_assert_cmpuint(qemu_count_jobs(w->vm), ==, 0);

    /* One disk has a job of its own. */
    from = recorder_mark(w->recorder);
    recorder_call(w->recorder, w->disk[1], DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(w->recorder, from, (Sought){.path = w->disk[1], .member = "JobReady"});
    refused(SERVICE_ERROR("JobExists"), 1, "active", "b", 1);
    g_assert_cmpuint(qemu_count_jobs(w->vm), ==, 1);
    recorder_call(w->recorder, w->disk[1], DISK_INTERFACE, "Abort", NULL);
    recorder_wait(w->recorder, from, (Sought){.path = w->disk[1], .member = "JobFinished"});
#undef refused
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/group/two-disks-pivot", GUINT_TO_POINTER(2), test_pivot);
    g_test_add_data_func("/group/eight-disks-pivot", GUINT_TO_POINTER(8), test_pivot);
    g_test_add_data_func("/group/two-disks-keep", GUINT_TO_POINTER(2), test_keep);
    g_test_add_data_func("/group/eight-disks-keep", GUINT_TO_POINTER(8), test_keep);
    g_test_add_func("/group/abort-mixed", test_abort_running);
    g_test_add_func("/group/member-is-not-ended-alone", test_member_is_not_ended_alone);
    g_test_add_func("/group/one-fails", test_one_fails);
    g_test_add_func("/group/one-is-cancelled-when-ready", test_one_is_cancelled_when_ready);
    g_test_add_data_func("/group/disk-without-backing-is-left-out", GUINT_TO_POINTER(ODDITY_ALONE),
                         test_left_out);
    g_test_add_data_func("/group/read-only-disk-is-left-out", GUINT_TO_POINTER(ODDITY_READ_ONLY),
                         test_left_out);
    g_test_add_func("/group/named-disks", test_named_disks);
    g_test_add_func("/group/refusals", test_refusals);
    return g_test_run();
}
