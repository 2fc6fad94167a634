/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is put on record: each makes the new record of a disk from the one before, and writes it.
 */
#include "ledger.h"

#include <errno.h>
#include <string.h>

#include "ledger-internal.h"
#include "ledger-revise.h"
#include "ledger-together.h"

static bool holds_stale(const Ledger *l, const char *vm, const Chain *chain)
{
    for (size_t i = 0; i < chain->n; i++)
        if (ledger_find_stale(l, vm, chain->images[i].file))
            return true;
    return false;
}

/* What is stale stays so, whoever has the images that are in use now. */
static void keep_only_stale(Ledger *l, size_t i)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = ledger_group_copy(l->groups[i]);
    if (!g)
        return;

    for (size_t k = g->n_images; k-- > 0;)
        if (g->images[k].state == LEDGER_ACTIVE || g->images[k].state == LEDGER_BASE)
            ledger_group_remove(g, &g->images[k]);
    if (g->n_images == 0)
        ledger_drop_at(l, i);
    else if (ledger_replace(l, g) >= 0)
        TAKE_PTR(g);
}

/* The overlay has moved here: from a VM that had another name, or a disk that had. */
static void drop_superseded(Ledger *l, const LedgerGroup *g)
{
    const LedgerImage *active = ledger_group_find_active(g);

    for (size_t i = l->n; active && i-- > 0;) {
        const LedgerGroup *other = l->groups[i];
        const LedgerImage *theirs = other != g ? ledger_group_find_active(other) : NULL;

        if (theirs && ledger_is_absolute(active->file) && strcmp(theirs->file, active->file) == 0 &&
            strcmp(other->instance, g->instance) != 0 && other->n_images > 1)
            keep_only_stale(l, i);
    }
}

static bool is_same(const LedgerGroup *a, const LedgerGroup *b)
{
    _cleanup_(freep) char *x = ledger_group_to_text(a), *y = ledger_group_to_text(b);

    return x && y && strcmp(x, y) == 0;
}

/* Writes the group unless the record says the same already. Takes it in any case. */
static int note(Ledger *l, LedgerGroup *group)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = group;
    const LedgerGroup *before = ledger_find(l, g->vm, g->disk);

    if (before && is_same(before, g))
        return 0;
    int r = ledger_replace(l, g);
    if (r >= 0)
        drop_superseded(l, TAKE_PTR(g));
    return r;
}

int ledger_note_chain(Ledger *l, const LedgerDisk *disk, const Chain *chain)
{
    const LedgerGroup *before = ledger_find(l, disk->vm, disk->disk);
    LedgerGroup *g;

    if (chain->n == 0)
        return 0;
    if ((!before || strcmp(before->instance, disk->instance) != 0) &&
        holds_stale(l, disk->vm, chain))
        return -ESTALE;

    int r = ledger_revise(before, disk, chain, &g);
    return r < 0 ? r : note(l, g);
}

/* The record as it is after a handover. */
static int make_pivoted(const Ledger *l, const char *vm, const LedgerPivot *pivot,
                        LedgerState state, LedgerGroup **ret)
{
    const LedgerGroup *before = ledger_find(l, vm, pivot->disk);
    _cleanup_(ledger_group_freep) LedgerGroup *g = before ? ledger_group_copy(before) : NULL;
    _cleanup_(freep) char *base = ledger_image_key(pivot->base_file);
    if (!before)
        return -ENOENT;
    if (!g || !base)
        return -ENOMEM;

    int r = ledger_mark_merged(g, base, state, pivot->since_usec);
    if (r >= 0)
        *ret = TAKE_PTR(g);
    return r;
}

int ledger_note_pivot(Ledger *l, const char *vm, const LedgerPivot *pivot, bool merging)
{
    LedgerGroup *g;

    int r = make_pivoted(l, vm, pivot, merging ? LEDGER_MERGING : LEDGER_STALE, &g);
    return r < 0 ? r : note(l, g);
}

int ledger_prepare_pivot(Ledger *l, const char *vm, const LedgerPivot *pivot)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;

    int r = make_pivoted(l, vm, pivot, LEDGER_STALE, &g);
    return r < 0 ? r : ledger_file_save_ahead(&l->files, g);
}

static void free_groups(LedgerGroup **groups, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ledger_group_free(groups[i]);
    free(groups);
}

/* What was on record together before is settled first: there is one file for it. */
static int make_all_pivoted(Ledger *l, const char *vm, const LedgerPivot *pivots, size_t n,
                            LedgerGroup ***ret)
{
    LedgerGroup **groups;
    int r = ledger_settle_together(l);
    if (r < 0)
        return r;

    groups = calloc(n, sizeof(LedgerGroup *));
    r = groups ? 0 : -ENOMEM;
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = make_pivoted(l, vm, &pivots[i], LEDGER_STALE, &groups[i]);
    if (r < 0 && groups)
        free_groups(groups, n);
    else if (r >= 0)
        *ret = groups;
    return r;
}

int ledger_note_pivots(Ledger *l, const char *vm, const LedgerPivot *pivots, size_t n)
{
    LedgerGroup **groups;
    int r = make_all_pivoted(l, vm, pivots, n, &groups);
    if (r < 0)
        return r;

    r = ledger_together_save(&l->files, groups, n);
    /* Late failures have given the new file its name already: nobody must find it. */
    if (r < 0)
        (void)ledger_together_remove(&l->files);
    /* Each is on record before: there is room for it. */
    for (size_t i = 0; r >= 0 && i < n; i++)
        (void)ledger_install_unsaved(TAKE_PTR(groups[i]), l);
    free_groups(groups, n);
    return r;
}

int ledger_prepare_pivots(Ledger *l, const char *vm, const LedgerPivot *pivots, size_t n)
{
    LedgerGroup **groups;
    int r = make_all_pivoted(l, vm, pivots, n, &groups);
    if (r < 0)
        return r;

    r = ledger_together_save_ahead(&l->files, groups, n);
    free_groups(groups, n);
    return r;
}

int ledger_note_end(Ledger *l, const LedgerDisk *disk, const Chain *chain, bool merged,
                    const LedgerJob *last)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;

    int r = ledger_revise_end(ledger_find(l, disk->vm, disk->disk), disk, chain, merged, &g);
    if (r < 0)
        return r;
    r = ledger_group_set_last(g, last);
    return r < 0 ? r : note(l, TAKE_PTR(g));
}

typedef enum JobMark {
    JOB_MARK_READY,
    JOB_MARK_ABORT,
    JOB_MARK_PIVOT,
    JOB_MARK_HELD,
    JOB_MARK_THROTTLE,
} JobMark;

static char **mark_of(LedgerGroup *g, JobMark mark)
{
    switch (mark) {
    case JOB_MARK_READY:
        return &g->ready_job;
    case JOB_MARK_ABORT:
        return &g->abort_job;
    case JOB_MARK_PIVOT:
        return &g->pivot_job;
    case JOB_MARK_HELD:
        return &g->held_job;
    case JOB_MARK_THROTTLE:
        return &g->throttle;
    }
    return NULL;
}

static int make_marked(const Ledger *l, const char *vm, const char *disk, JobMark mark,
                       const char *job, LedgerGroup **ret)
{
    const LedgerGroup *before = ledger_find(l, vm, disk);
    _cleanup_(ledger_group_freep) LedgerGroup *g = before ? ledger_group_copy(before) : NULL;
    if (!before)
        return -ENOENT;
    if (!g)
        return -ENOMEM;

    char **field = mark_of(g, mark);
    free(*field);
    *field = job ? strdup(job) : NULL;
    if (job && !*field)
        return -ENOMEM;
    *ret = TAKE_PTR(g);
    return 0;
}

static int note_mark(Ledger *l, const char *vm, const char *disk, JobMark mark, const char *job)
{
    LedgerGroup *g;

    int r = make_marked(l, vm, disk, mark, job, &g);
    return r < 0 ? r : note(l, g);
}

int ledger_note_ready(Ledger *l, const char *vm, const char *disk, const char *job)
{
    return note_mark(l, vm, disk, JOB_MARK_READY, job);
}

int ledger_note_abort(Ledger *l, const char *vm, const char *disk, const char *job)
{
    return note_mark(l, vm, disk, JOB_MARK_ABORT, job);
}

int ledger_note_wish(Ledger *l, const char *vm, const char *disk, const char *job)
{
    return note_mark(l, vm, disk, JOB_MARK_PIVOT, job);
}

int ledger_note_held(Ledger *l, const char *vm, const char *disk, const char *job)
{
    return note_mark(l, vm, disk, JOB_MARK_HELD, job);
}

int ledger_prepare_held(Ledger *l, const char *vm, const char *disk, const char *job)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;

    int r = make_marked(l, vm, disk, JOB_MARK_HELD, job, &g);
    return r < 0 ? r : ledger_file_save_ahead(&l->files, g);
}

int ledger_note_throttle(Ledger *l, const char *vm, const char *disk, const char *limits)
{
    return note_mark(l, vm, disk, JOB_MARK_THROTTLE, limits);
}
