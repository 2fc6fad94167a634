/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-check.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "bitmap.h"
#include "commit-internal.h"
#include "room.h"
#include "group.h"
#include "text.h"

static const char *const becomes_words[] = {
    [CHECK_UNCHANGED] = "unchanged", [CHECK_WRITTEN] = "written", [CHECK_REWRITTEN] = "rewritten",
    [CHECK_UNUSED] = "unused",       [CHECK_STALE] = "stale",
};
static_assert(ELEMENTSOF(becomes_words) == CHECK_BECOMES_MAX_, "each end of an image has a word");

const char *check_becomes_to_string(CheckBecomes becomes)
{
    assert(becomes < CHECK_BECOMES_MAX_);
    return becomes_words[becomes];
}

static void texts_done(CheckTexts *t)
{
    for (size_t i = 0; i < t->n; i++)
        free(t->items[i]);
    free(t->items);
}

CommitReport *commit_report_free(CommitReport *r)
{
    if (!r)
        return NULL;

    refusal_done(&r->refusal);
    refusal_done(&r->together);
    texts_done(&r->obstacles);
    texts_done(&r->warnings);
    texts_done(&r->commands);
    texts_done(&r->other_overlays);
    texts_done(&r->bitmaps_kept);
    texts_done(&r->bitmaps_lost);
    free(r->becomes);
    free(r);
    return NULL;
}

bool commit_report_is_possible(const CommitReport *r)
{
    return r->refusal.kind == REFUSAL_NONE && r->obstacles.n == 0;
}

/* Takes the text; NULL is want of memory. */
static int texts_add(CheckTexts *t, char *text)
{
    char **grown = text ? reallocarray(t->items, t->n + 1, sizeof(char *)) : NULL;

    if (!grown) {
        free(text);
        return -ENOMEM;
    }
    t->items = grown;
    t->items[t->n++] = text;
    return 0;
}

static CheckBecomes image_becomes(const CommitOptions *o, const CommitRange *range, size_t i)
{
    if (i == range->base)
        return CHECK_WRITTEN;
    if (i >= range->top && i < range->base)
        return !o->active                         ? CHECK_UNUSED
               : o->on_ready == JOB_ON_READY_KEEP ? CHECK_UNCHANGED
                                                  : CHECK_STALE;
    return i + 1 == range->top ? CHECK_REWRITTEN : CHECK_UNCHANGED;
}

static int set_becomes(CommitReport *r, const CommitOptions *o)
{
    const Chain *chain = disk_chain(r->disk);

    r->becomes = calloc(chain->n, sizeof(CheckBecomes));
    if (!r->becomes)
        return -ENOMEM;
    for (size_t i = 0; i < chain->n; i++)
        r->becomes[i] = image_becomes(o, &r->range, i);
    return 0;
}

/* What the images take where they are stored, but not more than the disk has. */
static void estimate_copy(CommitReport *r, const Graph *g)
{
    const Chain *chain = disk_chain(r->disk);
    uint64_t most = chain->images[r->range.top].size, sum = 0;

    for (size_t i = r->range.top; i < r->range.base && sum < most; i++) {
        const GraphVertex *v = graph_find(g, GRAPH_NODE, chain->images[i].node);
        uint64_t allocated = v && v->allocated > 0 ? v->allocated : most;

        sum = allocated < most - sum ? sum + allocated : most;
    }
    r->bytes_to_copy = sum;
}

/* Whether the base can hold what comes. QEMU makes it as large as the top. */
static int look_at_base(CommitReport *r, const Graph *g)
{
    const Chain *chain = disk_chain(r->disk);
    const ChainImage *base = &chain->images[r->range.base];
    const GraphVertex *v = graph_find(g, GRAPH_NODE, base->node);
    uint64_t wanted = chain->images[r->range.top].size;

    r->grows_to = wanted > base->size ? wanted : 0;
    r->room = v ? room_of_image(g, v) : 0;
    if (r->room > 0 && r->room < wanted)
        return texts_add(&r->warnings,
                         text_format("The device that the base '%s' is on has %" PRIu64
                                     " bytes, less than the %" PRIu64 " of the disk.",
                                     disk_image_label(r->disk, base), r->room, wanted));
    return 0;
}

static int find_overlays(CommitReport *r, const CommitOptions *o)
{
    const LedgerGroup *users[CHECK_OVERLAYS_MAX];
    const Vm *vm = disk_vm(r->disk);
    const Chain *chain = disk_chain(r->disk);
    size_t n = ledger_find_overlays(vm_ledger(vm), vm_name(vm), disk_name(r->disk), chain,
                                    chain->images[r->range.base].file, users, CHECK_OVERLAYS_MAX);

    for (size_t i = 0; i < n; i++) {
        int k = texts_add(&r->other_overlays, text_format("%s/%s", users[i]->vm, users[i]->disk));
        if (k < 0)
            return k;
    }
    if (n > 0 && o->override)
        return texts_add(&r->warnings,
                         strdup("Other overlays are above the base (other-overlays). Their content "
                                "is lost with this commit."));
    return 0;
}

static int add_bitmap(CommitReport *r, const BitmapItem *item)
{
    if (item->fate == BITMAP_WORTHLESS)
        return 0;
    if (bitmap_fate_is_lost(item->fate))
        return texts_add(&r->bitmaps_lost,
                         text_format("%s: %s", item->name, bitmap_fate_to_text(item->fate)));
    return texts_add(&r->bitmaps_kept, strdup(item->name));
}

static int look_at_bitmaps(CommitReport *r, const CommitOptions *o, const Graph *g)
{
    _cleanup_(bitmap_plan_freep) BitmapPlan *plan = NULL;
    const ChainImage *images = disk_chain(r->disk)->images;

    /* What is kept on the overlay keeps its bitmaps. */
    if (o->active && o->on_ready == JOB_ON_READY_KEEP)
        return 0;
    int k = bitmap_plan_new(g, images[r->range.top].node, images[r->range.base].node,
                            /* running= */ false, &plan);
    for (size_t i = 0; k >= 0 && i < plan->n; i++)
        k = add_bitmap(r, &plan->items[i]);
    return k;
}

/* What may end badly, and nobody can tell before. */
static int warn(CommitReport *r, const CommitOptions *o)
{
    const Vm *vm = disk_vm(r->disk);
    const ChainImage *base = &disk_chain(r->disk)->images[r->range.base];
    _cleanup_(freep) char *user = vm_find_image_user(vm, r->disk, base->node);

    if (user) {
        int k = texts_add(&r->warnings,
                          text_format("The base '%s' is open elsewhere.%s QEMU refuses the commit "
                                      "while that holds a lock on the file.",
                                      disk_image_label(r->disk, base), user));
        if (k < 0)
            return k;
    }
    if (r->active && o->on_ready != JOB_ON_READY_KEEP && disk_has_export(r->disk, vm_graph(vm))) {
        int k = texts_add(&r->warnings,
                          strdup("The disk is exported. Let no client connect while it is pivoted: "
                                 "QEMU may lose what one writes that connects in that instant."));
        if (k < 0)
            return k;
    }
    if (r->active && disk_is_unrecorded(r->disk))
        return texts_add(&r->warnings,
                         strdup("The image record cannot be written: a pivot would end with the "
                                "guest on the overlay."));
    return 0;
}

static int describe(CommitReport *r, const CommitOptions *o)
{
    const Graph *g = vm_graph(disk_vm(r->disk));

    int k = set_becomes(r, o);
    if (k < 0)
        return k;
    estimate_copy(r, g);
    k = look_at_base(r, g);
    if (k < 0)
        return k;
    k = look_at_bitmaps(r, o, g);
    if (k < 0)
        return k;
    k = find_overlays(r, o);
    return k < 0 ? k : warn(r, o);
}

static int on_command(const char *text, void *userdata)
{
    CommitReport *r = userdata;

    return texts_add(&r->commands, strdup(text));
}

/* The answer that the commit would get: a job in the way comes first. */
static int judge(CommitReport *r, Disk *d, const CommitOptions *o, uid_t uid)
{
    CommitPlan plan = {};
    Refusal refusal = {REFUSAL_NONE, NULL};
    int k = 0;

    commit_plan(d, o, &refusal, &plan);
    plan.uid = uid;
    if (!disk_refuses_second_job(d, &r->refusal))
        r->refusal = refusal;
    else if (refusal.text)
        k = texts_add(&r->obstacles, refusal.text);

    if (r->refusal.kind == REFUSAL_NO_MEMORY)
        k = -ENOMEM;
    if (k >= 0 && r->refusal.kind == REFUSAL_NONE)
        k = commit_rehearse(d, &plan, on_command, r);
    r->left_out = group_leaves_out(d, r->refusal.kind);
    if (r->refusal.kind == REFUSAL_NONE)
        (void)group_refuse_disk(d, o->active, &r->together);
    commit_plan_done(&plan);
    return k;
}

int commit_check(Disk *d, const CommitOptions *options, uid_t uid, CommitReport **ret)
{
    _cleanup_(commit_report_freep) CommitReport *r = calloc(1, sizeof(CommitReport));
    Refusal refusal = {REFUSAL_NONE, NULL};
    if (!r)
        return -ENOMEM;

    r->disk = d;
    r->active = options->active;
    r->resolved = commit_resolve(d, options, &r->range, &refusal);
    refusal_done(&refusal);
    int k = judge(r, d, options, uid);
    if (k >= 0 && r->resolved)
        k = describe(r, options);
    if (k < 0)
        return k;

    *ret = TAKE_PTR(r);
    return 0;
}
