/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bitmap.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "chain.h"

/* Bytes of the command: for a bitmap, and for each source of it, without names. */
#define COST_ITEM 256
#define COST_SOURCE 48

/* An item while the images are gone through. */
typedef struct Draft {
    bool busy;
    bool misfit; /* of another size than the base will have */
    bool deep;   /* an image below the top has it */
} Draft;

typedef struct Judging {
    BitmapPlan *plan;
    Draft drafts[BITMAPS_MAX + 1];
    const GraphVertex *base;
    uint64_t size; /* that the base will have */
    bool running;
    size_t cost;
} Judging;

static const char *const texts[] = {
    [BITMAP_RECORDED] = "the base's own bitmap marks all that is committed",
    [BITMAP_CARRIED] = "it is carried into the base",
    [BITMAP_WORTHLESS] = "it is inconsistent, and of no use already",
    [BITMAP_LOST_FORMAT] =
        "the base cannot store bitmaps: that takes a qcow2 image with compat=1.1",
    [BITMAP_LOST_TRANSIENT] = "the base has a bitmap of that name that is not stored",
    [BITMAP_LOST_INCONSISTENT] =
        "the base has an inconsistent bitmap of that name, which has to be "
        "removed first (block-dirty-bitmap-remove)",
    [BITMAP_LOST_BUSY] = "a backup or an export uses it, or the base's bitmap of that name; end "
                         "that first",
    [BITMAP_LOST_SIZE] = "its image and the base are of different sizes",
    [BITMAP_LOST_UNRECORDED] = "it came up while the job ran, and what had been written before is "
                               "not known; start the job again",
    [BITMAP_LOST_MANY] = "there are too many bitmaps to carry them at once",
};
static_assert(ELEMENTSOF(texts) == BITMAP_FATE_MAX_, "each fate has a text");

const char *bitmap_fate_to_text(BitmapFate fate)
{
    assert(fate < BITMAP_FATE_MAX_);
    return texts[fate];
}

bool bitmap_fate_is_lost(BitmapFate fate)
{
    return fate >= BITMAP_LOST_FORMAT;
}

BitmapPlan *bitmap_plan_free(BitmapPlan *p)
{
    if (!p)
        return NULL;

    for (size_t i = 0; i < p->n; i++) {
        BitmapItem *item = &p->items[i];

        free(item->name);
        free(item->image);
        for (size_t k = 0; k < item->n_sources; k++)
            free(item->sources[k]);
        free(item->sources);
    }
    free(p->items);
    free(p);
    return NULL;
}

/* The item of that name, or a new one; the last that there is room for stands for all the others.
 */
static BitmapItem *find_item(BitmapPlan *p, const char *name)
{
    for (size_t i = 0; i < p->n; i++)
        if (strcmp(p->items[i].name, name) == 0)
            return &p->items[i];
    return &p->items[p->n <= BITMAPS_MAX ? p->n : BITMAPS_MAX];
}

static int start_item(BitmapPlan *p, const GraphVertex *image, const GraphBitmap *b, size_t depth)
{
    BitmapItem *item = &p->items[p->n++];

    item->fate = p->n <= BITMAPS_MAX ? BITMAP_WORTHLESS : BITMAP_LOST_MANY;
    item->name = strdup(b->name);
    item->image = strdup(image->file);
    item->sources = calloc(depth, sizeof(char *));
    return item->name && item->image && item->sources ? 0 : -ENOMEM;
}

/* One bitmap of one image; depth: how many images there are, at most, that may have it. */
static int take(Judging *j, const GraphVertex *image, const GraphBitmap *b, size_t index,
                size_t depth)
{
    BitmapItem *item = find_item(j->plan, b->name);
    Draft *draft = &j->drafts[item - j->plan->items];

    if (!item->name) {
        int r = start_item(j->plan, image, b, depth);
        if (r < 0)
            return r;
    }
    if (b->inconsistent || item->fate == BITMAP_LOST_MANY)
        return 0;

    char *node = strdup(image->name);
    if (!node)
        return -ENOMEM;
    item->sources[item->n_sources++] = node;
    item->persistent = item->persistent || b->persistent;
    item->recording = item->recording || b->recording;
    if (item->n_sources == 1 || b->granularity < item->granularity)
        item->granularity = b->granularity;
    if (b->count > item->least)
        item->least = b->count;
    if (b->granularity > item->slack)
        item->slack = b->granularity;
    draft->busy = draft->busy || b->busy;
    draft->misfit = draft->misfit || image->size != j->size;
    draft->deep = draft->deep || index > 0;
    return 0;
}

static int gather(Judging *j, const Graph *g, const Chain *chain, size_t base)
{
    for (size_t i = 0; i < base; i++) {
        const GraphVertex *image = graph_find(g, GRAPH_NODE, chain->images[i].node);

        for (size_t k = 0; k < image->n_bitmaps; k++) {
            const GraphBitmap *b = &image->bitmaps[k];
            int r = strcmp(b->name, BITMAP_RECORDER) != 0 ? take(j, image, b, i, base) : 0;

            if (r < 0)
                return r;
        }
    }
    return 0;
}

static size_t count_cost(const BitmapItem *item)
{
    size_t cost = COST_ITEM + 2 * strlen(item->name);

    for (size_t i = 0; i < item->n_sources; i++)
        cost += COST_SOURCE + strlen(item->name) + strlen(item->sources[i]);
    return cost;
}

static BitmapFate judge(const Judging *j, const BitmapItem *item, const Draft *draft)
{
    const GraphBitmap *own = graph_find_bitmap(j->base, item->name);
    const GraphBitmap *recorder = graph_find_bitmap(j->base, BITMAP_RECORDER);

    if (item->fate == BITMAP_LOST_MANY)
        return BITMAP_LOST_MANY;
    if (item->n_sources == 0)
        return BITMAP_WORTHLESS;
    if (own && own->inconsistent)
        return BITMAP_LOST_INCONSISTENT;
    if (own && item->persistent && !own->persistent)
        return BITMAP_LOST_TRANSIENT;
    if (own && own->recording)
        return BITMAP_RECORDED;
    if (!own && item->persistent && !j->base->stores_bitmaps)
        return BITMAP_LOST_FORMAT;
    if (draft->busy || (own && own->busy))
        return BITMAP_LOST_BUSY;
    if (draft->misfit)
        return BITMAP_LOST_SIZE;
    if (item->recorder && j->running && !(recorder && recorder->recording))
        return BITMAP_LOST_UNRECORDED;
    return j->cost + count_cost(item) <= BITMAPS_COMMAND_MAX ? BITMAP_CARRIED : BITMAP_LOST_MANY;
}

static void judge_all(Judging *j)
{
    for (size_t i = 0; i < j->plan->n; i++) {
        BitmapItem *item = &j->plan->items[i];
        const GraphBitmap *own = graph_find_bitmap(j->base, item->name);

        item->missing = !own;
        item->recorder = item->recording && (own || j->drafts[i].deep);
        item->fate = judge(j, item, &j->drafts[i]);
        if (item->fate != BITMAP_CARRIED)
            continue;
        j->cost += count_cost(item);
        j->plan->carries = true;
        j->plan->recorder = j->plan->recorder || item->recorder;
    }
}

int bitmap_plan_new(const Graph *g, const char *top, const char *base, bool running,
                    BitmapPlan **ret)
{
    _cleanup_(bitmap_plan_freep) BitmapPlan *p = calloc(1, sizeof(BitmapPlan));
    _cleanup_(freep) Judging *j = calloc(1, sizeof(Judging));
    _cleanup_(chain_freep) Chain *chain = NULL;

    if (!p || !j)
        return -ENOMEM;
    p->items = calloc(BITMAPS_MAX + 1, sizeof(BitmapItem));
    if (!p->items)
        return -ENOMEM;

    int r = chain_new_from_graph(g, top, &chain);
    if (r < 0)
        return r;
    int n = chain_find_node(chain, base);
    if (n <= 0)
        return -ENOENT;

    *j = (Judging){
        .plan = p,
        .base = graph_find(g, GRAPH_NODE, base),
        .size = chain->images[0].size > chain->images[n].size ? chain->images[0].size
                                                              : chain->images[n].size,
        .running = running,
    };
    r = gather(j, g, chain, (size_t)n);
    if (r < 0)
        return r;
    judge_all(j);
    *ret = TAKE_PTR(p);
    return 0;
}

const BitmapItem *bitmap_plan_find_lost(const BitmapPlan *p)
{
    for (size_t i = 0; i < p->n; i++)
        if (bitmap_fate_is_lost(p->items[i].fate))
            return &p->items[i];
    return NULL;
}

static bool is_there(const BitmapItem *item, const GraphVertex *base)
{
    const GraphBitmap *b = graph_find_bitmap(base, item->name);

    return b && !b->inconsistent && (b->persistent || !item->persistent) &&
           (b->recording || !item->recording) && b->count + item->slack >= item->least;
}

const BitmapItem *bitmap_plan_find_missing(const BitmapPlan *p, const Graph *g, const char *base)
{
    const GraphVertex *v = graph_find(g, GRAPH_NODE, base);

    for (size_t i = 0; i < p->n; i++)
        if (p->items[i].fate == BITMAP_CARRIED && !(v && is_there(&p->items[i], v)))
            return &p->items[i];
    return NULL;
}
