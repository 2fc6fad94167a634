/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image record on a real QEMU: a VM that is started from the wrong image, a base that another
 * VM's overlay stands on, and names of every kind.
 */
#include <string.h>
#include <unistd.h>

#include "process.h"
#include "scene.h"

#define SIZE (8 * IMAGE_MIB)

/* A VM that is stopped (-S), with disk "vda". drive: options of -drive. */
static Qemu *start_drive(Rig *rig, const char *name, const char *drive)
{
    Qemu *vm = rig_qemu(rig, QEMU_SYSTEM, name);

    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    qemu_option(vm, "-object", "throttle-group,id=slow,x-bps-write=%d", 1 << 30);
    qemu_option(vm, "-drive", "if=none,id=d0,%s", drive);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=d0,id=vda");
    qemu_start(vm);
    g_free(rig_wait_disk(rig, name, "vda"));
    return vm;
}

static Qemu *start_vm(Rig *rig, const char *name, const char *file)
{
    g_autofree char *drive = g_strdup_printf("format=qcow2,file=%s", file);

    return start_drive(rig, name, drive);
}

static void end_vm(Rig *rig, Qemu *vm, const char *name)
{
    g_autofree char *path = rig_vm_path(name);

    qemu_quit(vm);
    qemu_free(vm);
    rig_wait_gone(rig, path, VM_INTERFACE);
}

/* Commit(true), JobReady, Pivot, JobFinished. */
static void merge(Rig *rig, const char *disk)
{
    const unsigned from = recorder_mark(rig->recorder);
    const char *job, *type, *result;
    unsigned end;

    recorder_call(rig->recorder, disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(rig->recorder, from, (Sought){.path = disk, .member = "JobReady"});
    recorder_call(rig->recorder, disk, DISK_INTERFACE, "Pivot", NULL);
    end = recorder_wait(rig->recorder, from, (Sought){.path = disk, .member = "JobFinished"});
    recorder_read(rig->recorder, end, "sss", &job, &type, &result);
    g_assert_cmpstr(result, ==, "completed");
}

/* A VM "web1" has merged the overlay into the base, and was stopped. */
static void merge_and_stop(Rig *rig, const char *overlay)
{
    g_autofree char *disk = rig_disk_path("web1", "vda");
    Qemu *vm = start_vm(rig, "web1", overlay);

    merge(rig, disk);
    end_vm(rig, vm, "web1");
}

static unsigned count_warnings(Rig *rig, const char *disk)
{
    const unsigned reply = recorder_call(rig->recorder, disk, "org.freedesktop.DBus.Properties",
                                         "Get", "ss", DISK_INTERFACE, "Warnings");
    sd_bus_message *m = recorder_at(rig->recorder, reply)->message;
    const char *warning;
    unsigned n = 0;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "as"), >=, 0);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "s"), >=, 0);
    while (sd_bus_message_read(m, "s", &warning) > 0) {
        g_test_message("%s", warning);
        n++;
    }
    return n;
}

/* State on record of that image, NULL for none. The caller frees it. */
static char *recorded_state(Rig *rig, const char *image)
{
    const unsigned reply =
        recorder_call(rig->recorder, SERVICE_PATH, MANAGER_INTERFACE, "ListImages", NULL);
    sd_bus_message *m = recorder_at(rig->recorder, reply)->message;
    const char *key, *value;
    char *found = NULL;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "a{sv}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'a', "{sv}") > 0) {
        const char *file = "", *state = "";

        while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
            g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
            if (sd_bus_message_verify_type(m, 'v', "s") > 0) {
                g_assert_cmpint(sd_bus_message_read(m, "v", "s", &value), >, 0);
                file = strcmp(key, "image") == 0 ? value : file;
                state = strcmp(key, "state") == 0 ? value : state;
            } else {
                sd_bus_message_skip(m, "v");
            }
            sd_bus_message_exit_container(m);
        }
        sd_bus_message_exit_container(m);
        if (strcmp(file, image) == 0) {
            g_assert_null(found);
            found = g_strdup(state);
        }
    }
    return found;
}

static void check_state(Rig *rig, const char *image, const char *expected)
{
    g_autofree char *state = recorded_state(rig, image);

    g_assert_cmpstr(state, ==, expected);
}

static char *hash_of(const char *file)
{
    g_autofree char *line = process_run("sha256sum", "--", file, NULL);

    return g_strndup(line, 64);
}

/* The VM is started again with its old command line. */
static void test_stale(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, SIZE);
    g_autofree char *disk = rig_disk_path("web1", "vda");
    g_autofree char *before[2] = {NULL}, *after[2] = {NULL};
    const char *text;

    image_fill(chain[1], "qcow2", 0x11, 0, IMAGE_MIB);
    merge_and_stop(rig, chain[1]);
    check_state(rig, chain[0], "active");
    check_state(rig, chain[1], "stale");
    for (unsigned i = 0; i < 2; i++)
        before[i] = hash_of(chain[i]);

    Qemu *vm = start_vm(rig, "web1", chain[1]);
    g_assert_cmpuint(count_warnings(rig, disk), ==, 1);
    text = recorder_refused(rig->recorder, SERVICE_ERROR("StaleImage"), disk, DISK_INTERFACE,
                            "Commit", "b", 1);
    g_assert_nonnull(strstr(text, chain[0]));
    check_state(rig, chain[0], "active");
    check_state(rig, chain[1], "stale");
    end_vm(rig, vm, "web1");
    for (unsigned i = 0; i < 2; i++) {
        after[i] = hash_of(chain[i]);
        g_assert_cmpstr(before[i], ==, after[i]);
        g_free(before[i]);
        g_free(after[i]);
        before[i] = after[i] = NULL;
    }

    vm = start_vm(rig, "web1", chain[0]);
    g_assert_cmpuint(count_warnings(rig, disk), ==, 0);
    end_vm(rig, vm, "web1");
}

/* Known again after a restart of the daemon while the VM runs on, and while it does not. */
static void test_stale_after_restart(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, SIZE);
    g_autofree char *disk = rig_disk_path("web1", "vda");

    merge_and_stop(rig, chain[1]);
    daemon_kill(rig->daemon);
    recorder_wait_owner(rig->recorder, false);
    daemon_start(rig->daemon);
    rig_wait_daemon(rig);
    Qemu *vm = start_vm(rig, "web1", chain[1]);
    g_assert_cmpuint(count_warnings(rig, disk), ==, 1);

    daemon_kill(rig->daemon);
    recorder_wait_owner(rig->recorder, false);
    daemon_start(rig->daemon);
    rig_wait_daemon(rig);
    g_free(rig_wait_disk(rig, "web1", "vda"));
    g_assert_cmpuint(count_warnings(rig, disk), ==, 1);
    end_vm(rig, vm, "web1");
}

/* An operator who knows better says so. */
static void test_forget(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, SIZE);
    g_autofree char *disk = rig_disk_path("web1", "vda");

    merge_and_stop(rig, chain[1]);
    recorder_call(rig->recorder, SERVICE_PATH, MANAGER_INTERFACE, "ForgetImage", "s", chain[1]);
    check_state(rig, chain[1], NULL);
    recorder_refused(rig->recorder, SERVICE_ERROR("NoSuchImage"), SERVICE_PATH, MANAGER_INTERFACE,
                     "ForgetImage", "s", chain[1]);
    Qemu *vm = start_vm(rig, "web1", chain[1]);
    g_assert_cmpuint(count_warnings(rig, disk), ==, 0);
    check_state(rig, chain[1], "active");
    merge(rig, disk);
    end_vm(rig, vm, "web1");
}

/* A directory in the place of the new file. */
static void test_forget_cannot_be_written(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, SIZE);
    const char *state = daemon_state(rig->daemon), *text;
    g_autofree char *script = g_strdup_printf("mkdir $(ls -d %s/*.ledger).new", state);

    merge_and_stop(rig, chain[1]);
    g_free(process_run("sh", "-c", script, NULL));
    text = recorder_refused(rig->recorder, "System.Error.EISDIR", SERVICE_PATH, MANAGER_INTERFACE,
                            "ForgetImage", "s", chain[1]);
    g_assert_nonnull(strstr(text, "state directory"));
    check_state(rig, chain[1], "stale");
}

/* Another overlay of the same base, whose VM does not run. */
static void test_base_in_use(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, SIZE);
    g_autofree char *other = image_overlay(rig->dir, "other", chain[0], "qcow2", 0);
    g_autofree char *disk = rig_disk_path("web2", "vda");
    g_autofree char *before = hash_of(chain[0]), *after = NULL;
    const char *text;

    Qemu *vm = start_vm(rig, "web1", chain[1]);
    end_vm(rig, vm, "web1");
    vm = start_vm(rig, "web2", other);
    text = recorder_refused(rig->recorder, SERVICE_ERROR("ImageInUse"), disk, DISK_INTERFACE,
                            "Commit", "b", 1);
    g_assert_nonnull(strstr(text, "'web1'"));
    g_assert_nonnull(strstr(text, "'vda'"));
    after = hash_of(chain[0]);
    g_assert_cmpstr(before, ==, after);

    recorder_call(rig->recorder, SERVICE_PATH, MANAGER_INTERFACE, "ForgetImage", "s", chain[1]);
    merge(rig, disk);
    end_vm(rig, vm, "web2");
}

static const char *const names[] = {"a b", "\303\266verlay", "100%\"quoted\"", "new\nline"};

static void test_names(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(Rig) rig = rig_new();
        g_autofree char *base = image_create(rig->dir, "base", "qcow2", SIZE);
        g_autofree char *overlay = image_overlay(rig->dir, names[i], base, "qcow2", 0);
        g_autofree char *disk = rig_disk_path("web1", "vda");

        merge_and_stop(rig, overlay);
        check_state(rig, overlay, "stale");
        Qemu *vm = start_vm(rig, "web1", overlay);
        g_assert_cmpuint(count_warnings(rig, disk), ==, 1);
        end_vm(rig, vm, "web1");
    }
}

/* The name means something to one VM only. */
static void test_relative_name(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autofree char *base = image_create(rig->dir, "base", "qcow2", SIZE);
    g_autofree char *overlay = image_overlay(rig->dir, "overlay", "base", "qcow2", SIZE);
    g_autofree char *own = g_get_current_dir();
    g_autofree char *one = rig_disk_path("web1", "vda"), *two = rig_disk_path("web2", "vda");

    g_assert_cmpint(chdir(rig->dir), ==, 0);
    merge_and_stop(rig, "overlay");
    check_state(rig, "overlay", "stale");
    check_state(rig, "base", "active");
    Qemu *vm = start_vm(rig, "web1", "overlay");
    g_assert_cmpuint(count_warnings(rig, one), ==, 1);
    end_vm(rig, vm, "web1");
    vm = start_vm(rig, "web2", "overlay");
    g_assert_cmpuint(count_warnings(rig, two), ==, 0);
    end_vm(rig, vm, "web2");
    g_assert_cmpint(chdir(own), ==, 0);
}

/* QEMU names an image that no file name can tell "json:{…}". */
static void test_json_name(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, SIZE);
    g_autofree char *disk = rig_disk_path("web1", "vda");
    g_autofree char *throttled =
        g_strdup_printf("driver=qcow2,file.driver=throttle,file.throttle-group=slow,"
                        "file.file.driver=file,file.file.filename=%s",
                        chain[1]);
    g_autofree char *named = NULL;

    Qemu *vm = start_drive(rig, "web1", throttled);
    named = property_chain_string(rig->recorder, disk, 0, "file");
    g_assert_true(g_str_has_prefix(named, "json:"));
    check_state(rig, chain[1], "active");
    merge(rig, disk);
    end_vm(rig, vm, "web1");
    check_state(rig, chain[1], "stale");
    vm = start_vm(rig, "web1", chain[1]);
    g_assert_cmpuint(count_warnings(rig, disk), ==, 1);
    end_vm(rig, vm, "web1");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/stale/nothing-is-written", test_stale);
    g_test_add_func("/ledger/stale/after-restart", test_stale_after_restart);
    g_test_add_func("/ledger/stale/forgotten", test_forget);
    g_test_add_func("/ledger/stale/forgotten-cannot-be-written", test_forget_cannot_be_written);
    g_test_add_func("/ledger/base-of-a-stopped-vm", test_base_in_use);
    g_test_add_func("/ledger/names/of-every-kind", test_names);
    g_test_add_func("/ledger/names/relative", test_relative_name);
    g_test_add_func("/ledger/names/json", test_json_name);
    return g_test_run();
}
