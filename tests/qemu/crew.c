/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "crew.h"

#include <string.h>

#include "image.h"
#include "properties.h"
#include "wait.h"

#define SIZE (16 * IMAGE_MIB)

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

static void add_nodes(Crew *c, unsigned i, Oddity oddity)
{
    g_autofree char *backing = g_strdup_printf(",backing=base.%u", i);
    const bool alone = oddity == ODDITY_ALONE, read_only = oddity == ODDITY_READ_ONLY;

    if (!alone)
        qemu_option(c->vm, "-blockdev", "driver=qcow2,node-name=base.%u,read-only=on,%s=%s", i,
                    base_options(oddity), c->base[i]);
    qemu_option(c->vm, "-blockdev",
                "driver=qcow2,node-name=top.%u,read-only=%s,file.driver=file,file.filename=%s%s", i,
                read_only ? "on" : "off", c->top[i], alone ? "" : backing);
}

static void add_disk(Crew *c, unsigned i, Oddity oddity)
{
    g_autofree char *base = g_strdup_printf("base.%u", i), *top = g_strdup_printf("top.%u", i);
    g_autofree char *thread = g_strdup_printf(",iothread=thread%u", i);

    c->base[i] = image_create(c->rig->dir, base, "qcow2", SIZE);
    c->top[i] = oddity == ODDITY_ALONE ? image_create(c->rig->dir, top, "qcow2", SIZE)
                                       : image_overlay(c->rig->dir, top, c->base[i], "qcow2", SIZE);
    if (oddity == ODDITY_SLOW || oddity == ODDITY_FULL)
        image_fill(c->top[i], "qcow2", 0xa5, 8 * IMAGE_MIB, IMAGE_MIB);
    if (c->options.iothreads)
        qemu_option(c->vm, "-object", "iothread,id=thread%u", i);
    if (c->options.drive)
        qemu_option(c->vm, "-drive", "if=none,id=top.%u,cache=writethrough,format=qcow2,file=%s", i,
                    c->top[i]);
    else
        add_nodes(c, i, oddity);
    qemu_option(c->vm, "-device",
                "virtio-blk-pci,drive=top.%u,id=vd%c,bootindex=%u,write-cache=off%s", i, 'a' + i,
                i + 1, c->options.iothreads ? thread : "");
    c->disk[i] = g_strdup_printf(SERVICE_PATH "/vm/web1/vd%c", 'a' + i);
}

Crew *crew_new(const CrewOptions *options)
{
    Crew *c = g_new0(Crew, 1);
    const bool extra = options->oddity == ODDITY_READ_ONLY;

    c->options = *options;
    c->options.slots = options->slots > 0 ? options->slots : 256;
    c->rig = rig_new();
    c->recorder = c->rig->recorder;
    c->disks = options->disks;
    c->path = rig_vm_path("web1");
    c->vm = rig_qemu(c->rig, QEMU_SYSTEM, "web1");
    qemu_option(c->vm, "-object", "throttle-group,id=slow,x-bps-write=%u",
                options->slow_speed > 0 ? options->slow_speed : 65536);
    for (unsigned i = 0; i < c->disks; i++)
        add_disk(c, i, i == c->disks - 1 ? options->oddity : ODDITY_NONE);
    c->guest = guest_new(c->rig->dir, "web1",
                         &(GuestOptions){.disks = c->disks - extra,
                                         .slots = c->options.slots,
                                         .shift = options->shift});
    guest_add_arguments(c->guest, qemu_arguments(c->vm));
    qemu_start(c->vm);
    for (unsigned i = 0; i < c->disks; i++) {
        char id[] = {'v', 'd', (char)('a' + i), '\0'};

        g_free(rig_wait_disk(c->rig, "web1", id));
    }
    crew_fill_slots(c);
    return c;
}

void crew_fill_slots(Crew *c)
{
    guest_wait_more(c->guest, 0, c->options.slots + 1);
}

void crew_free(Crew *c)
{
    if (!c)
        return;
    qemu_free(c->vm);
    guest_free(c->guest);
    rig_free(c->rig);
    for (unsigned i = 0; i < c->disks; i++) {
        g_free(c->base[i]);
        g_free(c->top[i]);
        g_free(c->disk[i]);
    }
    g_free(c->path);
    g_free(c);
}
void crew_call(Crew *c, const char *member)
{
    recorder_call(c->recorder, c->path, VM_INTERFACE, member, NULL);
}

unsigned crew_commit(Crew *c)
{
    const unsigned from = recorder_mark(c->recorder);

    recorder_call(c->recorder, c->path, VM_INTERFACE, "Commit", "b", 1);
    return from;
}

void crew_wait_ready(Crew *c, unsigned from)
{
    recorder_wait(c->recorder, from, (Sought){.path = c->path, .member = "JobsReady"});
}

unsigned crew_commit_until_ready(Crew *c)
{
    const unsigned from = crew_commit(c);

    crew_wait_ready(c, from);
    property_check_string(c->recorder, c->path, VM_INTERFACE, "JobsState", "ready");
    return from;
}

void crew_check_finished(Crew *c, unsigned from, const char *const *results)
{
    const Sought finished = {.path = c->path, .member = "JobsFinished"};
    sd_bus_message *m =
        recorder_at(c->recorder, recorder_wait(c->recorder, from, finished))->message;
    const char *path, *result, *message;
    unsigned n = 0, expected = 0;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "(oss)"), >=, 0);
    while (sd_bus_message_read(m, "(oss)", &path, &result, &message) > 0) {
        n++;
        for (unsigned i = 0; i < c->disks; i++)
            if (strcmp(c->disk[i], path) == 0 && strcmp(results[i], result) != 0)
                g_error("%s is %s, not %s: %s", path, result, results[i], message);
    }
    for (unsigned i = 0; i < c->disks; i++) {
        const Sought alone = {.path = c->disk[i], .member = "JobFinished"};

        expected += *results[i] != '\0';
        g_assert_cmpuint(recorder_count(c->recorder, from, alone), ==, *results[i] != '\0');
    }
    g_assert_cmpuint(n, ==, expected);
    recorder_settle(c->recorder);
    g_assert_cmpuint(recorder_count(c->recorder, from, finished), ==, 1);
    property_check_string(c->recorder, c->path, VM_INTERFACE, "JobsState", "none");
    qemu_wait_no_jobs(c->vm);
}

void crew_check_all_finished(Crew *c, unsigned from, const char *result)
{
    const char *results[CREW_DISKS_MAX];

    for (unsigned i = 0; i < c->disks; i++)
        results[i] = result;
    crew_check_finished(c, from, results);
}

void crew_check_one_instant(Crew *c, char *const *files)
{
    const uint32_t first = guest_check_image(c->guest, 0, files[0], "qcow2");

    for (unsigned i = 1; i < c->disks; i++) {
        const uint32_t other = guest_check_image(c->guest, i, files[i], "qcow2");

        if (other != first && other + 1 != first)
            g_error("%s holds write %u, %s write %u", files[0], first, files[i], other);
    }
}

void crew_check_nothing_lost(Crew *c, char *const *files, unsigned disks)
{
    guest_wait_more(c->guest, 0, 50);
    qemu_kill(c->vm);
    for (unsigned i = 0; i < disks; i++)
        guest_check_nothing_lost(c->guest, i, files[i], "qcow2");
}
