/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits of images of all kinds: empty ones, holes and zeroes, bases of other formats and sizes.
 */
#include <inttypes.h>
#include <string.h>

#include "image.h"
#include "process.h"
#include "properties.h"
#include "rig.h"

/* One VM that is not started, with the disk "vda" on the node or drive "top". */
typedef struct Images {
    Rig *rig;
    Recorder *recorder;
    Qemu *vm;
    char *disk;
} Images;

static Images *images_new(void)
{
    Images *m = g_new0(Images, 1);

    m->rig = rig_new();
    m->recorder = m->rig->recorder;
    m->vm = rig_qemu(m->rig, QEMU_SYSTEM, "web1");
    g_ptr_array_add(qemu_arguments(m->vm), g_strdup("-S"));
    return m;
}

static void images_free(Images *m)
{
    qemu_free(m->vm);
    rig_free(m->rig);
    g_free(m->disk);
    g_free(m);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Images, images_free)

static void start(Images *m)
{
    qemu_option(m->vm, "-device", "virtio-blk-pci,drive=top,id=vda");
    qemu_start(m->vm);
    m->disk = rig_wait_disk(m->rig, "web1", "vda");
}

static void start_on(Images *m, const char *file)
{
    qemu_option(m->vm, "-drive", "if=none,id=top,format=qcow2,file=%s", file);
    start(m);
}

/* As the guest would; QEMU says nothing of its success here. */
static void write_to_disk(Images *m, uint8_t byte)
{
    qmp_client_do(qemu_monitor(m->vm), "human-monitor-command",
                  "{'command-line': 'qemu-io -d /machine/peripheral/vda/virtio-backend "
                  "\\\"write -q -P %u 1M 1M\\\"'}",
                  byte);
}

/* A commit to its end, with `conclusion` (Pivot or Abort) for the active layer, NULL for the images
 * below; what it ends with. The caller frees it. */
static char *run(Images *m, const char *conclusion)
{
    const unsigned from = recorder_mark(m->recorder);
    const char *result, *skip;

    recorder_call(m->recorder, m->disk, DISK_INTERFACE, "Commit", "b", conclusion != NULL);
    if (conclusion) {
        recorder_wait(m->recorder, from, (Sought){.path = m->disk, .member = "JobReady"});
        recorder_call(m->recorder, m->disk, DISK_INTERFACE, conclusion, NULL);
    }
    recorder_read(
        m->recorder,
        recorder_wait(m->recorder, from, (Sought){.path = m->disk, .member = "JobFinished"}), "sss",
        &skip, &skip, &result);
    return g_strdup(result);
}

static void pivot(Images *m)
{
    g_autofree char *result = run(m, "Pivot");

    g_assert_cmpstr(result, ==, "completed");
    g_assert_cmpuint(property_u32(m->recorder, m->disk, DISK_INTERFACE, "ChainDepth"), ==, 1);
    qemu_quit(m->vm);
}

static void test_nothing_written(gconstpointer base_format)
{
    g_autoptr(Images) m = images_new();
    g_auto(GStrv) chain = image_chain(m->rig->dir, "image", base_format, 2, 4 * IMAGE_MIB);

    image_fill(chain[0], base_format, 0x11, 0, 4 * IMAGE_MIB);
    start_on(m, chain[1]);
    pivot(m);
    image_check_filled(chain[0], base_format, 0x11, 0, 4 * IMAGE_MIB);
}

static void test_zero_length(gconstpointer base_format)
{
    g_autoptr(Images) m = images_new();
    g_auto(GStrv) chain = image_chain(m->rig->dir, "image", base_format, 2, 0);

    start_on(m, chain[1]);
    g_assert_cmpuint(property_u64(m->recorder, m->disk, DISK_INTERFACE, "Size"), ==, 0);
    pivot(m);
}

/* What an image has zeroed or discarded must not show through from below. */
typedef struct Holes {
    const char *path; /* of the test */
    const char *base_format;
    const char *conclusion; /* as for run() */
} Holes;

static const Holes holes[] = {
    {"/images/zeroes-and-holes/pivot-on-qcow2", "qcow2", "Pivot"},
    {"/images/zeroes-and-holes/pivot-on-raw", "raw", "Pivot"},
    {"/images/zeroes-and-holes/keep-on-qcow2", "qcow2", "Abort"},
    {"/images/zeroes-and-holes/keep-on-raw", "raw", "Abort"},
    {"/images/zeroes-and-holes/below-on-qcow2", "qcow2", NULL},
    {"/images/zeroes-and-holes/below-on-raw", "raw", NULL},
};

static void test_holes(gconstpointer data)
{
    const Holes *h = data;
    const char *base_format = h->base_format;
    const unsigned depth = h->conclusion ? 3 : 4; /* the active image has nothing of its own */
    g_autoptr(Images) m = images_new();
    g_auto(GStrv) chain = image_chain(m->rig->dir, "image", base_format, depth, 8 * IMAGE_MIB);
    g_autofree char *before = g_build_filename(m->rig->dir, "before", NULL);
    g_autofree char *result = NULL;

    image_fill(chain[0], base_format, 0x11, 0, 8 * IMAGE_MIB);
    image_fill(chain[1], "qcow2", 0x22, 2 * IMAGE_MIB, 4 * IMAGE_MIB);
    g_free(process_run("qemu-io", "-c", "write -q -z 1M 1M", "-c", "discard -q 3M 1M", "-c",
                       "write -q -z -u 5M 1M", "-c", "write -q -P 0x33 7M 512", chain[2], NULL));
    g_free(process_run("qemu-img", "convert", "-O", "raw", chain[depth - 1], before, NULL));
    start_on(m, chain[depth - 1]);
    result = run(m, h->conclusion);
    g_assert_cmpstr(result, ==, g_strcmp0(h->conclusion, "Abort") == 0 ? "kept" : "completed");
    qemu_quit(m->vm);
    image_check_same(chain[0], base_format, before, "raw");
    image_check_same(chain[depth - 1], "qcow2", before, "raw");
    image_check_filled(chain[0], base_format, 0, IMAGE_MIB, IMAGE_MIB);
}

static void test_data_file(void)
{
    g_autoptr(Images) m = images_new();
    g_autofree char *base = g_build_filename(m->rig->dir, "base", NULL);
    g_autofree char *data = g_build_filename(m->rig->dir, "data", NULL);
    g_autofree char *option = g_strdup_printf("data_file=%s,data_file_raw=on", data);
    g_autofree char *top = NULL;

    g_free(process_run("qemu-img", "create", "-q", "-f", "qcow2", "-o", option, base, "4M", NULL));
    top = image_overlay(m->rig->dir, "top", base, "qcow2", 4 * IMAGE_MIB);
    image_fill(top, "qcow2", 0x55, IMAGE_MIB, IMAGE_MIB);
    start_on(m, top);
    pivot(m);
    image_check_filled(base, "qcow2", 0x55, IMAGE_MIB, IMAGE_MIB);
    image_check_filled(data, "raw", 0x55, IMAGE_MIB, IMAGE_MIB);
}

static void test_luks(void)
{
    g_autoptr(Images) m = images_new();
    g_autofree char *base = g_build_filename(m->rig->dir, "base", NULL);
    g_autofree char *top = NULL, *plain = NULL, *source = NULL;

    /* It measures how fast the processor is, and gives up where a short measurement went wrong. */
    g_free(process_run("sh", "-c",
                       "for i in 1 2 3 4 5 6 7 8; do qemu-img create -q -f luks"
                       " --object secret,id=key,data=word -o key-secret=key,iter-time=100"
                       " \"$0\" 4M && exit; done; exit 1",
                       base, NULL));
    top = image_overlay(m->rig->dir, "top", base, "luks", 4 * IMAGE_MIB);
    qemu_option(m->vm, "-object", "secret,id=key,data=word");
    qemu_option(m->vm, "-blockdev",
                "luks,node-name=base,key-secret=key,read-only=on,file.driver=file,"
                "file.filename=%s",
                base);
    qemu_option(m->vm, "-blockdev",
                "qcow2,node-name=top,backing=base,file.driver=file,file.filename=%s", top);
    start(m);
    /* No tool opens this chain by what its header says. */
    write_to_disk(m, 0x66);
    pivot(m);

    plain = g_build_filename(m->rig->dir, "plain", NULL);
    source = g_strdup_printf("driver=luks,key-secret=key,file.filename=%s", base);
    g_free(process_run("qemu-img", "convert", "--object", "secret,id=key,data=word", "--image-opts",
                       "-O", "raw", source, plain, NULL));
    image_check_filled(plain, "raw", 0x66, IMAGE_MIB, IMAGE_MIB);
}

/* Options of the device's node survive the job. */
static void test_options_stay(void)
{
    g_autoptr(Images) m = images_new();
    g_auto(GStrv) chain = image_chain(m->rig->dir, "image", "qcow2", 3, 4 * IMAGE_MIB);
    g_autofree char *result = NULL;
    json_object *nodes;
    bool found = false;

    qemu_option(m->vm, "-blockdev",
                "qcow2,node-name=top,discard=unmap,detect-zeroes=unmap,file.driver=file,"
                "file.filename=%s",
                chain[2]);
    start(m);
    result = run(m, NULL);
    g_assert_cmpstr(result, ==, "completed");
    nodes = qmp_client_command(qemu_monitor(m->vm), "query-named-block-nodes", "{'flat': true}");
    for (size_t i = 0; i < json_object_array_length(nodes); i++) {
        json_object *node = json_object_array_get_idx(nodes, i);

        if (strcmp(qmp_text(node, "node-name"), "top") != 0)
            continue;
        found = true;
        g_assert_cmpstr(qmp_text(node, "detect_zeroes"), ==, "unmap");
    }
    json_object_put(nodes);
    g_assert_true(found);

    /* Of discard QEMU does not tell: it is seen by what it does. */
    write_to_disk(m, 0x21);
    qmp_client_do(qemu_monitor(m->vm), "human-monitor-command",
                  "{'command-line': 'qemu-io -d /machine/peripheral/vda/virtio-backend "
                  "\\\"discard -q 1M 1M\\\"'}");
    qemu_quit(m->vm);
    image_check_filled(chain[2], "qcow2", 0, IMAGE_MIB, IMAGE_MIB);
}

/* A base whose size is fixed by an option, which nobody can see beforehand: the job fails, and
 * nothing is different. */
static void test_base_cannot_grow(void)
{
    g_autoptr(Images) m = images_new();
    g_autofree char *base = image_create(m->rig->dir, "base", "raw", 4 * IMAGE_MIB);
    g_autofree char *top = image_overlay(m->rig->dir, "top", base, "raw", 8 * IMAGE_MIB);
    const char *skip, *result, *error, *text;
    unsigned from;

    image_fill(top, "qcow2", 0x13, 6 * IMAGE_MIB, IMAGE_MIB);
    qemu_option(m->vm, "-blockdev",
                "raw,node-name=base,read-only=on,size=%" PRIu64 ",file.driver=file,"
                "file.filename=%s",
                4 * IMAGE_MIB, base);
    qemu_option(m->vm, "-blockdev",
                "qcow2,node-name=top,backing=base,file.driver=file,file.filename=%s", top);
    start(m);
    from = recorder_mark(m->recorder);
    recorder_call(m->recorder, m->disk, DISK_INTERFACE, "Commit", "b", 1);
    recorder_read(
        m->recorder,
        recorder_wait(m->recorder, from, (Sought){.path = m->disk, .member = "JobFinished"}),
        "sssss", &skip, &skip, &result, &error, &text);
    g_assert_cmpstr(result, ==, "failed");
    g_assert_cmpstr(error, ==, SERVICE_ERROR("QMP"));
    g_assert_cmpstr(text, !=, ""); /* QEMU's own, which differs with what forbids it */
    g_assert_cmpint(recorder_find(m->recorder, from, (Sought){.member = "JobReady"}), ==, -1);
    qemu_wait_no_jobs(m->vm);
    property_check_string(m->recorder, m->disk, DISK_INTERFACE, "JobState", "none");
    g_assert_cmpuint(property_u32(m->recorder, m->disk, DISK_INTERFACE, "ChainDepth"), ==, 2);
    qemu_quit(m->vm);
    image_check_filled(top, "qcow2", 0x13, 6 * IMAGE_MIB, IMAGE_MIB);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/images/nothing-written-qcow2", "qcow2", test_nothing_written);
    g_test_add_data_func("/images/nothing-written-raw", "raw", test_nothing_written);
    g_test_add_data_func("/images/zero-length-qcow2", "qcow2", test_zero_length);
    g_test_add_data_func("/images/zero-length-raw", "raw", test_zero_length);
    for (unsigned i = 0; i < G_N_ELEMENTS(holes); i++)
        g_test_add_data_func(holes[i].path, &holes[i], test_holes);
    g_test_add_func("/images/external-data-file", test_data_file);
    g_test_add_func("/images/luks-base", test_luks);
    g_test_add_func("/images/options-of-the-node-stay", test_options_stay);
    g_test_add_func("/images/base-that-cannot-grow", test_base_cannot_grow);
    return g_test_run();
}
