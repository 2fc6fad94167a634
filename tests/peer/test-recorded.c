/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What becomes of the answers that real QEMUs gave, see tests/data/record: disks, their names and
 * keys, their chains. The same is expected of every version.
 */
#include <fnmatch.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "chain.h"
#include "drive.h"
#include "reader.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chain, chain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Drives, drives_free)

/* -snapshot makes up a file name. */
#define MADE_UP "#"
#define IMAGES "/images/"

#define THREE "top.qcow2 mid.qcow2 base.raw"
#define VDA "device:/machine/peripheral/vda/virtio-backend"
#define ANONYMOUS "device:/machine/peripheral-anon/device[[]0]/virtio-backend"

typedef struct Situation {
    const char *name;
    /* A line for each disk: its name, "!" for firmware, "libvirt" where libvirt manages it, the
     * files from the active one to the base. */
    const char *disks;
    const char *keys; /* of the first disk, a glob pattern */
    const char *job;  /* status of the only job, NULL for none */
} Situation;

static const Situation situations[] = {
    {"drive-virtio", "virtio0: " THREE "\n", ANONYMOUS " drive:virtio0", NULL},
    {"drive-and-device", "vda: " THREE "\n", VDA " drive:d0", NULL},
    {"blockdev-with-ids", "vda: " THREE "\n", VDA, NULL},
    {"blockdev-without-ids", "top: " THREE "\n", ANONYMOUS, NULL},
    {"hda", "ide0-hd0: top.qcow2\n", "device:/machine/unattached/device[[]*] drive:ide0-hd0", NULL},
    {"buses",
     "sda: sda.raw\n"
     "cd-full: cd.raw\n"
     "fd-full: floppy.raw\n"
     "nvme0: nvme.qcow2\n"
     "usb0: usb.qcow2\n"
     "cd-empty:\n"
     "fd-empty:\n",
     "device:sda drive:d-sda", NULL},
    {"pflash",
     "pflash0!: code.raw\n"
     "pflash1!: vars.raw\n"
     "virtio0: top.qcow2\n",
     "device:/machine/system.flash0 drive:pflash0", NULL},
    {"filters", "vda: " THREE "\n", VDA, NULL},
    {"snapshot", "virtio0: " MADE_UP " " THREE "\n", ANONYMOUS " drive:virtio0", NULL},
    {"libvirt", "virtio-disk0: libvirt " THREE "\n",
     "device:/machine/peripheral/virtio-disk0/virtio-backend", NULL},
    {"hotplug", "sdb: " THREE "\n", "device:sdb", NULL},

    {"commit-active-running", "vda: " THREE "\n", VDA, "running"},
    {"commit-active-ready", "vda: " THREE "\n", VDA, "ready"},
    {"commit-active-pending", "vda: " THREE "\n", VDA, "pending"},
    {"commit-active-concluded", "vda: base.raw\n", VDA, "concluded"},
    {"commit-active-pivoted", "vda: base.raw\n", VDA, NULL},
    {"commit-drive-ready", "vda: " THREE "\n", VDA " drive:d0", "ready"},
    {"commit-drive-pivoted", "vda: base.raw\n", VDA " drive:d0", "concluded"},
    {"commit-below-running", "vda: " THREE "\n", VDA, "running"},
    {"commit-below-pending", "vda: " THREE "\n", VDA, "pending"},
    {"commit-below-concluded", "vda: top.qcow2 base.raw\n", VDA, "concluded"},
    {"foreign-mirror", "vda: " THREE "\n", VDA " drive:d0", "ready"},

    {"daemon-export", "top: " THREE "\n", "node:top export:e0", NULL},
    {"daemon-two-exports", "top: " THREE "\n", "node:top export:e? export:e?", NULL},
    {"daemon-no-export", "top: " THREE "\n", "node:top", NULL},
    {"daemon-nothing", "", "", NULL},
    {"daemon-export-ready", "top: " THREE "\n", "node:top export:e0", "ready"},
    {"daemon-no-export-ready", "top: " THREE "\n", "node:top", "ready"},
    {"daemon-pivoted", "base: base.raw\n", "node:base export:e0", NULL},
};

static const char *const versions[] = {"7.2", "10.0"};

static char *disks_text(const Graph *g, const Drives *drives)
{
    GString *text = g_string_new("");

    for (size_t i = 0; i < drives->n; i++) {
        const Drive *d = &drives->drives[i];
        g_autoptr(Chain) c = NULL;

        g_assert_cmpint(chain_new_from_graph(g, d->root, &c), ==, 0);
        g_string_append_printf(text, "%s%s:%s", d->name, d->firmware ? "!" : "",
                               chain_is_libvirt(c) ? " libvirt" : "");
        for (size_t k = 0; k < c->n; k++) {
            const char *file = c->images[k].file;

            g_string_append_printf(
                text, " %s", g_str_has_prefix(file, IMAGES) ? file + strlen(IMAGES) : MADE_UP);
        }
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

static void check_keys(const Drives *drives, const char *pattern)
{
    g_autoptr(GString) text = g_string_new("");

    if (drives->n > 0)
        for (size_t i = 0; i < drives->drives[0].n_keys; i++)
            g_string_append_printf(text, "%s%s", i ? " " : "", drives->drives[0].keys[i]);
    if (fnmatch(pattern, text->str, 0) != 0)
        g_error("Keys are '%s', not '%s'", text->str, pattern);
}

static void check_job(const Graph *g, const Situation *s)
{
    if (!s->job) {
        g_assert_cmpuint(g->n_jobs, ==, 0);
        return;
    }

    bool foreign = strcmp(s->name, "foreign-mirror") == 0;
    const char *id = foreign ? "theirs" : "vmdisk-commit-by-hand";
    const GraphJob *job = graph_find_job(g, id);

    g_assert_cmpuint(g->n_jobs, ==, 1);
    g_assert_nonnull(job);
    g_assert_cmpstr(job->type, ==, foreign ? "mirror" : "commit");
    g_assert_cmpstr(job->status, ==, s->job);
    g_assert_null(job->error);
    g_assert_true(job->block);
    g_assert_cmpint(job->auto_finalize, ==, foreign);
}

static void check_situation(const char *version, const Situation *s)
{
    g_autofree char *file = g_strdup_printf("%s/%s.json", version, s->name), *disks = NULL;
    g_autoptr(Reader) r = reader_new();
    g_autoptr(Drives) drives = NULL;

    g_test_message("%s", file);
    reader_load(r, file);
    reader_read(r);
    g_assert_cmpint(r->error, ==, 0);
    g_assert_cmpint(drives_new_from_graph(r->graph, &drives), ==, 0);
    disks = disks_text(r->graph, drives);
    g_assert_cmpstr(disks, ==, s->disks);
    check_keys(drives, s->keys);
    check_job(r->graph, s);
}

static void test_situation(gconstpointer data)
{
    for (size_t i = 0; i < G_N_ELEMENTS(versions); i++)
        check_situation(versions[i], data);
}

/* No recording that nobody looks at. */
static void test_all_are_expected(gconstpointer data)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "tests/data/graphs", data, NULL);
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *file;
    unsigned n = 0;

    g_assert_nonnull(dir);
    while ((file = g_dir_read_name(dir)))
        n++;
    g_assert_cmpuint(n, ==, G_N_ELEMENTS(situations));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(situations); i++) {
        g_autofree char *path = g_strdup_printf("/recorded/%s", situations[i].name);

        g_test_add_data_func(path, &situations[i], test_situation);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(versions); i++) {
        g_autofree char *path = g_strdup_printf("/recorded/all-of-%s-are-expected", versions[i]);

        g_test_add_data_func(path, versions[i], test_all_are_expected);
    }
    return g_test_run();
}
