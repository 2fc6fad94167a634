/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm-disks.h"

#include <errno.h>
#include <string.h>

#include "block.h"
#include "commit.h"
#include "disk.h"
#include "group.h"
#include "log.h"
#include "text.h"
#include "vm.h"

struct VmDisks {
    Vm *vm;
    Disk **disks;
    size_t n;
    char **left; /* nodes that were below a disk, and are there still */
    size_t n_left;
    bool left_out; /* there are more disks than may be shown */
};

int vm_disks_new(Vm *vm, VmDisks **ret)
{
    VmDisks *all = calloc(1, sizeof(VmDisks));
    if (!all)
        return -ENOMEM;

    all->vm = vm;
    *ret = all;
    return 0;
}

static void forget_left(VmDisks *all)
{
    for (size_t i = 0; i < all->n_left; i++)
        free(all->left[i]);
    free(all->left);
    all->left = NULL;
    all->n_left = 0;
}

static void announce_removed(const VmDisks *all, Disk *d)
{
    void *userdata;
    const DomainObserver *o = vm_observer(all->vm, &userdata);

    if (vm_is_published(all->vm))
        o->disk_removed(d, userdata);
}

VmDisks *vm_disks_free(VmDisks *all)
{
    if (!all)
        return NULL;

    while (all->n > 0) {
        Disk *d = all->disks[all->n - 1];

        if (disk_job(d) && vm_is_published(all->vm))
            commit_handle_lost(disk_job(d));
        announce_removed(all, d);
        all->n--;
        disk_free(d);
    }
    free(all->disks);
    forget_left(all);
    free(all);
    return NULL;
}

Disk *vm_disks_next(const VmDisks *all, const Disk *previous)
{
    if (!all || all->n == 0)
        return NULL;
    if (!previous)
        return all->disks[0];
    for (size_t i = 0; i + 1 < all->n; i++)
        if (all->disks[i] == previous)
            return all->disks[i + 1];
    return NULL;
}

static Disk *find_drive(const VmDisks *all, const Drive *drive)
{
    for (size_t i = 0; i < all->n; i++)
        if (disk_is(all->disks[i], drive))
            return all->disks[i];
    return NULL;
}

/* The name that the disk had before a restart of the service, else the drive's own. */
static const char *known_name(const VmDisks *all, const Drive *drive)
{
    const LedgerGroup *g = ledger_find_keys(vm_ledger(all->vm), vm_peer(all->vm)->instance,
                                            drive->keys, drive->n_keys);

    return g && !vm_find_disk(all->vm, g->disk) ? g->disk : drive->name;
}

/* The name, or with a number where another disk has it. The caller frees. */
static char *unique_name(const VmDisks *all, const char *name)
{
    char *candidate = strdup(name);

    for (unsigned i = 2; candidate && vm_find_disk(all->vm, candidate); i++) {
        free(candidate);
        candidate = text_format("%s.%u", name, i);
    }
    return candidate;
}

static int add_disk(VmDisks *all, const Drive *drive, const Graph *g)
{
    _cleanup_(freep) char *name = unique_name(all, known_name(all, drive));
    void *userdata;
    const DomainObserver *o = vm_observer(all->vm, &userdata);
    Disk *d;

    Disk **grown = reallocarray(all->disks, all->n + 1, sizeof(Disk *));
    if (!grown || !name)
        return -ENOMEM;
    all->disks = grown;

    int r = disk_new(all->vm, name, drive, g, &d);
    if (r < 0)
        return r;

    all->disks[all->n++] = d;
    if (vm_is_published(all->vm)) {
        disk_record(d);
        o->disk_added(d, userdata);
    }
    return 0;
}

static void remove_disk(VmDisks *all, size_t i)
{
    Disk *d = all->disks[i];

    announce_removed(all, d);
    if (vm_is_published(all->vm))
        disk_drop_throttle(d);
    memmove(&all->disks[i], &all->disks[i + 1], (all->n - i - 1) * sizeof(Disk *));
    all->n--;
    disk_free(d);
}

static bool is_left(const VmDisks *all, const char *node)
{
    for (size_t i = 0; i < all->n_left; i++)
        if (strcmp(all->left[i], node) == 0)
            return true;
    return false;
}

static int note_left(VmDisks *all, const char *node)
{
    char **grown = reallocarray(all->left, all->n_left + 1, sizeof(char *));
    if (!grown)
        return -ENOMEM;
    all->left = grown;

    grown[all->n_left] = strdup(node);
    if (!grown[all->n_left])
        return -ENOMEM;
    all->n_left++;
    return 0;
}

static void forget_closed(VmDisks *all, const Graph *g)
{
    size_t kept = 0;

    for (size_t i = 0; i < all->n_left; i++)
        if (graph_find(g, GRAPH_NODE, all->left[i]))
            all->left[kept++] = all->left[i];
        else
            free(all->left[i]);
    all->n_left = kept;
}

/* What was below the disk and is not any more. */
static int note_left_by(VmDisks *all, const Disk *d, const Drive *drive, const Graph *g)
{
    _cleanup_(chain_freep) Chain *now = NULL;
    const Chain *before = disk_chain(d);
    int r = chain_new_from_graph(g, drive->root, &now);
    if (r < 0 || chain_equal(now, before))
        return r == -ENOMEM ? r : 0;

    for (size_t i = 1; i < before->n && r >= 0; i++) {
        const char *node = before->images[i].node;

        if (chain_find_node(now, node) < 0 && !is_left(all, node))
            r = note_left(all, node);
    }
    return r;
}

/* Of a machine only what its devices show is a disk; there none of this matters. */
static int find_left(VmDisks *all, const Drives *drives, const Graph *g)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && g->n_devices == 0 && i < drives->n; i++) {
        const Disk *d = find_drive(all, &drives->drives[i]);

        if (d)
            r = note_left_by(all, d, &drives->drives[i], g);
    }
    forget_closed(all, g);
    return r;
}

/* Whether a disk that is here stands on one of these images. */
static bool is_shared(const VmDisks *all, const Drives *drives, const Graph *g, const Chain *chain)
{
    for (size_t i = 0; i < drives->n; i++) {
        _cleanup_(chain_freep) Chain *other = NULL;

        if (!find_drive(all, &drives->drives[i]) ||
            chain_new_from_graph(g, drives->drives[i].root, &other) < 0)
            continue;
        for (size_t k = 0; k < chain->n; k++)
            if (chain_find_node(other, chain->images[k].node) >= 0)
                return true;
    }
    return false;
}

/* An image that a merge has put out of use is a top node like others until it is closed, and no
 * disk: the one that it was below goes on without it. */
static bool is_leftover(const VmDisks *all, const Drives *drives, const Graph *g,
                        const Drive *drive)
{
    _cleanup_(chain_freep) Chain *chain = NULL;

    return is_left(all, drive->root) && !find_drive(all, drive) && drive->n_keys == 1 &&
           text_has_prefix(drive->keys[0], "node:") &&
           chain_new_from_graph(g, drive->root, &chain) >= 0 && is_shared(all, drives, g, chain);
}

static bool is_shown(const Drives *drives, const Disk *d)
{
    for (size_t i = 0; i < drives->n; i++)
        if (disk_is(d, &drives->drives[i]))
            return true;
    return false;
}

static void remove_gone(VmDisks *all, const Drives *drives)
{
    for (size_t i = all->n; i-- > 0;) {
        if (is_shown(drives, all->disks[i]))
            continue;
        /* A job may outlive the device; whoever started it learns its end from the disk. */
        if (disk_job(all->disks[i]))
            disk_set_gone(all->disks[i]);
        else
            remove_disk(all, i);
    }
}

/* -ENOENT of a single disk: the graph changed between two answers, the next reading shows it. */
static int update_drive(VmDisks *all, const Drive *drive, const Graph *g, bool *left_out)
{
    Disk *d = find_drive(all, drive);
    int r = 0;

    if (d)
        r = disk_update(d, drive, g);
    else if (vm_may_add_disk(all->vm))
        r = add_disk(all, drive, g);
    else
        *left_out = true;
    return r == -ENOMEM ? r : 0;
}

static Disk *find_job(const VmDisks *all, const char *id)
{
    for (size_t i = 0; i < all->n; i++) {
        const Commit *job = disk_job(all->disks[i]);

        if (job && strcmp(commit_qemu_id(job), id) == 0)
            return all->disks[i];
    }
    return NULL;
}

/* The disk whose images a job works on, as far as it has no job yet. */
static Disk *find_disk_of_job(const VmDisks *all, const Graph *g, const char *id)
{
    const GraphVertex *job = graph_find(g, GRAPH_JOB, id);

    for (size_t i = 0; job && i < all->n; i++)
        if (!disk_job(all->disks[i]) && disk_uses_job(all->disks[i], g, job))
            return all->disks[i];
    return NULL;
}

/* Takes up a job that an earlier process of ours has left, or shows somebody else's. */
static Disk *take_job(VmDisks *all, const GraphJob *job, const Graph *g)
{
    _cleanup_(commit_id_freep) CommitId *id = NULL;
    bool ours = commit_id_parse(job->id, &id) >= 0;
    Disk *d = ours ? vm_find_disk(all->vm, id->disk) : find_disk_of_job(all, g, job->id);
    if (!d || disk_job(d))
        return NULL;
    if (disk_has_ended(d, job->id)) {
        /* Its dismissal is on its way, or could not be queued; a second one does no harm. */
        if (strcmp(job->status, "concluded") == 0)
            (void)block_job_dismiss(vm_qmp(all->vm), job->id, /* callback= */ NULL, NULL);
        return NULL;
    }
    /* What somebody else's job has come to is its starter's to fetch. */
    if (!ours && strcmp(job->status, "concluded") == 0)
        return NULL;

    int r = ours ? commit_adopt(d, id, job) : commit_show_foreign(d, job, g);
    return r < 0 ? NULL : d;
}

static void take_jobs(VmDisks *all, const Graph *g)
{
    void *userdata;
    const DomainObserver *o = vm_observer(all->vm, &userdata);

    for (size_t i = 0; i < all->n; i++) {
        Commit *job = disk_job(all->disks[i]);

        if (job && commit_is_foreign(job))
            commit_handle_status(job, graph_find_job(g, commit_qemu_id(job)));
    }

    for (size_t i = 0; i < g->n_jobs; i++) {
        Disk *d = find_job(all, g->jobs[i].id) ? NULL : take_job(all, &g->jobs[i], g);
        if (!d || !vm_is_published(all->vm))
            continue;

        o->job_started(disk_job(d), userdata);
        commit_recall(disk_job(d));
        vm_refresh_jobs(all->vm);
    }
    if (vm_is_published(all->vm))
        group_resume(all->vm);
}

/* A hostile peer can put one long chain under many disks. */
static size_t count_bytes(const Drives *drives, const Graph *g)
{
    size_t bytes = 0;

    for (size_t i = 0; i < drives->n && bytes <= VM_NAMES_MAX; i++)
        bytes += strlen(drives->drives[i].name) + strlen(drives->drives[i].device) +
                 chain_count_bytes(g, drives->drives[i].root);
    return bytes;
}

static void tell_left_out(VmDisks *all, bool left_out)
{
    const char *name = vm_name(all->vm);

    if (left_out && !all->left_out)
        log_line(
            LOG_WARNING, &(LogContext){.vm = name},
            "VM '%s', pid %d: some disks are not shown: it has more than %d, or all VMs together "
            "have more than this service takes",
            name ? name : "(new)", (int)vm_peer(all->vm)->pid, VM_DISKS_MAX);
    all->left_out = left_out;
}

int vm_disks_update(VmDisks *all, const Graph *g)
{
    _cleanup_(drives_freep) Drives *drives = NULL;
    bool left_out = false;

    int r = drives_new_from_graph(g, &drives);
    if (r < 0)
        return r;
    if (!vm_may_hold(all->vm, count_bytes(drives, g)))
        return -E2BIG;

    r = find_left(all, drives, g);
    if (r < 0)
        return r;
    remove_gone(all, drives);
    for (size_t i = 0; i < drives->n; i++) {
        if (is_leftover(all, drives, g, &drives->drives[i]))
            continue;
        r = update_drive(all, &drives->drives[i], g, &left_out);
        if (r < 0)
            return r;
    }
    tell_left_out(all, left_out);
    take_jobs(all, g);
    return 0;
}

void vm_disks_handle_jobs(VmDisks *all, const Graph *jobs)
{
    for (size_t i = 0; i < all->n; i++) {
        Commit *job = disk_job(all->disks[i]);

        if (job)
            commit_handle_status(job, graph_find_job(jobs, commit_qemu_id(job)));
    }
}

void vm_disks_handle_io_error(VmDisks *all, json_object *data)
{
    const char *job;
    bool read;
    Disk *d = block_event_job_error(data, &job, &read) < 0 ? NULL : find_job(all, job);

    if (d)
        commit_handle_io_error(disk_job(d), read);
}

static bool has_ended(const VmDisks *all, const char *job)
{
    for (size_t i = 0; i < all->n; i++)
        if (disk_has_ended(all->disks[i], job))
            return true;
    return false;
}

/* A guest waits, or has just gone on: no question is asked that need not be. */
bool vm_disks_handle_status(VmDisks *all, json_object *data)
{
    BlockJobStatus status;
    const char *job;

    if (block_event_job_status(data, &job, &status) < 0)
        return false;

    const Disk *d = find_job(all, job);
    switch (status) {
    case BLOCK_JOB_WAITING:
        return true; /* for "pending" */
    case BLOCK_JOB_PENDING:
        return d && commit_handle_pending(disk_job(d));
    case BLOCK_JOB_CONCLUDED:
        return d && commit_handle_concluded(disk_job(d));
    case BLOCK_JOB_NULL:
        return has_ended(all, job); /* all is known of it; the poll finds what QEMU closes now */
    case BLOCK_JOB_OTHER:
        return false;
    }
    return false;
}
