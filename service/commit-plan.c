/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-plan.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "commit-internal.h"
#include "room.h"
#include "text.h"

/* Longer names are not repeated in a refusal. */
#define NAME_SHOWN_MAX 255

typedef CommitRange Range;

static bool refuse_disk(const Disk *d, Refusal *r)
{
    const Chain *chain = disk_chain(d);

    if (disk_is_gone(d))
        commit_refuse(d, r, REFUSAL_NO_SUCH_DISK, "the disk has been unplugged.");
    else if (disk_is_firmware(d))
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "this is the machine's firmware flash, which is shown but takes no jobs.");
    else if (chain_is_libvirt(chain))
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "libvirt manages this VM and would not learn of the change. Use \"virsh "
                      "blockcommit\".");
    else if (chain->n == 0)
        commit_refuse(d, r, REFUSAL_NOTHING_TO_COMMIT,
                      "the drive has no medium. Insert one first.");
    else if (disk_is_read_only(d))
        commit_refuse(d, r, REFUSAL_READ_ONLY,
                      "the disk is read-only. A commit needs a disk that the guest may write to.");
    else if (chain->n < 2)
        commit_refuse(d, r, REFUSAL_NOTHING_TO_COMMIT,
                      "the active image has no backing image to commit into. Take a snapshot "
                      "first.");
    else
        return false;
    return true;
}

/* What contradicts itself on any disk. */
static bool refuse_options(const Disk *d, const CommitOptions *o, Refusal *r)
{
    if (o->shallow && o->base)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'shallow' and 'base' both say where to commit to. Give one of them.");
    else if (o->relative && o->backing_file)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'relative' and 'backing-file' both say what to record. Give one of them.");
    else if (o->active && (o->relative || o->backing_file))
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'%s' is for commits below the active layer: above the active layer there is "
                      "no image that could record a name.",
                      o->relative ? "relative" : "backing-file");
    else if (!o->active && o->on_ready != JOB_ON_READY_WAIT)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'on-ready' is for commits of the active layer ('active'); a commit below it "
                      "ends by itself.");
    else if (o->speed > INT64_MAX)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "the speed is beyond 2^63-1 bytes per second; 0 means unlimited.");
    else if (o->backing_file &&
             (!*o->backing_file || strlen(o->backing_file) > COMMIT_BACKING_FILE_MAX))
        commit_refuse(d, r, REFUSAL_INVALID_ARGS, "'backing-file' has 1 to %d bytes.",
                      COMMIT_BACKING_FILE_MAX);
    else
        return false;
    return true;
}

static bool is_named(const Graph *g, const ChainImage *image, const char *name)
{
    if (strcmp(image->node, name) == 0 || text_same_path(image->file, name))
        return true;

    /* QEMU calls an image that was opened with options json:{…}; people call it by its file. */
    const GraphVertex *v = graph_find(g, GRAPH_NODE, image->node);
    const GraphVertex *file = v ? graph_child(g, v, "file") : NULL;
    return file && file->file && text_same_path(file->file, name);
}

/* Node names begin with a letter or "#": a number is an index. */
static bool is_index(const char *name)
{
    size_t n = strspn(name, "0123456789");

    return n > 0 && n <= 6 && !name[n];
}

static bool find_image(const Disk *d, const char *option, const char *name, size_t *ret, Refusal *r)
{
    const Chain *chain = disk_chain(d);
    const Graph *g = vm_graph(disk_vm(d));

    if (is_index(name) && strtoul(name, NULL, 10) < chain->n) {
        *ret = strtoul(name, NULL, 10);
        return true;
    }
    for (size_t i = 0; i < chain->n; i++)
        if (is_named(g, &chain->images[i], name)) {
            *ret = i;
            return true;
        }
    commit_refuse(
        d, r, REFUSAL_NO_SUCH_IMAGE,
        "no image of the chain is called '%s' (option '%s'). Name it by index (0 is the "
        "active one), node name or exact file name, as Chain (\"vmdiskctl status\") shows "
        "them.",
        strlen(name) <= NAME_SHOWN_MAX ? name : "…", option);
    return false;
}

/* Which images are meant; their order is looked at by refuse_range(). */
static bool resolve(const Disk *d, const CommitOptions *o, Range *ret, Refusal *r)
{
    const Chain *chain = disk_chain(d);

    *ret = (Range){.top = o->active ? 0 : 1, .base = chain->n - 1};
    if (o->top && !find_image(d, "top", o->top, &ret->top, r))
        return false;
    if (o->base && !find_image(d, "base", o->base, &ret->base, r))
        return false;
    if (o->shallow)
        ret->base = ret->top + 1;
    return true;
}

static bool refuse_range(const Disk *d, const CommitOptions *o, const Range *range, Refusal *r)
{
    const Chain *chain = disk_chain(d);

    if (o->active && range->top != 0)
        commit_refuse(
            d, r, REFUSAL_NOT_ACTIVE_LAYER,
            "'active' is set, but 'top' is '%s', below the active layer. Leave out one of "
            "the two.",
            disk_image_label(d, &chain->images[range->top]));
    else if (!o->active && range->top == 0)
        commit_refuse(d, r, REFUSAL_ACTIVE_LAYER,
                      "'top' is the active layer, whose commit has two phases. Set 'active' too, "
                      "wait for JobReady, then call Pivot or Abort.");
    else if (!o->active && !o->top && chain->n < 3)
        commit_refuse(d, r, REFUSAL_ACTIVE_LAYER,
                      "there is no image between the active layer and the base. To commit the "
                      "active layer, call Commit with active=true (\"vmdiskctl commit --active\"), "
                      "wait for JobReady, then call Pivot (go on with the base) or Abort (keep the "
                      "overlay).");
    else if (range->base >= chain->n || (range->top == chain->n - 1 && !o->base))
        commit_refuse(d, r, REFUSAL_NOTHING_TO_COMMIT,
                      "'%s' is the deepest image of the chain: there is nothing below it to commit "
                      "into.",
                      disk_image_label(d, &chain->images[range->top]));
    else if (range->top == range->base)
        commit_refuse(
            d, r, REFUSAL_INVALID_ARGS,
            "'top' and 'base' are the same image, '%s'. The base has to be below the top.",
            disk_image_label(d, &chain->images[range->top]));
    else if (range->base < range->top)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'base' ('%s') is above 'top' ('%s'). The base has to be below the top.",
                      disk_image_label(d, &chain->images[range->base]),
                      disk_image_label(d, &chain->images[range->top]));
    else
        return false;
    return true;
}

/* QEMU records the new name in an image directly above only (bdrv_child_cb_update_filename()): with
 * a filter between, that image would go on naming one that is merged and out of use. */
static bool refuse_filter(const Disk *d, const CommitOptions *o, const Range *range, Refusal *r)
{
    const Chain *chain = disk_chain(d);
    const Graph *g = vm_graph(disk_vm(d));

    if (o->active)
        return false;

    const ChainImage *overlay = &chain->images[range->top - 1];
    const GraphVertex *v = graph_find(g, GRAPH_NODE, overlay->node);
    const GraphVertex *below = v ? graph_child(g, v, "backing") : NULL;
    /* That of a job goes when it ends, and no commit is started before. */
    if (below)
        below = chain_skip_job_filters(g, below);
    if (!below || strcmp(below->name, chain->images[range->top].node) == 0)
        return false;

    commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                  "the filter '%s' (%s) lies between '%s' and '%s', whose backing file name QEMU "
                  "would not update. Commit from the active layer instead ('active').",
                  below->name, below->driver ? below->driver : "",
                  disk_image_label(d, &chain->images[range->top]), disk_image_label(d, overlay));
    return true;
}

static bool refuse_stale(const Disk *d, Refusal *r)
{
    const char *instead = disk_stale_for(d);
    if (!instead)
        return false;

    commit_refuse(d, r, REFUSAL_STALE_IMAGE,
                  "the VM runs on an image that has been merged. Stop the VM and start it from "
                  "'%s'; nothing is written to either image from here.",
                  instead);
    return true;
}

/* Written into, the base would pull the ground from under that overlay, whether its VM runs or not.
 */
static bool refuse_shared_base(const Disk *d, const ChainImage *base, Refusal *r)
{
    const LedgerGroup *user = ledger_find_overlay(vm_ledger(disk_vm(d)), vm_name(disk_vm(d)),
                                                  disk_name(d), disk_chain(d), base->file);
    if (!user)
        return false;

    commit_refuse(d, r, REFUSAL_IMAGE_IN_USE,
                  "the base '%s' is also below VM '%s', disk '%s', which a commit would damage. If "
                  "that disk is no more, call Manager.ForgetImage (\"vmdiskctl forget\") for its "
                  "images; to commit all the same, set the option 'override'.",
                  disk_image_label(d, base), user->vm, user->disk);
    return true;
}

/* QEMU makes the base as large as the top before it copies anything, or fails. */
static bool refuse_small_base(const Disk *d, const Range *range, Refusal *r)
{
    const Chain *chain = disk_chain(d);
    const ChainImage *base = &chain->images[range->base];
    uint64_t wanted = chain->images[range->top].size;
    const Graph *g = vm_graph(disk_vm(d));
    const GraphVertex *v = graph_find(g, GRAPH_NODE, base->node);
    if (wanted <= base->size || !v || !room_is_fixed(g, v))
        return false;

    commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                  "the base '%s' has %" PRIu64 " bytes, less than the %" PRIu64
                  " of '%s', and QEMU cannot make it larger (%s). Make it larger yourself, then "
                  "commit.",
                  disk_image_label(d, base), base->size, wanted,
                  disk_image_label(d, &chain->images[range->top]), base->format);
    return true;
}

/* QEMU tells bytes that are no UTF-8 as U+FFFD: the name is not known. */
static bool is_mangled(const char *name)
{
    return strstr(name, "\xef\xbf\xbd");
}

/* What the image above the top is to record for a base whose name is relative to QEMU's directory:
 * QEMU would record it as it is, and whoever opens the image takes it as relative to the directory
 * of that. NULL where nothing is known to be right; the caller frees. */
static char *name_from(const Chain *chain, const Range *range, const char *overlay,
                       const char *base)
{
    const char *slash = overlay ? strrchr(overlay, '/') : NULL;
    size_t dir = slash ? (size_t)(slash - overlay) + 1 : 0;

    if (overlay && strncmp(overlay, base, dir) == 0 && base[dir])
        return strdup(base + dir);
    return chain_relative_name(chain, range->top - 1, range->base);
}

/* QEMU would record the name by which it knows the base: of one that was opened with options, json:
 * and all of these, its own backing images included. Other programs cannot use that, and a longer
 * one is refused only when everything has been copied. */
static bool choose_default(const Disk *d, const CommitOptions *o, const Range *range, char **ret,
                           Refusal *r)
{
    const Chain *chain = disk_chain(d);
    const Graph *g = vm_graph(disk_vm(d));
    const ChainImage *base = &chain->images[range->base];
    const char *file = chain_file_name(g, base->node);

    *ret = NULL;
    if (o->active)
        return true;

    _cleanup_(freep) char *name =
        !file ? strdup(base->file)
        : chain_is_relative(file)
            ? name_from(chain, range, chain_file_name(g, chain->images[range->top - 1].node), file)
            : strdup(file);
    /* As it knows it, QEMU can record any name by itself. */
    bool own = name && strcmp(name, base->file) == 0;
    if (!name || strlen(name) > COMMIT_BACKING_FILE_MAX || (!own && is_mangled(name))) {
        commit_refuse(
            d, r, REFUSAL_NOT_SUPPORTED,
            "the image above 'top' cannot record the name of the base, which %s. Say with "
            "'backing-file' what to record.",
            !name              ? "is relative to the directory that QEMU was started in"
            : is_mangled(name) ? "is not UTF-8"
                               : "is too long");
        return false;
    }
    if (!own)
        *ret = TAKE_PTR(name);
    return true;
}

/* The name for the image above top to record. */
static bool choose_backing_file(const Disk *d, const CommitOptions *o, const Range *range,
                                char **ret, Refusal *r)
{
    if (!o->relative && !o->backing_file)
        return choose_default(d, o, range, ret, r);

    *ret = o->backing_file ? strdup(o->backing_file)
                           : chain_relative_name(disk_chain(d), range->top - 1, range->base);
    if (*ret && strlen(*ret) <= COMMIT_BACKING_FILE_MAX && (o->backing_file || !is_mangled(*ret)))
        return true;
    if (!*ret && o->backing_file)
        *r = (Refusal){REFUSAL_NO_MEMORY, NULL};
    else
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "'relative' needs images that record relative names themselves, from the one "
                      "above 'top' down to the one above 'base', of %d bytes at most. Say with "
                      "'backing-file' what to record.",
                      COMMIT_BACKING_FILE_MAX);
    free(*ret);
    *ret = NULL;
    return false;
}

bool commit_resolve(const Disk *d, const CommitOptions *o, Range *ret, Refusal *ret_refusal)
{
    return !refuse_disk(d, ret_refusal) && !refuse_options(d, o, ret_refusal) &&
           resolve(d, o, ret, ret_refusal) && !refuse_range(d, o, ret, ret_refusal);
}

void commit_plan(const Disk *d, const CommitOptions *o, Refusal *ret_refusal, CommitPlan *ret_plan)
{
    const Chain *chain = disk_chain(d);
    char *backing_file;
    bool recorder;
    Range range;

    if (!commit_resolve(d, o, &range, ret_refusal) || refuse_filter(d, o, &range, ret_refusal))
        return;
    if (refuse_stale(d, ret_refusal) || refuse_small_base(d, &range, ret_refusal) ||
        (!o->override && refuse_shared_base(d, &chain->images[range.base], ret_refusal)))
        return;
    if (commit_deadline_refuse(d, o, ret_refusal))
        return;
    if (vm_count_jobs(disk_vm(d)) >= VM_JOBS_MAX) {
        commit_refuse(d, ret_refusal, REFUSAL_LIMIT_EXCEEDED,
                      "the VM has %d jobs already. Wait until one has finished.", VM_JOBS_MAX);
        return;
    }
    if (commit_refuse_bitmaps(d, o, &chain->images[range.top], &chain->images[range.base],
                              &recorder, ret_refusal) ||
        !choose_backing_file(d, o, &range, &backing_file, ret_refusal))
        return;

    *ret_plan = (CommitPlan){
        .active = o->active,
        .top = chain->images[range.top].node,
        .base = chain->images[range.base].node,
        .on_ready = o->on_ready,
        .on_error = o->on_error,
        .speed = o->speed,
        .deadline_usec = o->deadline_usec > 0 ? commit_now_usec() + o->deadline_usec : 0,
        .on_deadline = o->on_deadline.choice,
        .backing_file = backing_file,
        .drop_bitmaps = o->drop_bitmaps,
        .recorder = recorder,
    };
}

void commit_plan_done(CommitPlan *plan)
{
    free(plan->backing_file);
    plan->backing_file = NULL;
}
