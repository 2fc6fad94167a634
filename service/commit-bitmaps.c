/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps of the images that a commit merges: refused before the start where they would be
 * lost, carried into the base before QEMU lets go of their images, read back.
 *
 * All is derived from the graph, each time: a successor of this process does it again, and nothing
 * is worse for it. bitmap.h has what is done to which.
 */
#include "commit-internal.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "text.h"

static const char *file_of(const Commit *c, const char *node)
{
    const GraphVertex *v = graph_find(vm_graph(disk_vm(c->disk)), GRAPH_NODE, node);

    return v && v->file ? v->file : node;
}

bool commit_refuse_bitmaps(const Disk *d, const CommitOptions *o, const ChainImage *top,
                           const ChainImage *base, bool *ret_recorder, Refusal *r)
{
    _cleanup_(bitmap_plan_freep) BitmapPlan *p = NULL;

    /* What is kept on the overlay keeps its bitmaps. */
    *ret_recorder = false;
    if (o->active && o->on_ready == JOB_ON_READY_KEEP)
        return false;
    if (bitmap_plan_new(vm_graph(disk_vm(d)), top->node, base->node, /* running= */ false, &p) <
        0) {
        *r = (Refusal){REFUSAL_NO_MEMORY, NULL};
        return true;
    }

    const BitmapItem *lost = bitmap_plan_find_lost(p);
    if (lost && !o->drop_bitmaps) {
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "the dirty bitmap '%s' of image '%s' cannot be carried into the base '%s': "
                      "%s. Without it the next incremental backup has to be a full one. To commit "
                      "all the same, call CommitWith with the option 'drop-bitmaps'.",
                      lost->name, lost->image, disk_image_label(d, base),
                      bitmap_fate_to_text(lost->fate));
        return true;
    }
    *ret_recorder = p->recorder;
    return false;
}

void commit_add_recorder(Commit *c)
{
    /* QEMU carries commands out in order: it is there before the job. Where that fails, the end of
     * the job finds it missing, unless one was there already. */
    if (c->recorder)
        (void)block_add_bitmap(commit_qmp(c), c->base, BITMAP_RECORDER, /* callback= */ NULL, NULL);
}

void commit_remove_recorder(Commit *c)
{
    const GraphVertex *base = graph_find(vm_graph(disk_vm(c->disk)), GRAPH_NODE, c->base);

    /* That of a job that was taken up, the graph shows. */
    if (c->recorder || (base && graph_find_bitmap(base, BITMAP_RECORDER)))
        (void)block_remove_bitmap(commit_qmp(c), c->base, BITMAP_RECORDER, /* callback= */ NULL,
                                  NULL);
}

/* The way from the first reading to the second. */
typedef struct Carry {
    CommitRef *ref;
    bool exported;    /* as read last */
    BitmapPlan *plan; /* NULL before the first reading */
    CommitCarryFunc done;
    void *userdata;
} Carry;

static void carry_end(Carry *carry, int error, const char *text)
{
    Commit *c = commit_ref_free(carry->ref);

    carry->done(c, error, text, carry->exported, carry->userdata);
    bitmap_plan_free(carry->plan);
    free(carry);
}

static void log_loss(const Commit *c, const char *text)
{
    const char *vm = vm_name(disk_vm(c->disk)), *disk = disk_name(c->disk);

    log_line(LOG_WARNING, &(LogContext){.vm = vm, .disk = disk, .job = c->id},
             "VM '%s', disk '%s': %s", vm, disk, text);
}

/* The end of the commit, where the caller has not agreed to lose bitmaps. */
static void carry_fail(Carry *carry, const char *why)
{
    const Commit *c = carry->ref->commit;
    _cleanup_(freep) char *text = text_format(
        "The dirty bitmaps cannot be carried into the base '%s': %s", file_of(c, c->base), why);

    if (c->drop_bitmaps)
        log_loss(c, text ? text : why);
    carry_end(carry, c->drop_bitmaps ? 0 : -EREMOTEIO, text ? text : why);
}

static char *describe(const BitmapItem *item, const char *why)
{
    return text_format("bitmap '%s' of image '%s' is lost: %s", item->name, item->image, why);
}

static void carry_fail_for(Carry *carry, const BitmapItem *item, const char *why)
{
    _cleanup_(freep) char *text = describe(item, why);

    carry_fail(carry, text ? text : why);
}

static void log_lost(const Commit *c, const BitmapPlan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const BitmapItem *item = &p->items[i];
        _cleanup_(freep) char *text = bitmap_fate_is_lost(item->fate)
                                          ? describe(item, bitmap_fate_to_text(item->fate))
                                          : NULL;

        if (text)
            log_loss(c, text);
    }
}

static int carry_read(Carry *carry);

static void on_merged(Qmp *q, const QmpReply *reply, void *userdata)
{
    Carry *carry = userdata;

    if (!carry->ref->commit || reply->error == -ENOTCONN) {
        carry_end(carry, -ENOTCONN, reply->error_text);
        return;
    }
    int r = reply->error ? 0 : carry_read(carry);
    if (r == -EBUSY)
        carry_end(carry, r, "too many commands wait");
    else if (reply->error || r < 0)
        carry_fail(carry, reply->error ? reply->error_text : strerror(-r));
}

static void carry_merge(Carry *carry, const Graph *g)
{
    Commit *c = carry->ref->commit;

    int r = bitmap_plan_new(g, c->top, c->base, /* running= */ true, &carry->plan);
    if (r < 0) {
        carry_fail(carry, r == -ENOMEM ? strerror(ENOMEM) : "its images are not to be found");
        return;
    }

    const BitmapItem *lost = bitmap_plan_find_lost(carry->plan);
    if (lost && !c->drop_bitmaps) {
        carry_fail_for(carry, lost, bitmap_fate_to_text(lost->fate));
        return;
    }
    log_lost(c, carry->plan);
    if (!carry->plan->carries) {
        carry_end(carry, 0, "");
        return;
    }
    r = block_carry_bitmaps(commit_qmp(c), c->base, carry->plan, on_merged, carry);
    if (r == -EBUSY)
        carry_end(carry, r, "too many commands wait");
    else if (r < 0)
        carry_fail(carry, strerror(-r));
}

static void carry_verify(Carry *carry, const Graph *g)
{
    const Commit *c = carry->ref->commit;
    const BitmapItem *missing = bitmap_plan_find_missing(carry->plan, g, c->base);

    if (missing)
        carry_fail_for(carry, missing, "QEMU has merged it, but the base does not show it");
    else
        carry_end(carry, 0, "");
}

static void on_read(Vm *vm, int error, const char *text, void *userdata)
{
    Carry *carry = userdata;
    const Commit *c = carry->ref->commit;

    if (!c || error) {
        carry_end(carry, error ? error : -ENOTCONN, text);
        return;
    }
    const Graph *g = vm_bitmaps(vm);

    carry->exported = disk_has_export(c->disk, g);
    if (carry->plan)
        carry_verify(carry, g);
    else if (g->n_vertices > 0)
        carry_merge(carry, g);
    else
        carry_end(carry, 0, "");
}

static int carry_read(Carry *carry)
{
    return vm_read_bitmaps(disk_vm(carry->ref->commit->disk), on_read, carry);
}

int commit_carry_bitmaps(Commit *c, CommitCarryFunc done, void *userdata)
{
    Carry *carry = calloc(1, sizeof(Carry));
    CommitRef *ref = commit_ref_new(c);

    if (!carry || !ref) {
        free(carry);
        if (ref)
            commit_ref_free(ref);
        return -ENOMEM;
    }

    *carry = (Carry){.ref = ref, .done = done, .userdata = userdata};
    int r = carry_read(carry);
    if (r < 0) {
        commit_ref_free(ref);
        free(carry);
    }
    return r;
}
