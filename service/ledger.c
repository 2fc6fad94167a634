/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "drive.h"
#include "ledger-internal.h"
#include "ledger-revise.h"
#include "ledger-together.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"

bool ledger_is_absolute(const char *file)
{
    return *file == '/' || strchr(file, ':');
}

/* Whether a name on record for one VM means the file that another VM names. */
static bool same_scope(const LedgerGroup *g, const char *vm, const char *file)
{
    return ledger_is_absolute(file) || strcmp(g->vm, vm) == 0;
}

size_t ledger_find_index(const Ledger *l, const char *vm, const char *disk)
{
    size_t i = 0;

    while (i < l->n && (strcmp(l->groups[i]->vm, vm) != 0 || strcmp(l->groups[i]->disk, disk) != 0))
        i++;
    return i;
}

void ledger_drop_at(Ledger *l, size_t i)
{
    ledger_file_remove(&l->files, l->groups[i]);
    ledger_group_free(l->groups[i]);
    l->n--;
    memmove(&l->groups[i], &l->groups[i + 1], (l->n - i) * sizeof(LedgerGroup *));
}

int ledger_settle_together(Ledger *l)
{
    if (!l->together)
        return 0;
    for (size_t i = 0; i < l->n; i++) {
        int r = l->groups[i]->unsaved ? ledger_file_save(&l->files, l->groups[i]) : 0;
        if (r < 0)
            return r;
        l->groups[i]->unsaved = false;
    }
    int r = ledger_together_remove(&l->files);
    if (r < 0)
        return r;
    for (size_t i = 0; i < l->n; i++)
        l->groups[i]->together = false;
    l->together = false;
    return 0;
}

/* What is on record together would come back. */
static void drop_oldest(Ledger *l)
{
    size_t i = 0;

    while (l->groups[i]->together && i + 1 < l->n)
        i++;
    ledger_drop_at(l, i);
}

static int make_room(Ledger *l)
{
    LedgerGroup **grown = reallocarray(l->groups, l->n + 1, sizeof(LedgerGroup *));

    if (grown)
        l->groups = grown;
    return grown ? 0 : -ENOMEM;
}

int ledger_replace(Ledger *l, LedgerGroup *g)
{
    size_t i = ledger_find_index(l, g->vm, g->disk);

    int r = ledger_settle_together(l);
    if (r < 0 && i < l->n && l->groups[i]->together)
        return r;
    r = i == l->n ? make_room(l) : 0;
    if (r < 0)
        return r;

    r = ledger_file_save(&l->files, g);
    /* A write that failed late has given the new file its name already: a process that follows must
     * not read there what nobody has believed. */
    if (r < 0 && i < l->n)
        (void)ledger_file_save(&l->files, l->groups[i]);
    if (r < 0)
        return r;

    if (i == l->n)
        l->n++;
    else
        ledger_group_free(l->groups[i]);
    l->groups[i] = g;
    while (l->n > LEDGER_GROUPS_MAX)
        drop_oldest(l);
    return 0;
}

static int load(Ledger *l, const char *name)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;

    int r = ledger_file_load(&l->files, name, &g);
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

int ledger_install_unsaved(LedgerGroup *group, void *userdata)
{
    Ledger *l = userdata;
    _cleanup_(ledger_group_freep) LedgerGroup *g = group;
    size_t i = ledger_find_index(l, g->vm, g->disk);

    int r = i == l->n ? make_room(l) : 0;
    if (r < 0)
        return r;
    if (i == l->n)
        l->n++;
    else
        ledger_group_free(l->groups[i]);
    g->unsaved = g->together = l->together = true;
    l->groups[i] = TAKE_PTR(g);
    return 0;
}

/* What was written together last may not have reached the files of the disks. */
static int load_together(Ledger *l)
{
    int r = ledger_together_load(&l->files, ledger_install_unsaved, l);

    if (r == -ENOMEM)
        return r;
    if (r < 0)
        log_line(LOG_ERR, &(LogContext){.message_id = MESSAGE_LEDGER_DAMAGED, .detail = "together"},
                 "The image record of disks that were handed over together cannot be read: %s. "
                 "Check which images to boot before that VM is started again",
                 r == -EBADMSG ? "it is damaged" : strerror(-r));
    /* What cannot be written now is written before the next change. */
    (void)ledger_settle_together(l);
    return 0;
}

static int load_all(Ledger *l)
{
    int fd = dup(l->files.directory);
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

    l->files.directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->files.directory < 0)
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
    ledger_files_done(&l->files);
    free(l);
    return NULL;
}

const LedgerGroup *ledger_next(const Ledger *l, const LedgerGroup *previous)
{
    size_t i = previous ? ledger_find_index(l, previous->vm, previous->disk) + 1 : 0;

    return i < l->n ? l->groups[i] : NULL;
}

const LedgerGroup *ledger_find(const Ledger *l, const char *vm, const char *disk)
{
    size_t i = ledger_find_index(l, vm, disk);

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

size_t ledger_find_overlays(const Ledger *l, const char *vm, const char *disk, const Chain *chain,
                            const char *file, const LedgerGroup **ret, size_t max)
{
    _cleanup_(freep) char *top = ledger_image_key(chain->images[0].file);
    _cleanup_(freep) char *base = ledger_image_key(file);
    size_t n = 0;

    for (size_t i = 0; top && base && i < l->n && n < max; i++) {
        const LedgerGroup *g = l->groups[i];
        const LedgerImage *image = same_scope(g, vm, base) ? ledger_group_find(g, base) : NULL;
        const LedgerImage *active = ledger_group_find_active(g);

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

int ledger_forget(Ledger *l, const char *file)
{
    _cleanup_(freep) char *key = ledger_image_key(file);
    bool found = false;
    int settled = ledger_settle_together(l);
    if (!key)
        return -ENOMEM;

    for (size_t i = l->n; i-- > 0;) {
        _cleanup_(ledger_group_freep) LedgerGroup *g = NULL;
        int r = 0;

        if (!ledger_group_find(l->groups[i], key))
            continue;
        if (l->groups[i]->together)
            return settled;
        g = ledger_group_copy(l->groups[i]);
        if (!g)
            return -ENOMEM;
        ledger_group_remove(g, ledger_group_find(g, key));
        found = true;
        if (g->n_images == 0)
            ledger_drop_at(l, i);
        else
            r = ledger_replace(l, g);
        if (r < 0)
            return r;
        if (l->n > i && l->groups[i] == g)
            TAKE_PTR(g);
    }
    return found ? 0 : -ENOENT;
}
