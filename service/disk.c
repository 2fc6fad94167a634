/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "disk.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "commit.h"
#include "disk-throttle.h"
#include "ledger.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"
#include "vm.h"

struct Disk {
    Vm *vm;
    char *name;
    char *device;
    char **keys;
    size_t n_keys;
    bool firmware;
    bool gone;
    bool outdated; /* the last reading did not tell the chain */
    Chain *chain;
    char *merged_base; /* of a lone node: what it was merged into; NULL for none */
    char *stale_for;   /* the image to boot instead; NULL: not stale */
    bool unrecorded;   /* the record could not be written */
    Commit *job;
    DiskThrottle *throttle; /* NULL: the guest was never slowed down */
    LastJob last;
    char *ended; /* QEMU's id of the job that was ended last by this process */
};

static void last_job_done(LastJob *last)
{
    free(last->id);
    free(last->type);
    free(last->message);
    *last = (LastJob){};
}

static void keys_free(char **keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(keys[i]);
    free(keys);
}

Disk *disk_free(Disk *d)
{
    if (!d)
        return NULL;

    commit_free(d->job);
    disk_throttle_free(d->throttle);
    chain_free(d->chain);
    keys_free(d->keys, d->n_keys);
    last_job_done(&d->last);
    free(d->merged_base);
    free(d->stale_for);
    free(d->ended);
    free(d->name);
    free(d->device);
    free(d);
    return NULL;
}

static int copy_keys(const Drive *drive, char ***ret)
{
    char **keys = calloc(drive->n_keys + 1, sizeof(char *));
    if (!keys)
        return -ENOMEM;

    for (size_t i = 0; i < drive->n_keys; i++) {
        keys[i] = strdup(drive->keys[i]);
        if (!keys[i]) {
            keys_free(keys, i);
            return -ENOMEM;
        }
    }
    *ret = keys;
    return 0;
}

/* One more node that the disk is known by. */
static int add_key(Disk *d, const char *node)
{
    char **grown = reallocarray(d->keys, d->n_keys + 1, sizeof(char *));
    if (!grown)
        return -ENOMEM;
    d->keys = grown;

    char *key = text_format("node:%s", node);
    if (!key)
        return -ENOMEM;
    d->keys[d->n_keys++] = key;
    return 0;
}

/* Where the chain of the disk begins: what the reading says, or the base of a lone node that has
 * been merged, which nobody's device or export follows. */
static const char *root_of(const Disk *d, const Drive *drive, const Graph *g)
{
    bool lone = drive->n_keys == 1 && text_has_prefix(drive->keys[0], "node:");

    if (lone && d->merged_base && graph_find(g, GRAPH_NODE, d->merged_base))
        return d->merged_base;
    return drive->root;
}

/* The active image; without a medium one with nothing in it. */
static ChainImage active_image(const Chain *c)
{
    static char nothing[] = "";

    return c->n > 0 ? c->images[0] : (ChainImage){nothing, nothing, nothing, NULL, 0, false};
}

static unsigned compare_chains(const Chain *a, const Chain *b)
{
    ChainImage x = active_image(a), y = active_image(b);
    unsigned changes = 0;

    if (!chain_equal(a, b))
        changes |= DISK_CHANGE_CHAIN;
    if (!text_equal(x.node, y.node))
        changes |= DISK_CHANGE_NODE;
    if (!text_equal(x.format, y.format))
        changes |= DISK_CHANGE_FORMAT;
    if (x.size != y.size)
        changes |= DISK_CHANGE_SIZE;
    if (x.read_only != y.read_only)
        changes |= DISK_CHANGE_READ_ONLY;
    if (a->n != b->n)
        changes |= DISK_CHANGE_DEPTH;
    return changes;
}

/* Takes the reading over without announcing it. */
static int disk_read(Disk *d, const Drive *drive, const Graph *g, unsigned *ret_changes)
{
    _cleanup_(chain_freep) Chain *chain = NULL;
    _cleanup_(freep) char *device = strdup(drive->device);
    unsigned changes = 0;
    char **keys;

    int r = chain_new_from_graph(g, root_of(d, drive, g), &chain);
    if (r < 0)
        return r;
    if (!device)
        return -ENOMEM;
    r = copy_keys(drive, &keys);
    if (r < 0)
        return r;

    if (d->chain)
        changes = compare_chains(d->chain, chain);
    if (!text_equal(d->device, device))
        changes |= DISK_CHANGE_DEVICE;

    keys_free(d->keys, d->n_keys);
    d->keys = keys;
    d->n_keys = drive->n_keys;
    if (d->merged_base) {
        r = add_key(d, d->merged_base);
        if (r < 0)
            return r;
    }
    chain_free(d->chain);
    d->chain = TAKE_PTR(chain);
    free(d->device);
    d->device = TAKE_PTR(device);
    d->firmware = drive->firmware;
    d->gone = false;
    *ret_changes = changes;
    return 0;
}

int disk_new(Vm *vm, const char *name, const Drive *drive, const Graph *g, Disk **ret)
{
    _cleanup_(disk_freep) Disk *d = calloc(1, sizeof(Disk));
    unsigned changes;
    if (!d)
        return -ENOMEM;

    d->vm = vm;
    d->name = strdup(name);
    if (!d->name)
        return -ENOMEM;

    int r = disk_read(d, drive, g, &changes);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(d);
    return 0;
}

int disk_update(Disk *d, const Drive *drive, const Graph *g)
{
    unsigned changes;
    void *userdata;
    const DomainObserver *o = vm_observer(d->vm, &userdata);

    int r = disk_read(d, drive, g, &changes);
    d->outdated = r < 0;
    if (r < 0)
        return r;
    if (!vm_is_published(d->vm))
        return 0;

    disk_record(d);
    if (changes)
        o->disk_changed(d, changes, userdata);
    return 0;
}

/* What an earlier process has recorded; a result of our own is newer. */
static void restore_last(Disk *d)
{
    const LedgerGroup *g = ledger_find(vm_ledger(d->vm), vm_name(d->vm), d->name);
    JobResult result;

    if (d->last.id || !g || !g->last.id || job_result_from_string(g->last.result, &result) < 0)
        return;

    LastJob last = {
        .id = strdup(g->last.id),
        .type = strdup(g->last.type),
        .message = strdup(g->last.message),
        .result = result,
        .error = refusal_kind_from_string(g->last.error),
        .started_usec = g->last.started_usec,
        .finished_usec = g->last.finished_usec,
    };
    if (last.id && last.type && last.message)
        d->last = last;
    else
        last_job_done(&last);
}

static void announce_warnings(Disk *d)
{
    void *userdata;
    const DomainObserver *o = vm_observer(d->vm, &userdata);

    o->disk_changed(d, DISK_CHANGE_WARNINGS, userdata);
}

static void set_stale(Disk *d, const LedgerImage *image)
{
    if (text_equal(d->stale_for, image ? image->use_instead : NULL))
        return;

    free(d->stale_for);
    d->stale_for = image && image->use_instead ? strdup(image->use_instead) : NULL;
    if (d->stale_for)
        log_line(
            LOG_CRIT,
            &(LogContext){.message_id = MESSAGE_STALE_IMAGE,
                          .vm = vm_name(d->vm),
                          .disk = d->name,
                          .detail = d->stale_for},
            "VM '%s', disk '%s' runs on an image that has been merged. Stop the VM and start it "
            "from '%s'",
            vm_name(d->vm), d->name, d->stale_for);
    announce_warnings(d);
}

static void set_unrecorded(Disk *d, int error)
{
    bool unrecorded = error < 0;

    if (d->unrecorded == unrecorded)
        return;
    d->unrecorded = unrecorded;
    if (error < 0)
        log_line(LOG_ERR, &(LogContext){.vm = vm_name(d->vm), .disk = d->name},
                 "VM '%s', disk '%s': the image record cannot be written: %s", vm_name(d->vm),
                 d->name, strerror(-error));
    announce_warnings(d);
}

static const LedgerImage *find_stale(const Disk *d)
{
    const LedgerImage *stale = NULL;

    for (size_t i = 0; !stale && i < d->chain->n; i++)
        stale = ledger_find_stale(vm_ledger(d->vm), vm_name(d->vm), d->chain->images[i].file);
    return stale;
}

static LedgerDisk ledger_disk(const Disk *d)
{
    return (LedgerDisk){vm_name(d->vm), d->name, vm_peer(d->vm)->instance, d->keys, d->n_keys};
}

void disk_record(Disk *d)
{
    if (d->gone || (d->job && commit_is_ending(d->job)))
        return;

    LedgerDisk disk = ledger_disk(d);
    int r = ledger_note_chain(vm_ledger(d->vm), &disk, d->chain);
    set_stale(d, r == -ESTALE ? find_stale(d) : NULL);
    set_unrecorded(d, r == -ESTALE ? 0 : r);
    restore_last(d);
}

const char *disk_stale_for(const Disk *d)
{
    return d->stale_for;
}

bool disk_is_unrecorded(const Disk *d)
{
    return d->unrecorded;
}

bool disk_is(const Disk *d, const Drive *drive)
{
    return drive_keys_meet(d->keys, d->n_keys, drive->keys, drive->n_keys);
}

void disk_set_gone(Disk *d)
{
    d->gone = true;
}

bool disk_is_gone(const Disk *d)
{
    return d->gone;
}

bool disk_is_outdated(const Disk *d)
{
    return d->outdated && !d->gone;
}

int disk_set_merged(Disk *d, const char *base)
{
    if (text_equal(d->merged_base, base))
        return 0;

    char *copy = strdup(base);
    if (!copy)
        return -ENOMEM;

    free(d->merged_base);
    d->merged_base = copy;
    return add_key(d, base);
}

bool disk_is_lone(const Disk *d)
{
    for (size_t i = 0; i < d->n_keys; i++)
        if (!text_has_prefix(d->keys[i], "node:"))
            return false;
    return true;
}

static bool shows_node(const Disk *d, const char *node)
{
    return chain_find_node(d->chain, node) >= 0 || strcmp(d->chain->root, node) == 0;
}

bool disk_has_export(const Disk *d, const Graph *exports)
{
    for (size_t i = 0; i < exports->n_exports; i++) {
        const char *node = exports->exports[i].node;
        if (shows_node(d, node))
            return true;

        /* While a job runs, an export goes through the job's filter above the active image. */
        const GraphVertex *v = graph_find(exports, GRAPH_NODE, node);
        const GraphVertex *below = v ? graph_child(exports, v, "backing") : NULL;
        if (below && shows_node(d, below->name))
            return true;
    }
    return false;
}

bool disk_uses_job(const Disk *d, const Graph *g, const GraphVertex *job)
{
    const GraphVertex *v;

    for (size_t i = 0; (v = graph_nth_child(g, job, i)); i++)
        if (shows_node(d, v->name))
            return true;
    return false;
}

void disk_slow_guest(Disk *d, bool slow)
{
    if (!d->throttle && slow)
        (void)disk_throttle_new(d, &d->throttle);
    if (d->throttle)
        disk_throttle_want(d->throttle, slow);
}

bool disk_is_slowed(const Disk *d)
{
    return d->throttle && disk_throttle_is_slowed(d->throttle);
}

bool disk_restore_guest(Disk *d)
{
    if (d->throttle)
        disk_throttle_leave(d->throttle);
    return !disk_is_slowed(d);
}

void disk_recall_throttle(Disk *d)
{
    const LedgerGroup *g = ledger_find(vm_ledger(d->vm), vm_name(d->vm), d->name);

    if (g && g->throttle && !d->throttle)
        (void)disk_throttle_new(d, &d->throttle);
}

void disk_drop_throttle(Disk *d)
{
    bool slowed = disk_is_slowed(d);

    d->throttle = disk_throttle_free(d->throttle);
    if (slowed)
        (void)ledger_note_throttle(vm_ledger(d->vm), vm_name(d->vm), d->name, /* limits= */ NULL);
}

void disk_set_job(Disk *d, Commit *job)
{
    if (d->job != job)
        commit_free(d->job);
    d->job = job;
}

void disk_drop_job(Disk *d)
{
    d->job = NULL;
}

void disk_withdraw_job(Disk *d)
{
    free(d->ended);
    d->ended = strdup(commit_qemu_id(d->job));
    disk_set_job(d, NULL);
}

/* An outcome is durable before it is announced, so that a crash between the two does not lose it.
 */
static void record_end(Disk *d, const LastJob *last)
{
    const LedgerJob record = {
        .id = last->id,
        .type = last->type,
        .result = (char *)job_result_to_string(last->result),
        .error = (char *)refusal_kind_to_string(last->error),
        .message = last->message,
        .started_usec = last->started_usec,
        .finished_usec = last->finished_usec,
    };
    bool merged = last->result == JOB_RESULT_COMPLETED;

    /* The chain that was read last says nothing of a disk that is out of sight: QEMU may have
     * switched. There, what the handover has put on record holds. */
    const Chain *chain = d->gone || last->result == JOB_RESULT_LOST ? NULL : d->chain;
    LedgerDisk disk = ledger_disk(d);
    int r = ledger_note_end(vm_ledger(d->vm), &disk, chain, merged, &record);
    set_unrecorded(d, r);
}

void disk_end_job(Disk *d, LastJob *last)
{
    record_end(d, last);
    if (d->throttle)
        disk_throttle_end_job(d->throttle);
    free(d->ended);
    d->ended = strdup(commit_qemu_id(d->job));
    last_job_done(&d->last);
    d->last = *last;
    d->job = NULL;
    *last = (LastJob){};
}

bool disk_has_ended(const Disk *d, const char *qemu_id)
{
    return text_equal(d->ended, qemu_id);
}

Vm *disk_vm(const Disk *d)
{
    return d->vm;
}

const char *disk_name(const Disk *d)
{
    return d->name;
}

const char *disk_device(const Disk *d)
{
    return d->device;
}

const Chain *disk_chain(const Disk *d)
{
    return d->chain;
}

const char *disk_image_label(const Disk *d, const ChainImage *image)
{
    const char *file = chain_file_name(vm_graph(d->vm), image->node);

    return file ? file : image->file;
}

bool disk_is_read_only(const Disk *d)
{
    return d->chain->n > 0 && d->chain->images[0].read_only;
}

bool disk_is_firmware(const Disk *d)
{
    return d->firmware;
}

uint64_t disk_size(const Disk *d)
{
    return d->chain->n > 0 ? d->chain->images[0].size : 0;
}

Commit *disk_job(const Disk *d)
{
    return d->job;
}

JobState disk_job_state(const Disk *d)
{
    return d->job ? commit_state(d->job) : JOB_STATE_NONE;
}

const LastJob *disk_last_job(const Disk *d)
{
    return &d->last;
}
