/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks found in graphs by hand: names, keys, what is a disk and what is not. What real QEMUs show
 * is in the peer tests.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "drive.h"
#include "graph-maker.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Drives, drives_free)

static Drives *find_drives(const char *graph)
{
    g_autoptr(Graph) g = make_graph(graph);
    Drives *drives = NULL;

    g_assert_cmpint(drives_new_from_graph(g, &drives), ==, 0);
    return drives;
}

/* Names and root nodes, in order: "vda=top sda=". */
static void check_drives(const char *graph, const char *expected)
{
    g_autoptr(Drives) drives = find_drives(graph);
    g_autoptr(GString) text = g_string_new("");

    for (size_t i = 0; i < drives->n; i++)
        g_string_append_printf(text, "%s%s=%s", i ? " " : "", drives->drives[i].name,
                               drives->drives[i].root);
    g_assert_cmpstr(text->str, ==, expected);
}

static void check_keys(const Drive *d, const char *expected)
{
    g_autoptr(GString) text = g_string_new("");

    for (size_t i = 0; i < d->n_keys; i++)
        g_string_append_printf(text, "%s%s", i ? " " : "", d->keys[i]);
    g_assert_cmpstr(text->str, ==, expected);
}

static void test_nothing(void)
{
    check_drives("", "");
}

static void test_name_of_device(void)
{
    check_drives("node top qcow2\n"
                 "device - /machine/peripheral/vda/virtio-backend top\n",
                 "vda=top");
    check_drives("node top qcow2\n"
                 "device d0 /machine/peripheral/vda/virtio-backend top\n",
                 "vda=top");
    /* scsi-hd and ide-hd: the id alone. */
    check_drives("node top qcow2\ndevice d0 sda top\n", "sda=top");
    check_drives("node top qcow2\ndevice d0 /machine/peripheral/vda top\n", "vda=top");
}

static void test_name_of_drive(void)
{
    check_drives("node top qcow2\n"
                 "device virtio0 /machine/peripheral-anon/device[0]/virtio-backend top\n",
                 "virtio0=top");
    check_drives("node top qcow2\ndevice ide0-hd0 /machine/unattached/device[23] top\n",
                 "ide0-hd0=top");
    /* A -drive that no device uses. */
    check_drives("node top qcow2\ndevice d0 - top\n", "d0=top");
}

static void test_name_of_node(void)
{
    check_drives("node top qcow2\n"
                 "device - /machine/peripheral-anon/device[0]/virtio-backend top\n",
                 "top=top");
}

/* The machine's empty slots have no name that anybody would know them by. */
static void test_nameless(void)
{
    check_drives("device - /machine/unattached/device[5] -\n", "");
    check_drives("device sd0 - -\n", "");
    check_drives("device - - -\n", "");
    check_drives("device - /machine/peripheral/ -\n", "");
}

static void test_empty_drive(void)
{
    check_drives("device ide1-cd0 /machine/unattached/device[23] -\n", "ide1-cd0=");
    check_drives("device - cd -\n", "cd=");
}

static void test_keys_of_device(void)
{
    g_autoptr(Drives) drives = find_drives("node top qcow2\n"
                                           "device d0 /machine/peripheral/vda/virtio-backend top\n"
                                           "device - cd -\n"
                                           "device d1 - top\n");

    g_assert_cmpuint(drives->n, ==, 3);
    check_keys(&drives->drives[0], "device:/machine/peripheral/vda/virtio-backend drive:d0");
    g_assert_cmpstr(drives->drives[0].device, ==, "/machine/peripheral/vda/virtio-backend");
    check_keys(&drives->drives[1], "device:cd");
    check_keys(&drives->drives[2], "drive:d1");
    g_assert_cmpstr(drives->drives[2].device, ==, "");
}

static void test_firmware(void)
{
    g_autoptr(Drives) drives = find_drives("node code raw ro\n"
                                           "node top qcow2\n"
                                           "device pflash0 /machine/system.flash0 code\n"
                                           "device d0 /machine/peripheral/vda top\n");

    g_assert_cmpuint(drives->n, ==, 2);
    g_assert_true(drives->drives[0].firmware);
    g_assert_cmpstr(drives->drives[0].name, ==, "pflash0");
    g_assert_false(drives->drives[1].firmware);
}

/* What a VM exports besides, and what its jobs have as targets, are copies and no disks. */
static void test_vm_has_devices_only(void)
{
    check_drives("node top qcow2\n"
                 "node target raw\n"
                 "device d0 /machine/peripheral/vda top\n"
                 "export e0 target\n",
                 "vda=top");
}

static void test_export(void)
{
    g_autoptr(Drives) drives = find_drives("node top qcow2\n"
                                           "backend b\n"
                                           "edge b root top\n"
                                           "export e0 top\n");

    g_assert_cmpuint(drives->n, ==, 1);
    g_assert_cmpstr(drives->drives[0].name, ==, "top");
    g_assert_cmpstr(drives->drives[0].root, ==, "top");
    g_assert_cmpstr(drives->drives[0].device, ==, "");
    check_keys(&drives->drives[0], "node:top export:e0");
}

static void test_two_exports_are_one_disk(void)
{
    g_autoptr(Drives) drives = find_drives("node top qcow2\n"
                                           "node other raw\n"
                                           "backend b\n"
                                           "edge b root top\n"
                                           "edge b root other\n"
                                           "export e0 top\n"
                                           "export e1 top\n"
                                           "export e2 other\n");

    g_assert_cmpuint(drives->n, ==, 2);
    check_keys(&drives->drives[0], "node:top export:e0 export:e1");
    check_keys(&drives->drives[1], "node:other export:e2");
}

/* While a job runs, an export goes through the job's filter: that is the same disk. */
static void test_export_through_job_filter(void)
{
    static const char mirror[] = "node mir mirror_top\n"
                                 "node top qcow2\n"
                                 "node base qcow2\n"
                                 "backend b\n"
                                 "job j\n"
                                 "edge b root mir\n"
                                 "edge mir backing top\n"
                                 "edge top backing base\n"
                                 "edge j source mir\n"
                                 "edge j target base\n"
                                 "export e0 mir\n";

    check_drives(mirror, "top=top");
}

/* A node that came up while the graph was read: the export's disk is not gone for that. */
static void test_export_of_unknown_node(void)
{
    check_drives("export e0 nowhere\n", "nowhere=nowhere");
}

static void test_many_exports(void)
{
    g_autoptr(GString) graph = g_string_new("node top qcow2\nbackend b\nedge b root top\n");
    g_autoptr(Drives) drives = NULL;

    for (unsigned i = 0; i < DRIVE_KEYS_MAX + 10; i++)
        g_string_append_printf(graph, "export e%u top\n", i);
    drives = find_drives(graph->str);
    g_assert_cmpuint(drives->n, ==, 1);
    g_assert_cmpuint(drives->drives[0].n_keys, ==, DRIVE_KEYS_MAX);
}

static void test_unused_node(void)
{
    static const char chain[] = "node top qcow2\n"
                                "node topfile file\n"
                                "node base raw\n"
                                "node basefile file\n"
                                "edge top file topfile\n"
                                "edge top backing base\n"
                                "edge base file basefile\n";

    check_drives(chain, "top=top");
}

/* A job on it does not make it used; its filter is not what people named. */
static void test_unused_node_with_job(void)
{
    check_drives("node mir mirror_top\n"
                 "node top qcow2\n"
                 "node base qcow2\n"
                 "job j\n"
                 "edge mir backing top\n"
                 "edge top backing base\n"
                 "edge j source mir\n"
                 "edge j target base\n",
                 "top=top");
}

/* A commit holds the images that it has put out of use until it is dismissed; whichever comes first
 * in the graph. */
static void test_ended_commit(void)
{
    static const char edges[] = "job j\n"
                                "edge top backing base\n"
                                "edge mid backing base\n"
                                "edge j main_node top\n"
                                "edge j intermediate_node mid\n"
                                "edge j base base\n";
    g_autofree char *first =
        g_strdup_printf("node mid qcow2\nnode top qcow2\nnode base raw\n%s", edges);
    g_autofree char *last =
        g_strdup_printf("node top qcow2\nnode mid qcow2\nnode base raw\n%s", edges);

    check_drives(first, "top=top");
    check_drives(last, "top=top");
}

/* After a pivot the old overlay stays open where a user had named it: no disk of its own. */
static void test_orphans(void)
{
    static const char after_pivot[] = "node top qcow2\n"
                                      "node mid qcow2\n"
                                      "node base qcow2\n"
                                      "node orphan qcow2\n"
                                      "node lone raw\n"
                                      "backend b\n"
                                      "edge b root base\n"
                                      "edge top backing mid\n"
                                      "edge mid backing base\n"
                                      "edge orphan backing base\n"
                                      "export e0 base\n";

    check_drives(after_pivot, "base=base lone=lone");
}

/* Two overlays of one base, neither in use: both are disks. */
static void test_siblings(void)
{
    check_drives("node a qcow2\n"
                 "node b qcow2\n"
                 "node base raw\n"
                 "edge a backing base\n"
                 "edge b backing base\n",
                 "a=a b=b");
}

static void test_orphan_behind_filters(void)
{
    check_drives("node thr throttle\n"
                 "node orphan qcow2\n"
                 "node cor copy-on-read\n"
                 "node base qcow2\n"
                 "backend b\n"
                 "edge b root base\n"
                 "edge thr file orphan\n"
                 "edge orphan backing cor\n"
                 "edge cor file base\n"
                 "export e0 base\n",
                 "base=base");
}

static void test_keys_meet(void)
{
    char a0[] = "device:vda", a1[] = "drive:d0", b0[] = "node:top", b1[] = "drive:d0";
    char *a[] = {a0, a1}, *b[] = {b0, b1};

    g_assert_true(drive_keys_meet(a, 2, b, 2));
    g_assert_true(drive_keys_meet(b, 2, a, 2));
    g_assert_false(drive_keys_meet(a, 1, b, 2));
    g_assert_false(drive_keys_meet(a, 2, b, 1));
    g_assert_false(drive_keys_meet(a, 2, NULL, 0));
    g_assert_false(drive_keys_meet(NULL, 0, NULL, 0));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/drive/nothing", test_nothing);
    g_test_add_func("/drive/name-of-device", test_name_of_device);
    g_test_add_func("/drive/name-of-drive", test_name_of_drive);
    g_test_add_func("/drive/name-of-node", test_name_of_node);
    g_test_add_func("/drive/nameless-slots-are-not-shown", test_nameless);
    g_test_add_func("/drive/empty-drive", test_empty_drive);
    g_test_add_func("/drive/keys-of-device", test_keys_of_device);
    g_test_add_func("/drive/firmware", test_firmware);
    g_test_add_func("/drive/vm-has-devices-only", test_vm_has_devices_only);
    g_test_add_func("/drive/export", test_export);
    g_test_add_func("/drive/two-exports-are-one-disk", test_two_exports_are_one_disk);
    g_test_add_func("/drive/export-through-job-filter", test_export_through_job_filter);
    g_test_add_func("/drive/export-of-unknown-node", test_export_of_unknown_node);
    g_test_add_func("/drive/many-exports", test_many_exports);
    g_test_add_func("/drive/unused-node", test_unused_node);
    g_test_add_func("/drive/unused-node-with-job", test_unused_node_with_job);
    g_test_add_func("/drive/ended-commit", test_ended_commit);
    g_test_add_func("/drive/orphans-are-not-shown", test_orphans);
    g_test_add_func("/drive/siblings-are-both-shown", test_siblings);
    g_test_add_func("/drive/orphan-behind-filters", test_orphan_behind_filters);
    g_test_add_func("/drive/keys-meet", test_keys_meet);
    return g_test_run();
}
