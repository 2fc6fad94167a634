/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "drive.h"
#include "ledger-file.h"
#include "ledger-group.h"
#include "ledger-revise.h"
#include "ledger-together.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"

struct Ledger {
    int directory;
    LedgerGroup **groups;
    size_t n;
    bool together; /* some groups are on record together, and unsaved */
};

static bool is_absolute(const char *file)
{
    return *file == '/' || strchr(file, ':');
}

/* Whether a name on record for one VM means the file that another VM names. */
static bool same_scope(const LedgerGroup *g, const char *vm, const char *file)
{
    return is_absolute(file) || strcmp(g->vm, vm) == 0;
}

static size_t find_index(const Ledger *l, const char *vm, const char *disk)
{
    size_t i = 0;

    while (i < l->n && (strcmp(l->groups[i]->vm, vm) != 0 || strcmp(l->groups[i]->disk, disk) != 0))
        i++;
    return i;
}

static void drop_at(Ledger *l, size_t i)
{
    ledger_file_remove(l->directory, l->groups[i]);
    ledger_group_free(l->groups[i]);
    l->n--;
    memmove(&l->groups[i], &l->groups[i + 1], (l->n - i) * sizeof(LedgerGroup *));
}

/* What is on record together goes into the files of the disks: before that, nothing newer may. */
static int settle_together(Ledger *l)
{
    for (size_t i = 0; l->together && i < l->n; i++) {
        int r = l->groups[i]->unsaved ? ledger_file_save(l->directory, l->groups[i]) : 0;
        if (r < 0)
            return r;
        l->groups[i]->unsaved = false;
    }
    int r = l->together ? ledger_together_remove(l->directory) : 0;
    if (r >= 0)
        l->together = false;
    return r;
}

static int make_room(Ledger *l)
{
    LedgerGroup **grown = reallocarray(l->groups, l->n + 1, sizeof(LedgerGroup *));

    if (grown)
        l->groups = grown;
    return grown ? 0 : -ENOMEM;
}

/* Writes the group, then puts it in the place of the one before. Takes it on success. */
static int replace(Ledger *l, LedgerGroup *g)
{
    size_t i = find_index(l, g->vm, g->disk);

    int r = settle_together(l);
    if (r >= 0 && i == l->n)
        r = make_room(l);
    if (r < 0)
        return r;

    r = ledger_file_save(l->directory, g);
    /* A write that failed late has given the new file its name already: a process that follows must
     * not read there what nobody has believed. */
    if (r < 0 && i < l->n)
        (void)ledger_file_save(l->directory, l->groups[i]);
    if (r < 0)
        return r;

    if (i == l->n)
        l->n++;
    else
        ledger_group_free(l->groups[i]);
    l->groups[i] = g;
    while (l->n > LEDGER_GROUPS_MAX)
        drop_at(l, 0);
    return 0;
}

static int load(Ledger *l, const char *name)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;

    int r = ledger_file_load(l->directory, name, &g);
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        log_line(LOG_ERR, &(LogContext){.message_id = MESSAGE_LEDGER_DAMAGED, .detail = name},
                 "The image record %s cannot be read: %s. What it said about one disk's images is "
                 "not known; check which image to boot before that VM is started again",
                 name, r == -EBADMSG ? "it is damaged" : strerror(-r));
        return 0;
    }

    r = make_room(l);
    if (r >= 0)
        l->groups[l->n++] = TAKE_PTR(g);
    return r;
}

/* Puts the group, which is on record already, in the place of the one before; takes it. */
static int install_unsaved(LedgerGroup *group, void *userdata)
{
    Ledger *l = userdata;
    _cleanup_(ledger_group_freep) LedgerGroup *g = group;
    size_t i = find_index(l, g->vm, g->disk);

    int r = i == l->n ? make_room(l) : 0;
    if (r < 0)
        return r;
    if (i == l->n)
        l->n++;
    else
        ledger_group_free(l->groups[i]);
    g->unsaved = l->together = true;
    l->groups[i] = TAKE_PTR(g);
    return 0;
}

/* What was written together last may not have reached the files of the disks. */
static int load_together(Ledger *l)
{
    int r = ledger_together_load(l->directory, install_unsaved, l);

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        log_line(LOG_ERR, &(LogContext){.message_id = MESSAGE_LEDGER_DAMAGED, .detail = "together"},
                 "The image record of disks that were handed over together cannot be read: %s. "
                 "Check which images to boot before that VM is started again",
                 r == -EBADMSG ? "it is damaged" : strerror(-r));
    /* What cannot be written now is written before the next change. */
    (void)settle_together(l);
    return 0;
}

static int load_all(Ledger *l)
{
    int fd = dup(l->directory);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    int r = 0;

    if (!directory) {
        if (fd >= 0)
            close(fd);
        return -errno;
    }
    while (r >= 0 && (entry = readdir(directory)))
        if (ledger_file_is_name(entry->d_name))
            r = load(l, entry->d_name);
    closedir(directory);
    return r;
}

int ledger_new(const char *directory, Ledger **ret)
{
    _cleanup_(ledger_freep) Ledger *l = calloc(1, sizeof(Ledger));
    if (!l)
        return -ENOMEM;

    l->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->directory < 0)
        return -errno;
    int r = load_all(l);
    if (r >= 0)
        r = load_together(l);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(l);
    return 0;
}

Ledger *ledger_free(Ledger *l)
{
    if (!l)
        return NULL;

    for (size_t i = 0; i < l->n; i++)
        ledger_group_free(l->groups[i]);
    free(l->groups);
    if (l->directory >= 0)
        close(l->directory);
    free(l);
    return NULL;
}

const LedgerGroup *ledger_next(const Ledger *l, const LedgerGroup *previous)
{
    size_t i = previous ? find_index(l, previous->vm, previous->disk) + 1 : 0;

    return i < l->n ? l->groups[i] : NULL;
}

const LedgerGroup *ledger_find(const Ledger *l, const char *vm, const char *disk)
{
    size_t i = find_index(l, vm, disk);

    return i < l->n ? l->groups[i] : NULL;
}

const LedgerImage *ledger_find_stale(const Ledger *l, const char *vm, const char *file)
{
    _cleanup_(freep) char *key = ledger_image_key(file);

    for (size_t i = 0; key && i < l->n; i++) {
        const LedgerImage *image =
            same_scope(l->groups[i], vm, key) ? ledger_group_find(l->groups[i], key) : NULL;
        if (image && (image->state == LEDGER_STALE || image->state == LEDGER_MERGING))
            return image;
    }
    return NULL;
}

const char *ledger_find_instance(const Ledger *l, const char *instance)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->groups[i]->instance, instance) == 0)
            return l->groups[i]->vm;
    return NULL;
}

const LedgerGroup *ledger_find_keys(const Ledger *l, const char *instance, char *const *keys,
                                    size_t n_keys)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->groups[i]->instance, instance) == 0 &&
            drive_keys_meet(l->groups[i]->keys, l->groups[i]->n_keys, keys, n_keys))
            return l->groups[i];
    return NULL;
}

static const LedgerImage *find_active(const LedgerGroup *g)
{
    for (size_t i = 0; i < g->n_images; i++)
        if (g->images[i].state == LEDGER_ACTIVE)
            return &g->images[i];
    return NULL;
}

size_t ledger_find_overlays(const Ledger *l, const char *vm, const char *disk, const Chain *chain,
                            const char *file, const LedgerGroup **ret, size_t max)
{
    _cleanup_(freep) char *top = ledger_image_key(chain->images[0].file);
    _cleanup_(freep) char *base = ledger_image_key(file);
    size_t n = 0;

    for (size_t i = 0; top && base && i < l->n && n < max; i++) {
        const LedgerGroup *g = l->groups[i];
        const LedgerImage *image = same_scope(g, vm, base) ? ledger_group_find(g, base) : NULL;
        const LedgerImage *active = find_active(g);

        if (strcmp(g->vm, vm) == 0 && strcmp(g->disk, disk) == 0)
            continue;
        /* The same overlay on record under another name is no other overlay. */
        if (image && image->state == LEDGER_BASE && active && strcmp(active->file, top) != 0)
            ret[n++] = g;
    }
    return n;
}

const LedgerGroup *ledger_find_overlay(const Ledger *l, const char *vm, const char *disk,
                                       const Chain *chain, const char *file)
{
    const LedgerGroup *g = NULL;

    (void)ledger_find_overlays(l, vm, disk, chain, file, &g, 1);
    return g;
}

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
        drop_at(l, i);
    else if (replace(l, g) >= 0)
        TAKE_PTR(g);
}

/* The overlay has moved here: from a VM that had another name, or a disk that had. */
static void drop_superseded(Ledger *l, const LedgerGroup *g)
{
    const LedgerImage *active = find_active(g);

    for (size_t i = l->n; active && i-- > 0;) {
        const LedgerGroup *other = l->groups[i];
        const LedgerImage *theirs = other != g ? find_active(other) : NULL;

        if (theirs && is_absolute(active->file) && strcmp(theirs->file, active->file) == 0 &&
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
    int r = replace(l, g);
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

int ledger_note_pivot(Ledger *l, const char *vm, const char *disk, const char *base_file,
                      bool merging)
{
    const LedgerGroup *before = ledger_find(l, vm, disk);
    _cleanup_(ledger_group_freep) LedgerGroup *g = before ? ledger_group_copy(before) : NULL;
    _cleanup_(freep) char *base = ledger_image_key(base_file);
    if (!before)
        return -ENOENT;
    if (!g || !base)
        return -ENOMEM;

    int r = ledger_mark_merged(g, base, merging ? LEDGER_MERGING : LEDGER_STALE);
    return r < 0 ? r : note(l, TAKE_PTR(g));
}

int ledger_note_pivots(Ledger *l, const char *vm, const LedgerPivot *pivots, size_t n)
{
    LedgerGroup **groups = calloc(n, sizeof(LedgerGroup *));
    int r = groups ? settle_together(l) : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < n; i++) {
        const LedgerGroup *before = ledger_find(l, vm, pivots[i].disk);
        _cleanup_(freep) char *base = ledger_image_key(pivots[i].base_file);

        groups[i] = before ? ledger_group_copy(before) : NULL;
        if (!before)
            r = -ENOENT;
        else if (!groups[i] || !base)
            r = -ENOMEM;
        else
            r = ledger_mark_merged(groups[i], base, LEDGER_STALE);
    }
    if (r >= 0) {
        r = ledger_together_save(l->directory, groups, n);
        /* Late failures have given the new file its name already: nobody must find it. */
        if (r < 0)
            (void)ledger_together_remove(l->directory);
    }
    for (size_t i = 0; groups && i < n; i++) {
        /* Each is on record before: there is room for it. */
        if (r >= 0)
            (void)install_unsaved(TAKE_PTR(groups[i]), l);
        ledger_group_free(groups[i]);
    }
    free(groups);
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

static int note_mark(Ledger *l, const char *vm, const char *disk, JobMark mark, const char *job)
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
    return job && !*field ? -ENOMEM : note(l, TAKE_PTR(g));
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

int ledger_note_throttle(Ledger *l, const char *vm, const char *disk, const char *limits)
{
    return note_mark(l, vm, disk, JOB_MARK_THROTTLE, limits);
}

int ledger_forget(Ledger *l, const char *file)
{
    _cleanup_(freep) char *key = ledger_image_key(file);
    bool found = false;
    int settled = settle_together(l);
    if (!key)
        return -ENOMEM;
    if (settled < 0)
        return settled;

    for (size_t i = l->n; i-- > 0;) {
        _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;
        int r = 0;

        if (!ledger_group_find(l->groups[i], key))
            continue;
        g = ledger_group_copy(l->groups[i]);
        if (!g)
            return -ENOMEM;
        ledger_group_remove(g, ledger_group_find(g, key));
        found = true;
        if (g->n_images == 0)
            drop_at(l, i);
        else
            r = replace(l, g);
        if (r < 0)
            return r;
        if (l->n > i && l->groups[i] == g)
            TAKE_PTR(g);
    }
    return found ? 0 : -ENOENT;
}
