/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The four ways to choose images of a chain of five, on every kind of base, while the guest writes.
 */
#include "scene.h"

#include <string.h>

/* The chain of five is the upper end of the whole chain, and begins at `base`. */
typedef struct Kind {
    const char *name;
    const char *format;
    BasePlace place;
    unsigned base; /* index of the base in the whole chain: it has so many images below it */
} Kind;

static const Kind kinds[] = {
    {"qcow2", "qcow2", BASE_FILE, 0},
    {"raw", "raw", BASE_FILE, 0},
    {"base-with-backing-file", "raw", BASE_FILE, 1},
    {"block-device", "raw", BASE_DEVICE, 0},
    {"nbd", "raw", BASE_NBD, 0},
};

#define UPPER 5

static Scene *start(const Kind *kind)
{
    return scene_new(&(SceneOptions){.base_format = kind->format,
                                     .base_place = kind->place,
                                     .depth = kind->base + UPPER,
                                     .prepare = scene_mark_images});
}

/* What is left: these of the upper five, active one first, and what is below the base. */
static void wait_chain(Scene *s, const Kind *kind, const unsigned *upper, unsigned n)
{
    unsigned images[UPPER + 1], total = 0;

    for (unsigned i = 0; i < n; i++)
        images[total++] = kind->base + upper[i];
    for (unsigned i = kind->base; i > 0; i--)
        images[total++] = i - 1;
    scene_wait_chain(s, images, total);
}

/* The guest goes on, and has lost nothing; neither have the images from before the start. */
static void check_end(Scene *s, unsigned active)
{
    const char *file = scene_file(s, active), *format = scene_format(s, active);

    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, file, format);
    scene_check_marks(s, active, 1, s->depth - 1);
    image_check_filled(file, format, SCENE_DATA_BYTE, SCENE_DATA_OFFSET, SCENE_DATA_LENGTH);
    if (strcmp(format, "qcow2") == 0)
        image_check_clean(file);
}

/* The overlay above the merged images names the image that it is on now. */
static void check_recorded(Scene *s, unsigned overlay, unsigned below)
{
    g_autofree char *recorded = image_backing_file(s->chain[overlay]);

    g_assert_cmpstr(recorded, ==, s->chain[below]);
}

static void test_middle_into_middle(gconstpointer data)
{
    const Kind *kind = data;
    const unsigned b = kind->base;
    g_autoptr(Scene) s = start(kind);
    const unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "top", "s", s->chain[b + 3], "base", "s", s->chain[b + 2]);
    scene_wait_finished(s, from, "completed");
    wait_chain(s, kind, (unsigned[]){4, 2, 1, 0}, 4);
    check_recorded(s, b + 4, b + 2);
    check_end(s, b + 4);
    scene_check_marks(s, b + 2, 1, b + 3);
}

static void test_middle_into_base(gconstpointer data)
{
    const Kind *kind = data;
    const unsigned b = kind->base;
    g_autoptr(Scene) s = start(kind);
    const unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "top", "s", s->chain[b + 2], "base", "s", s->chain[b]);
    scene_wait_finished(s, from, "completed");
    wait_chain(s, kind, (unsigned[]){4, 3, 0}, 3);
    check_recorded(s, b + 3, b);
    check_end(s, b + 4);
    scene_check_marks(s, b, 1, b + 2);
}

/* From the active image, into an image of the upper five. */
static void commit_active(const Kind *kind, unsigned base, bool pivots)
{
    const unsigned b = kind->base;
    g_autoptr(Scene) s = start(kind);
    const unsigned from = recorder_mark(s->recorder);

    scene_commit_with(s, 2, "active", "b", true, "base", "s", s->chain[b + base]);
    scene_wait_ready(s, from);
    guest_wait_more(s->guest, 0, 10);
    if (pivots)
        scene_pivot(s);
    else
        scene_abort(s);
    scene_wait_finished(s, from, pivots ? "completed" : "kept");
    if (pivots)
        wait_chain(s, kind, base == 0 ? (unsigned[]){0} : (unsigned[]){2, 1, 0}, base + 1);
    else
        wait_chain(s, kind, (unsigned[]){4, 3, 2, 1, 0}, UPPER);
    check_end(s, b + (pivots ? base : 4));
    scene_check_marks(s, b + base, 1, b + 4);
}

static void test_all_into_base_pivot(gconstpointer kind)
{
    commit_active(kind, 0, true);
}

static void test_all_into_base_keep(gconstpointer kind)
{
    commit_active(kind, 0, false);
}

static void test_active_into_middle_pivot(gconstpointer kind)
{
    commit_active(kind, 2, true);
}

static void test_active_into_middle_keep(gconstpointer kind)
{
    commit_active(kind, 2, false);
}

static const struct {
    const char *name;
    GTestDataFunc test;
} choices[] = {
    {"middle-into-middle", test_middle_into_middle},
    {"all-into-base-pivot", test_all_into_base_pivot},
    {"all-into-base-keep", test_all_into_base_keep},
    {"active-into-middle-pivot", test_active_into_middle_pivot},
    {"active-into-middle-keep", test_active_into_middle_keep},
    {"middle-into-base", test_middle_into_base},
};

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(choices); i++)
        for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
            g_autofree char *path = g_strdup_printf("/kinds/%s/%s", choices[i].name, kinds[k].name);

            g_test_add_data_func(path, &kinds[k], choices[i].test);
        }
    return g_test_run();
}
