/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "world.h"

#include <string.h>

#include "image.h"
#include "process.h"
#include "properties.h"
#include "wait.h"

#define SIZE (32 * IMAGE_MIB)
/* Each slot has a cluster of its own: what a commit must not lose is metadata as well. */
#define GUEST_OPTIONS(disks_)                                                                      \
    {                                                                                              \
        .disks = (disks_), .slots = 64, .shift = 7, .read_back = true                              \
    }
/* Each slot has been written before the state is taken. */
#define WRITES_BEFORE 80

const char *world_disk_name(unsigned disk)
{
    return disk == 0 ? "vda" : "vdb";
}

static char *image_name(const char *dir, unsigned disk, unsigned index)
{
    return g_strdup_printf("%s/image.%u.%u", dir, disk, index);
}

static void add_disk(Qemu *vm, unsigned disk, const char *file)
{
    qemu_option(vm, "-drive", "if=none,id=d%u,cache=writethrough,format=qcow2,file=%s", disk, file);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=d%u,id=%s,bootindex=%u", disk,
                world_disk_name(disk), disk + 1);
}

/* The same for every life of the VM: its state is moved from one to the next. */
static void add_guest(Qemu *vm, const char *dir, char *const *tops, unsigned disks)
{
    for (unsigned i = 0; i < disks; i++)
        add_disk(vm, i, tops[i]);
    qemu_option(vm, "-drive", "file=%s/guest.boot,format=raw,if=none,id=boot", dir);
    qemu_option(vm, "-device", "ide-hd,drive=boot,bus=ide.0,bootindex=0");
    qemu_option(vm, "-chardev", "file,id=serial,path=%s/guest.serial,append=on", dir);
    qemu_option(vm, "-serial", "chardev:serial");
}

static bool is_moved(gpointer data)
{
    json_object *answer = qmp_client_command(data, "query-migrate", NULL), *status;
    const bool moved = json_object_object_get_ex(answer, "status", &status) &&
                       strcmp(json_object_get_string(status), "completed") == 0;

    json_object_put(answer);
    return moved;
}

static void save_state(const Template *t, Qemu *vm)
{
    qmp_client_do(qemu_monitor(vm), "migrate", "{'uri': 'exec:cat > %s/state.vm'}", t->dir);
    wait_until("the state of the VM is saved", is_moved, qemu_monitor(vm));
    qemu_quit(vm);
}

/* Backing files are named without a directory: the chain is copied as a whole. Its top. */
static char *make_chain(const Template *t, unsigned disk)
{
    for (unsigned i = 0; i < t->depth; i++) {
        g_autofree char *name = g_strdup_printf("image.%u.%u", disk, i);
        g_autofree char *below = i > 0 ? g_strdup_printf("image.%u.%u", disk, i - 1) : NULL;

        g_free(below ? image_overlay(t->dir, name, below, "qcow2", SIZE)
                     : image_create(t->dir, name, "qcow2", SIZE));
    }
    return image_name(t->dir, disk, t->depth - 1);
}

Template *template_new(unsigned disks, unsigned depth)
{
    g_autoptr(Qemu) vm = qemu_new(QEMU_SYSTEM, /* socket= */ NULL, WORLD_VM);
    g_autoptr(Guest) guest = NULL;
    Template *t = g_new0(Template, 1);
    char *tops[WORLD_DISKS_MAX] = {0};

    g_assert_cmpuint(disks, <=, WORLD_DISKS_MAX);
    t->disks = disks;
    t->depth = depth;
    t->dir = g_strdup("/dev/shm/vmdisk-fault-XXXXXX");
    g_assert_nonnull(g_mkdtemp(t->dir));
    for (unsigned i = 0; i < disks; i++)
        tops[i] = make_chain(t, i);
    guest = guest_new(t->dir, "guest", &(GuestOptions)GUEST_OPTIONS(disks));
    add_guest(vm, t->dir, tops, disks);
    qemu_start(vm);
    guest_wait(guest, disks - 1, WRITES_BEFORE);
    save_state(t, vm);
    for (unsigned i = 0; i < disks; i++)
        g_free(tops[i]);
    return t;
}

void template_free(Template *t)
{
    if (!t)
        return;
    g_free(process_run("rm", "-rf", "--", t->dir, NULL));
    g_free(t->dir);
    g_free(t);
}

static void copy_template(const World *w)
{
    g_autofree char *command =
        g_strdup_printf("cd %s && cp --sparse=auto -- image.* guest.serial state.vm %s/",
                        w->template->dir, w->rig->dir);

    g_free(process_run("sh", "-c", command, NULL));
}

static void start_vm(World *w)
{
    const char *dir = w->rig->dir;

    w->vm = rig_qemu(w->rig, QEMU_SYSTEM, WORLD_VM);
    add_guest(w->vm, dir, w->top, w->disks);
    qemu_option(w->vm, "-incoming", "exec:cat %s/state.vm", dir);
    qemu_start(w->vm);
}

World *world_new(const Template *t, const char *fault, const char *log, bool redial)
{
    World *w = g_new0(World, 1);

    w->template = t;
    w->rig = rig_new_without_daemon();
    w->recorder = w->rig->recorder;
    w->disks = t->disks;
    w->vm_path = rig_vm_path(WORLD_VM);
    for (unsigned i = 0; i < w->disks; i++) {
        w->top[i] = image_name(w->rig->dir, i, t->depth - 1);
        w->disk[i] = rig_disk_path(WORLD_VM, world_disk_name(i));
    }
    copy_template(w);
    w->guest = guest_new(w->rig->dir, "guest", &(GuestOptions)GUEST_OPTIONS(t->disks));

    daemon_set_environment(w->rig->daemon, "LD_PRELOAD", g_getenv("VMDISK_FAULT_PRELOAD"));
    daemon_set_environment(w->rig->daemon, "VMDISK_FAULT", fault);
    daemon_set_environment(w->rig->daemon, "VMDISK_FAULT_LOG", log);
    if (!redial)
        daemon_use_store(w->rig->daemon);
    daemon_start(w->rig->daemon);
    rig_wait_daemon(w->rig);
    start_vm(w);
    return w;
}

void world_free(World *w)
{
    if (!w)
        return;
    qemu_free(w->vm);
    guest_free(w->guest);
    rig_free(w->rig);
    for (unsigned i = 0; i < w->disks; i++) {
        g_free(w->top[i]);
        g_free(w->disk[i]);
    }
    g_free(w->vm_path);
    g_free(w);
}

void world_restart_daemon(World *w)
{
    daemon_set_environment(w->rig->daemon, "VMDISK_FAULT", NULL);
    daemon_set_environment(w->rig->daemon, "VMDISK_FAULT_LOG", NULL);
    daemon_start(w->rig->daemon);
}

typedef struct Image {
    const char *disk, *image, *state;
} Image;

/* One image of ListImages; m stands in the outer array. */
static bool read_image(sd_bus_message *m, Image *ret)
{
    const char *key;

    *ret = (Image){"", "", ""};
    if (sd_bus_message_enter_container(m, 'a', "{sv}") <= 0)
        return false;
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
        const char **field = strcmp(key, "disk") == 0    ? &ret->disk
                             : strcmp(key, "image") == 0 ? &ret->image
                             : strcmp(key, "state") == 0 ? &ret->state
                                                         : NULL;
        if (field)
            g_assert_cmpint(sd_bus_message_read(m, "v", "s", field), >, 0);
        else
            sd_bus_message_skip(m, "v");
        sd_bus_message_exit_container(m);
    }
    sd_bus_message_exit_container(m);
    return true;
}

/* Of all disks in one answer: the service may be at work. */
static void read_boot_images(World *w, char **ret)
{
    const unsigned reply =
        recorder_call(w->recorder, SERVICE_PATH, MANAGER_INTERFACE, "ListImages", NULL);
    sd_bus_message *m = recorder_at(w->recorder, reply)->message;
    bool any[WORLD_DISKS_MAX] = {false};
    Image image;

    memset(ret, 0, WORLD_DISKS_MAX * sizeof(char *));
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "a{sv}"), >=, 0);
    while (read_image(m, &image))
        for (unsigned i = 0; i < w->disks; i++) {
            if (strcmp(image.disk, world_disk_name(i)) != 0)
                continue;
            any[i] = true;
            if (strcmp(image.state, "active") != 0)
                continue;
            g_assert_null(ret[i]);
            ret[i] = g_strdup(image.image);
        }
    for (unsigned i = 0; i < w->disks; i++) {
        if (any[i] && !ret[i])
            g_error("Images are on record, but none to boot");
        if (!ret[i])
            ret[i] = g_strdup(w->top[i]);
    }
}

char *world_boot_image(World *w, unsigned disk)
{
    char *images[WORLD_DISKS_MAX];
    char *image;

    read_boot_images(w, images);
    image = g_steal_pointer(&images[disk]);
    for (unsigned i = 0; i < w->disks; i++)
        g_free(images[i]);
    return image;
}

void world_check_nothing_lost(World *w)
{
    char *images[WORLD_DISKS_MAX];
    unsigned from_top = 0;

    read_boot_images(w, images);
    for (unsigned i = 0; i < w->disks; i++) {
        from_top += strcmp(images[i], w->top[i]) == 0;
        guest_check_nothing_lost(w->guest, i, images[i], "qcow2");
        g_free(images[i]);
    }
    if (from_top != 0 && from_top != w->disks)
        g_error("Some disks are to be booted from their overlays, and some are not");
}

static void check_not_warned(World *w, unsigned i)
{
    g_autofree char *disk = rig_wait_disk(w->rig, WORLD_VM, world_disk_name(i));
    const unsigned reply = recorder_call(w->recorder, disk, "org.freedesktop.DBus.Properties",
                                         "Get", "ss", DISK_INTERFACE, "Warnings");
    sd_bus_message *m = recorder_at(w->recorder, reply)->message;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "as"), >=, 0);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "s"), >=, 0);
    if (sd_bus_message_at_end(m, /* complete= */ 0) == 0)
        g_error("A VM that is started from the images on record to be booted is warned of");
}

void world_check_boots(World *w)
{
    g_autoptr(Qemu) vm = rig_qemu(w->rig, QEMU_SYSTEM, WORLD_VM);

    for (unsigned i = 0; i < w->disks; i++) {
        g_autofree char *file = world_boot_image(w, i);

        add_disk(vm, i, file);
    }
    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    qemu_start(vm);
    for (unsigned i = 0; i < w->disks; i++)
        check_not_warned(w, i);
    qemu_kill(vm);
    rig_wait_gone(w->rig, w->disk[0], DISK_INTERFACE);
}
