/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits of images that are encrypted or keep their data elsewhere, and of the overlay that QEMU
 * makes by itself for -snapshot, while the guest writes.
 */
#include "scene.h"

#include <inttypes.h>
#include <string.h>

#include "process.h"

#define SECRET "secret,id=key,data=word"
#define DEPTH 3

/* An encrypted image of SCENE_SIZE, kept in memory: to make one takes seconds of processor time. */
static char *model;
static gsize model_size;

/* LUKS measures how fast the processor is, and gives up where a short measurement went wrong. */
static void make_model(const char *file)
{
    g_autofree char *command = g_strdup_printf(
        "for i in 1 2 3 4 5 6 7 8; do qemu-img create -q -f qcow2 --object " SECRET
        " -o encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10 %s %" PRIu64
        " && exit; done; exit 1",
        file, SCENE_SIZE);
    g_autoptr(GError) error = NULL;

    g_free(process_run("sh", "-c", command, NULL));
    g_file_get_contents(file, &model, &model_size, &error);
    g_assert_no_error(error);
}

static void encrypt_images(const Scene *s)
{
    if (!model)
        make_model(s->chain[0]);
    for (unsigned i = 0; i < s->depth; i++) {
        g_autofree char *image = g_strdup_printf("driver=qcow2,encrypt.format=luks,encrypt.key-"
                                                 "secret=key,file.filename=%s",
                                                 s->chain[i]);

        g_assert_true(g_file_set_contents(s->chain[i], model, (gssize)model_size, NULL));
        if (i > 0)
            g_free(process_run("qemu-img", "rebase", "-u", "--object", SECRET, "--image-opts", "-F",
                               "qcow2", "-b", s->chain[i - 1], image, NULL));
    }
}

static void add_encrypted(const Scene *s)
{
    qemu_option(s->vm, "-object", SECRET);
    for (unsigned i = 0; i < s->depth; i++) {
        g_autofree char *backing = i > 0 ? g_strdup_printf(",backing=node%u", i - 1) : g_strdup("");

        qemu_option(
            s->vm, "-blockdev",
            "qcow2,node-name=node%u,read-only=%s,encrypt.format=luks,encrypt.key-secret=key,"
            "file.driver=file,file.filename=%s%s",
            i, i == s->depth - 1 ? "off" : "on", s->chain[i], backing);
    }
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=node%u,id=vda,bootindex=1,write-cache=off",
                s->depth - 1);
}

/* A raw copy of what the first of these shows, with the others below it: no tool opens a chain of
 * encrypted images by what their headers say. The caller frees the name. */
static char *decrypt(const Scene *s, const unsigned *images, unsigned n)
{
    g_autoptr(GString) source = g_string_new(NULL);
    g_autoptr(GString) prefix = g_string_new(NULL);
    char *plain = g_strdup_printf("%s/plain", s->rig->dir);

    for (unsigned i = 0; i < n; i++) {
        g_string_append_printf(
            source, "%s%sdriver=qcow2,%sencrypt.key-secret=key,%sfile.filename=%s",
            i > 0 ? "," : "", prefix->str, prefix->str, prefix->str, s->chain[images[i]]);
        g_string_append(prefix, "backing.");
    }
    g_free(process_run("qemu-img", "convert", "--object", SECRET, "--image-opts", "-O", "raw",
                       source->str, plain, NULL));
    return plain;
}

static void make_with_data_file(const Scene *s, unsigned i)
{
    g_autofree char *option = g_strdup_printf("data_file=%s.data", s->chain[i]);
    g_autofree char *size = g_strdup_printf("%" PRIu64, SCENE_SIZE);

    if (i == 0)
        g_free(process_run("qemu-img", "create", "-q", "-f", "qcow2", "-o", option, s->chain[i],
                           size, NULL));
    else
        g_free(process_run("qemu-img", "create", "-qu", "-f", "qcow2", "-o", option, "-F", "qcow2",
                           "-b", s->chain[i - 1], s->chain[i], size, NULL));
}

static void move_data(const Scene *s)
{
    for (unsigned i = 0; i < s->depth; i++)
        make_with_data_file(s, i);
    scene_mark_images(s);
}

/* The three ends, and the images that are then the chain. */
typedef struct Way {
    const char *name, *result;
    bool active, pivots;
    unsigned images[DEPTH], n;
} Way;

static const Way ways[] = {
    {"pivot", "completed", .active = true, .pivots = true, .images = {0}, .n = 1},
    {"keep", "kept", .active = true, .images = {2, 1, 0}, .n = 3},
    {"below", "completed", .images = {2, 0}, .n = 2},
};

static void commit(Scene *s, const Way *way)
{
    const unsigned from = scene_commit(s, way->active);

    if (way->active) {
        scene_wait_ready(s, from);
        guest_wait_more(s->guest, 0, 10);
        if (way->pivots)
            scene_pivot(s);
        else
            scene_abort(s);
    }
    scene_wait_finished(s, from, way->result);
    scene_wait_chain(s, way->images, way->n);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
}

static void test_luks(gconstpointer data)
{
    const Way *way = data;
    g_autoptr(Scene) s = scene_new(
        &(SceneOptions){.depth = DEPTH, .prepare = encrypt_images, .add_disk = add_encrypted});
    g_autofree char *plain = NULL;

    scene_write(s, 0x5a, 40 * IMAGE_MIB, IMAGE_MIB);
    commit(s, way);
    plain = decrypt(s, way->images, way->n);
    guest_check_nothing_lost(s->guest, 0, plain, "raw");
    image_check_filled(plain, "raw", 0x5a, 40 * IMAGE_MIB, IMAGE_MIB);
}

static void test_data_file(gconstpointer data)
{
    const Way *way = data;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = DEPTH, .prepare = move_data});

    commit(s, way);
    guest_check_nothing_lost(s->guest, 0, s->chain[way->images[0]], "qcow2");
    scene_check_marks(s, way->images[0], 1, DEPTH - 1);
    image_check_clean(scene_base(s));
}

static void add_snapshot(const Scene *s)
{
    g_ptr_array_add(qemu_arguments(s->vm), g_strdup("-snapshot"));
    qemu_option(s->vm, "-drive", "if=none,id=d0,cache=writethrough,format=%s,file=%s",
                s->base_format, scene_base(s));
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=d0,id=vda,bootindex=1");
}

/* The overlay has no name that outlives QEMU: what is to last has to be in the base. */
static void test_snapshot_option(gconstpointer conclusion)
{
    const bool pivots = strcmp(conclusion, "pivot") == 0;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 1, .add_disk = add_snapshot});
    uint32_t before, held;
    unsigned from;

    g_assert_cmpuint(property_u32(s->recorder, s->disk, DISK_INTERFACE, "ChainDepth"), ==, 2);
    from = scene_commit_until_ready(s);
    before = guest_wait_more(s->guest, 0, 10);
    if (pivots)
        scene_pivot(s);
    else
        scene_abort(s);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    scene_wait_depth(s, pivots ? 1 : 2);
    held = guest_check_image(s->guest, 0, scene_base(s), s->base_format);
    g_assert_cmpuint(held, >=, before);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    if (pivots)
        guest_check_nothing_lost(s->guest, 0, scene_base(s), s->base_format);
    else
        g_assert_cmpuint(guest_check_image(s->guest, 0, scene_base(s), s->base_format), ==, held);
    image_check_clean(scene_base(s));
}

int main(int argc, char *argv[])
{
    static const struct {
        const char *name;
        GTestDataFunc test;
    } kinds[] = {{"luks", test_luks}, {"external-data-files", test_data_file}};

    g_test_init(&argc, &argv, NULL);
    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++)
        for (unsigned w = 0; w < G_N_ELEMENTS(ways); w++) {
            g_autofree char *path = g_strdup_printf("/formats/%s/%s", kinds[k].name, ways[w].name);

            g_test_add_data_func(path, &ways[w], kinds[k].test);
        }
    g_test_add_data_func("/formats/snapshot-option/pivot", "pivot", test_snapshot_option);
    g_test_add_data_func("/formats/snapshot-option/keep", "keep", test_snapshot_option);

    const int failed = g_test_run();

    g_free(model);
    return failed;
}
