/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The world of one test.
 */
#include "rig.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "process.h"
#include "properties.h"

#define OBJECT_MANAGER "org.freedesktop.DBus.ObjectManager"
/* What the images of one test may need. */
#define SCRATCH_BYTES_MIN (UINT64_C(2) << 30)

/* In memory where there is room: a guest that flushes each write is several times as fast there. */
static char *make_scratch(void)
{
    struct statvfs fs;
    const bool memory = statvfs("/dev/shm", &fs) == 0 &&
                        (uint64_t)fs.f_bavail * fs.f_frsize >= SCRATCH_BYTES_MIN &&
                        access("/dev/shm", W_OK) == 0;
    char *template =
        g_build_filename(memory ? "/dev/shm" : g_get_tmp_dir(), "vmdisk-test-XXXXXX", NULL);

    g_assert_nonnull(g_mkdtemp(template));
    return template;
}

Rig *rig_new_without_daemon(void)
{
    /* The policy lets root and the service's own user be the service; here it is us. */
    g_autofree char *policy = g_strdup_printf(
        "<policy user='%u'><allow own='" SERVICE_NAME "'/></policy>", (unsigned)geteuid());
    Rig *rig = g_new0(Rig, 1);

    rig->dir = make_scratch();
    rig->bus = test_bus_start(policy);
    rig->daemon = daemon_new(rig->dir, test_bus_address(rig->bus));
    rig->recorder = recorder_new(test_bus_address(rig->bus));
    return rig;
}

Rig *rig_new(void)
{
    Rig *rig = rig_new_without_daemon();

    daemon_start(rig->daemon);
    rig_wait_daemon(rig);
    return rig;
}

void rig_free(Rig *rig)
{
    if (!rig)
        return;
    if (daemon_is_running(rig->daemon))
        daemon_stop(rig->daemon);
    recorder_free(rig->recorder);
    daemon_free(rig->daemon);
    test_bus_free(rig->bus);
    g_free(process_run("rm", "-rf", "--", rig->dir, NULL));
    g_free(rig->dir);
    g_free(rig);
}

void rig_wait_daemon(Rig *rig)
{
    recorder_wait_owner(rig->recorder, true);
}

Qemu *rig_qemu(Rig *rig, QemuKind kind, const char *name)
{
    return qemu_new(kind, daemon_socket(rig->daemon), name);
}

char *rig_vm_path(const char *vm)
{
    char *path = NULL;

    g_assert_cmpint(sd_bus_path_encode_many(&path, SERVICE_PATH "/vm/%", vm), >=, 0);
    return path;
}

char *rig_disk_path(const char *vm, const char *disk)
{
    char *path = NULL;

    g_assert_cmpint(sd_bus_path_encode_many(&path, SERVICE_PATH "/vm/%/%", vm, disk), >=, 0);
    return path;
}

static void wait_object(Rig *rig, const char *path, const char *interface)
{
    const unsigned from = recorder_mark(rig->recorder);

    if (!property_exists(rig->recorder, path, interface))
        recorder_wait(rig->recorder, from,
                      (Sought){.member = "InterfacesAdded", .object = path, .part = interface});
}

char *rig_wait_vm(Rig *rig, const char *vm)
{
    char *path = rig_vm_path(vm);

    wait_object(rig, path, VM_INTERFACE);
    return path;
}

char *rig_wait_disk(Rig *rig, const char *vm, const char *disk)
{
    char *path = rig_disk_path(vm, disk);

    wait_object(rig, path, DISK_INTERFACE);
    return path;
}

void rig_wait_gone(Rig *rig, const char *path, const char *interface)
{
    const unsigned from = recorder_mark(rig->recorder);

    if (property_exists(rig->recorder, path, interface))
        recorder_wait(rig->recorder, from,
                      (Sought){.member = "InterfacesRemoved", .object = path, .part = interface});
}

static bool has_interface(sd_bus_message *m, const char *interface)
{
    bool found = false;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sa{sv}}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "sa{sv}") > 0) {
        const char *name;

        g_assert_cmpint(sd_bus_message_read(m, "s", &name), >=, 0);
        found = found || strcmp(name, interface) == 0;
        g_assert_cmpint(sd_bus_message_skip(m, "a{sv}"), >=, 0);
        sd_bus_message_exit_container(m);
    }
    sd_bus_message_exit_container(m);
    return found;
}

static gint compare_strings(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char **rig_objects(Rig *rig, const char *interface)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new();
    const unsigned reply =
        recorder_call(rig->recorder, SERVICE_PATH, OBJECT_MANAGER, "GetManagedObjects", NULL);
    sd_bus_message *m = recorder_at(rig->recorder, reply)->message;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{oa{sa{sv}}}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "oa{sa{sv}}") > 0) {
        const char *path;

        g_assert_cmpint(sd_bus_message_read(m, "o", &path), >=, 0);
        if (has_interface(m, interface))
            g_ptr_array_add(paths, g_strdup(path));
        sd_bus_message_exit_container(m);
    }
    g_ptr_array_sort(paths, compare_strings);
    g_ptr_array_add(paths, NULL);
    return (char **)g_ptr_array_free(g_steal_pointer(&paths), FALSE);
}
