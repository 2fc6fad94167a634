/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a commit means for the dirty bitmaps of the images that it merges: which are carried, how,
 * and which are lost. The chain is top, mid, base.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "bitmap.h"
#include "graph-maker.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(BitmapPlan, bitmap_plan_free)

#define CHAIN                                                                                      \
    "node top qcow2\n"                                                                             \
    "node mid qcow2 ro\n"                                                                          \
    "node base qcow2 ro\n"                                                                         \
    "edge top backing mid\n"                                                                       \
    "edge mid backing base\n"
#define RAW_BASE                                                                                   \
    "node top qcow2\n"                                                                             \
    "node base raw ro\n"                                                                           \
    "edge top backing base\n"
#define RECORDER "bitmap base vmdisk-recorder recording\n"

static BitmapPlan *plan(const Graph *g, const char *top, bool running)
{
    BitmapPlan *p = NULL;

    g_assert_cmpint(bitmap_plan_new(g, top, "base", running, &p), ==, 0);
    return p;
}

typedef struct Case {
    const char *name, *graph;
    const char *top; /* NULL: "top" */
    bool running;
    BitmapFate fate; /* of "n" */
    bool missing, persistent, recording, recorder;
    const char *sources;
} Case;

static const Case cases[] = {
    /* One image has it. */
    {"top", CHAIN "bitmap top n stored recording", NULL, false, BITMAP_CARRIED, true, true, true,
     false, "top"},
    {"top-disabled", CHAIN "bitmap top n stored", NULL, false, BITMAP_CARRIED, true, true, false,
     false, "top"},
    {"top-not-stored", CHAIN "bitmap top n recording", NULL, false, BITMAP_CARRIED, true, false,
     true, false, "top"},
    {"middle", CHAIN "bitmap mid n stored recording", NULL, false, BITMAP_CARRIED, true, true, true,
     true, "mid"},
    {"middle-disabled", CHAIN "bitmap mid n stored", NULL, false, BITMAP_CARRIED, true, true, false,
     false, "mid"},
    {"middle-is-top", CHAIN "bitmap mid n stored recording", "mid", false, BITMAP_CARRIED, true,
     true, true, false, "mid"},
    /* The base has it, too. */
    {"base-records", CHAIN "bitmap top n stored recording\nbitmap base n stored recording", NULL,
     false, BITMAP_RECORDED, false, true, true, true, "top"},
    {"base-records-and-is-busy",
     CHAIN "bitmap top n stored recording busy\nbitmap base n stored recording busy", NULL, false,
     BITMAP_RECORDED, false, true, true, true, "top"},
    {"base-disabled", CHAIN "bitmap top n stored recording\nbitmap base n stored", NULL, false,
     BITMAP_CARRIED, false, true, true, true, "top"},
    {"both-disabled", CHAIN "bitmap top n stored\nbitmap base n stored", NULL, false,
     BITMAP_CARRIED, false, true, false, false, "top"},
    {"base-inconsistent", CHAIN "bitmap top n stored recording\nbitmap base n stored inconsistent",
     NULL, false, BITMAP_LOST_INCONSISTENT, false, true, true, true, "top"},
    {"base-not-stored", CHAIN "bitmap top n stored recording\nbitmap base n recording", NULL, false,
     BITMAP_LOST_TRANSIENT, false, true, true, true, "top"},
    {"base-stored-top-not", CHAIN "bitmap top n recording\nbitmap base n stored", NULL, false,
     BITMAP_CARRIED, false, false, true, true, "top"},
    /* Several of the merged have it. */
    {"top-and-middle", CHAIN "bitmap top n stored recording\nbitmap mid n stored recording", NULL,
     false, BITMAP_CARRIED, true, true, true, true, "top mid"},
    {"top-goes-on", CHAIN "bitmap top n stored recording\nbitmap mid n stored", NULL, false,
     BITMAP_CARRIED, true, true, true, true, "top mid"},
    {"one-stored", CHAIN "bitmap top n recording\nbitmap mid n stored recording", NULL, false,
     BITMAP_CARRIED, true, true, true, true, "top mid"},
    {"both-merged-disabled", CHAIN "bitmap top n stored\nbitmap mid n stored", NULL, false,
     BITMAP_CARRIED, true, true, false, false, "top mid"},
    /* What is inconsistent counts as not there. */
    {"inconsistent", CHAIN "bitmap top n stored inconsistent", NULL, false, BITMAP_WORTHLESS, true,
     false, false, false, ""},
    {"inconsistent-on-raw", RAW_BASE "bitmap top n stored inconsistent", NULL, false,
     BITMAP_WORTHLESS, true, false, false, false, ""},
    {"top-inconsistent", CHAIN "bitmap top n stored inconsistent\nbitmap mid n stored recording",
     NULL, false, BITMAP_CARRIED, true, true, true, true, "mid"},
    /* What cannot be. */
    {"raw", RAW_BASE "bitmap top n stored recording", NULL, false, BITMAP_LOST_FORMAT, true, true,
     true, false, "top"},
    {"raw-not-stored", RAW_BASE "bitmap top n recording", NULL, false, BITMAP_CARRIED, true, false,
     true, false, "top"},
    {"busy", CHAIN "bitmap top n stored recording busy", NULL, false, BITMAP_LOST_BUSY, true, true,
     true, false, "top"},
    {"base-busy", CHAIN "bitmap top n stored recording\nbitmap base n stored busy", NULL, false,
     BITMAP_LOST_BUSY, false, true, true, true, "top"},
    /* While the job runs. */
    {"recorded", CHAIN RECORDER "bitmap mid n stored recording", NULL, true, BITMAP_CARRIED, true,
     true, true, true, "mid"},
    {"not-recorded", CHAIN "bitmap mid n stored recording", NULL, true, BITMAP_LOST_UNRECORDED,
     true, true, true, true, "mid"},
    {"recorder-disabled", CHAIN "bitmap base vmdisk-recorder\nbitmap mid n stored recording", NULL,
     true, BITMAP_LOST_UNRECORDED, true, true, true, true, "mid"},
    {"no-recorder-needed", CHAIN "bitmap top n stored recording", NULL, true, BITMAP_CARRIED, true,
     true, true, false, "top"},
};

static void test_case(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(Graph) g = make_graph(c->graph);
    g_autoptr(BitmapPlan) p = plan(g, c->top ? c->top : "top", c->running);
    g_autoptr(GString) sources = g_string_new("");

    g_assert_cmpuint(p->n, ==, 1);
    const BitmapItem *item = &p->items[0];
    for (size_t i = 0; i < item->n_sources; i++)
        g_string_append_printf(sources, "%s%s", i ? " " : "", item->sources[i]);
    g_assert_cmpstr(item->name, ==, "n");
    g_assert_cmpint(item->fate, ==, c->fate);
    g_assert_cmpint(item->missing, ==, c->missing);
    g_assert_cmpint(item->persistent, ==, c->persistent);
    g_assert_cmpint(item->recording, ==, c->recording);
    g_assert_cmpint(item->recorder, ==, c->recorder);
    g_assert_cmpstr(sources->str, ==, c->sources);
    g_assert_cmpint(p->carries, ==, c->fate == BITMAP_CARRIED);
    g_assert_cmpint(p->recorder, ==, c->fate == BITMAP_CARRIED && c->recorder);
    g_assert_true((bitmap_plan_find_lost(p) != NULL) == bitmap_fate_is_lost(c->fate));
}

/* Of images that stay nothing is lost, and the base's own stays. */
static void test_others(void)
{
    g_autoptr(Graph) g = make_graph(CHAIN "bitmap top a stored recording\n"
                                          "bitmap base b stored recording\n"
                                          "bitmap mid vmdisk-recorder recording\n");
    g_autoptr(BitmapPlan) p = plan(g, "mid", false);

    g_assert_cmpuint(p->n, ==, 0);
    g_assert_false(p->carries);
    g_assert_false(p->recorder);
}

/* Each name on its own; the finest granularity; the image that is told to people. */
static void test_names(void)
{
    g_autoptr(Graph) g = make_graph(CHAIN "bitmap top a stored recording 65536 131072\n"
                                          "bitmap top c stored inconsistent\n"
                                          "bitmap mid a stored recording 32768 32768\n"
                                          "bitmap mid b stored 4096 8192\n");
    g_autoptr(BitmapPlan) p = plan(g, "top", false);

    g_assert_cmpuint(p->n, ==, 3);
    g_assert_cmpstr(p->items[0].name, ==, "a");
    g_assert_cmpstr(p->items[0].image, ==, "/top");
    g_assert_cmpuint(p->items[0].granularity, ==, 32768);
    g_assert_cmpstr(p->items[1].name, ==, "c");
    g_assert_cmpint(p->items[1].fate, ==, BITMAP_WORTHLESS);
    g_assert_cmpstr(p->items[2].name, ==, "b");
    g_assert_cmpstr(p->items[2].image, ==, "/mid");
    g_assert_cmpuint(p->items[2].granularity, ==, 4096);
    g_assert_true(p->recorder);
}

/* QEMU merges bitmaps of one size only; a commit lets a small base grow, and leaves a great one. */
static void test_sizes(void)
{
    static const struct {
        uint64_t top, mid, base;
        BitmapFate fate;
    } sizes[] = {
        {8, 8, 8, BITMAP_CARRIED},   {8, 8, 4, BITMAP_CARRIED},   {8, 4, 4, BITMAP_LOST_SIZE},
        {4, 4, 8, BITMAP_LOST_SIZE}, {4, 8, 8, BITMAP_LOST_SIZE},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(Graph) g = make_graph(CHAIN "bitmap top n stored\nbitmap mid n stored\n");
        g_autoptr(BitmapPlan) p = NULL;

        graph_find(g, GRAPH_NODE, "top")->size = sizes[i].top;
        graph_find(g, GRAPH_NODE, "mid")->size = sizes[i].mid;
        graph_find(g, GRAPH_NODE, "base")->size = sizes[i].base;
        p = plan(g, "top", false);
        g_assert_cmpint(p->items[0].fate, ==, sizes[i].fate);
    }
}

static void test_many(void)
{
    for (unsigned n = BITMAPS_MAX; n <= BITMAPS_MAX + 2; n++) {
        g_autoptr(GString) text = g_string_new(CHAIN);
        g_autoptr(Graph) g = NULL;
        g_autoptr(BitmapPlan) p = NULL;

        for (unsigned i = 0; i < n; i++)
            g_string_append_printf(text, "bitmap top n%u stored inconsistent\n", i);
        g = make_graph(text->str);
        p = plan(g, "top", false);
        g_assert_cmpuint(p->n, ==, MIN(n, BITMAPS_MAX + 1));
        g_assert_true((bitmap_plan_find_lost(p) != NULL) == (n > BITMAPS_MAX));
    }
}

/* The command that carries them is no longer than QEMU takes in a moment. */
static void test_long(void)
{
    g_autoptr(GString) text = g_string_new(CHAIN);
    g_autofree char *name = g_strnfill(1000, 'n');
    g_autoptr(Graph) g = NULL;
    g_autoptr(BitmapPlan) p = NULL;
    unsigned carried = 0;

    for (unsigned i = 0; i < BITMAPS_MAX; i++)
        g_string_append_printf(text, "bitmap top %s%u stored recording\n", name, i);
    g = make_graph(text->str);
    p = plan(g, "top", false);
    for (size_t i = 0; i < p->n; i++)
        carried += p->items[i].fate == BITMAP_CARRIED;
    g_assert_cmpuint(carried, >, 0);
    g_assert_cmpuint(carried * 3000, <=, BITMAPS_COMMAND_MAX);
    g_assert_cmpint(bitmap_plan_find_lost(p)->fate, ==, BITMAP_LOST_MANY);
}

static void test_no_chain(void)
{
    g_autoptr(Graph) g = make_graph(CHAIN "node other qcow2\n");
    BitmapPlan *p = NULL;

    g_assert_cmpint(bitmap_plan_new(g, "other", "base", false, &p), ==, -ENOENT);
    g_assert_cmpint(bitmap_plan_new(g, "base", "base", false, &p), ==, -ENOENT);
    g_assert_cmpint(bitmap_plan_new(g, "base", "top", false, &p), ==, -ENOENT);
    g_assert_cmpint(bitmap_plan_new(g, "none", "base", false, &p), ==, -ENOENT);
    g_assert_null(p);
}

/* What is found in the base afterwards, and whether it will do. */
static void test_verify(void)
{
    static const struct {
        const char *base;
        bool there;
    } found[] = {
        {"", false},
        {"bitmap base n stored recording 65536 131072\n", true},
        {"bitmap base n stored recording 32768 131072\n", true},
        {"bitmap base n stored recording 4096 1000000\n", true},
        /* the last bit of a coarse one may lie beyond the end */
        {"bitmap base n stored recording 4096 69632\n", true},
        {"bitmap base n stored recording 4096 61440\n", false},
        {"bitmap base n stored 65536 131072\n", false},
        {"bitmap base n recording 65536 131072\n", false},
        {"bitmap base n stored recording inconsistent 65536 131072\n", false},
        {"bitmap base m stored recording 65536 131072\n", false},
    };
    g_autoptr(Graph) before = make_graph(CHAIN "bitmap top n stored recording 65536 131072\n"
                                               "bitmap top w stored inconsistent\n");
    g_autoptr(BitmapPlan) p = plan(before, "top", true);

    for (size_t i = 0; i < G_N_ELEMENTS(found); i++) {
        g_autofree char *text = g_strconcat(CHAIN, found[i].base, NULL);
        g_autoptr(Graph) g = make_graph(text);
        const BitmapItem *missing = bitmap_plan_find_missing(p, g, "base");

        g_test_message("%s", found[i].base);
        g_assert_true((missing == NULL) == found[i].there);
    }
    g_assert_nonnull(bitmap_plan_find_missing(p, before, "none"));
}

static void test_texts(void)
{
    for (unsigned i = 0; i < BITMAP_FATE_MAX_; i++)
        g_assert_cmpstr(bitmap_fate_to_text((BitmapFate)i), !=, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/bitmap/fate/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], test_case);
    }
    g_test_add_func("/bitmap/others-stay", test_others);
    g_test_add_func("/bitmap/names", test_names);
    g_test_add_func("/bitmap/sizes", test_sizes);
    g_test_add_func("/bitmap/many", test_many);
    g_test_add_func("/bitmap/long-names", test_long);
    g_test_add_func("/bitmap/no-chain", test_no_chain);
    g_test_add_func("/bitmap/verify", test_verify);
    g_test_add_func("/bitmap/texts", test_texts);
    return g_test_run();
}
