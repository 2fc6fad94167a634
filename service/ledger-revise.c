/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger-revise.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>
#include <time.h>

#include "frame.h"
#include "json.h"
#include "text.h"

static uint64_t now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

char *ledger_image_key(const char *file)
{
    const char *name = file;

    if (!text_has_prefix(file, "json:"))
        return strdup(file);

    /* The backing images are in it, too, each a level deeper. */
    json_tokener *tokener = json_tokener_new_ex(FRAME_DEPTH_MAX);
    if (!tokener)
        return NULL;
    json_object *o = json_tokener_parse_ex(tokener, file + strlen("json:"), -1), *below = o;
    json_tokener_free(tokener);
    while (below && json_get_string(below, "filename", &name) < 0)
        if (json_get_object(below, "file", &below) < 0)
            below = NULL;
    char *key = strdup(below ? name : file);
    json_object_put(o);
    return key;
}

/* Stale images of the earlier record that the chain does not hold stay on record. What was merging
 * and is not in the chain any more has been merged. */
static int keep_stale(LedgerGroup *g, const LedgerGroup *before)
{
    size_t kept = 0;

    for (size_t i = 0; i < before->n_images && kept < LEDGER_STALE_MAX; i++) {
        const LedgerImage *image = &before->images[i];
        bool stale = image->state == LEDGER_STALE || image->state == LEDGER_MERGING;

        if (!stale || ledger_group_find(g, image->file))
            continue;
        kept++;
        int r =
            ledger_group_add(g, image->file, LEDGER_STALE, image->since_usec, image->use_instead);
        if (r < 0)
            return r;
    }
    return 0;
}

int ledger_revise(const LedgerGroup *before, const LedgerDisk *disk, const Chain *chain,
                  LedgerGroup **ret)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g =
        ledger_group_new(disk->vm, disk->disk, disk->instance);
    if (!g)
        return -ENOMEM;
    for (size_t i = 0; i < disk->n_keys; i++) {
        int k = ledger_group_add_key(g, disk->keys[i]);
        if (k < 0)
            return k;
    }

    for (size_t i = 0; i < chain->n; i++) {
        _cleanup_(freep) char *key = ledger_image_key(chain->images[i].file);
        const LedgerImage *known = before && key ? ledger_group_find(before, key) : NULL;
        LedgerState state = i == 0 ? LEDGER_ACTIVE : LEDGER_BASE;
        bool same = known && known->state == state;

        if (!key)
            return -ENOMEM;
        if (ledger_group_find(g, key))
            continue;
        int r = ledger_group_add(g, key, state, same ? known->since_usec : now_usec(), NULL);
        if (r < 0)
            return r;
    }
    if (before) {
        int r = keep_stale(g, before);
        if (r < 0)
            return r;
        g->ready_job = before->ready_job ? strdup(before->ready_job) : NULL;
        g->abort_job = before->abort_job ? strdup(before->abort_job) : NULL;
        g->pivot_job = before->pivot_job ? strdup(before->pivot_job) : NULL;
        g->held_job = before->held_job ? strdup(before->held_job) : NULL;
        /* Limits of a process that is gone. */
        if (before->throttle && strcmp(before->instance, disk->instance) == 0) {
            g->throttle = strdup(before->throttle);
            if (!g->throttle)
                return -ENOMEM;
        }
        r = ledger_group_set_last(g, &before->last);
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(g);
    return 0;
}

int ledger_mark_merged(LedgerGroup *g, const char *base, LedgerState state, uint64_t since_usec)
{
    for (size_t i = 0; i < g->n_images; i++) {
        LedgerImage *image = &g->images[i];

        if (text_same_path(image->file, base)) {
            image->state = state == LEDGER_STALE ? LEDGER_ACTIVE : LEDGER_BASE;
            return 0;
        }
        if (image->state == LEDGER_STALE)
            continue;
        image->state = state;
        image->since_usec = since_usec;
        free(image->use_instead);
        image->use_instead = strdup(base);
        if (!image->use_instead)
            return -ENOMEM;
    }
    return -ENOENT;
}

int ledger_revise_end(const LedgerGroup *before, const LedgerDisk *disk, const Chain *chain,
                      bool merged, LedgerGroup **ret)
{
    _cleanup_(ledger_group_freep) LedgerGroup *marked = before ? ledger_group_copy(before) : NULL;

    if (before && !marked)
        return -ENOMEM;
    if (!chain) {
        *ret = TAKE_PTR(marked);
        return *ret ? 0 : -ENOENT;
    }
    if (marked && merged && chain->n > 0) {
        _cleanup_(freep) char *base = ledger_image_key(chain->images[0].file);
        int r = base ? ledger_mark_merged(marked, base, LEDGER_STALE, now_usec()) : -ENOMEM;
        if (r == -ENOMEM)
            return r;
    }
    return ledger_revise(marked, disk, chain, ret);
}
