/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a commit would send to QEMU from its start to its end. The functions that send it write it
 * down here instead; only their order is this file's.
 */
#include "commit-internal.h"

#include <errno.h>

static int write_bitmaps(const Commit *c)
{
    _cleanup_(bitmap_plan_freep) BitmapPlan *plan = NULL;

    int r =
        bitmap_plan_new(vm_graph(disk_vm(c->disk)), c->top, c->base, /* running= */ false, &plan);
    if (r < 0 || !plan->carries)
        return r;
    return block_carry_bitmaps(c->dry, c->base, plan, /* callback= */ NULL, NULL);
}

/* The overlay is kept, with its bitmaps. */
static int write_keep(const Commit *c)
{
    int r = block_job_cancel(c->dry, c->qemu_id, /* callback= */ NULL, NULL);

    if (r < 0 || c->auto_finalize)
        return r;
    return block_job_force_cancel(c->dry, c->qemu_id, /* callback= */ NULL, NULL);
}

static int write_merge(const Commit *c)
{
    int r = 0;

    /* Where there is no barrier, bitmaps come before. */
    if (c->auto_finalize)
        r = write_bitmaps(c);
    if (r >= 0 && c->active)
        r = block_job_complete(c->dry, c->qemu_id, /* callback= */ NULL, NULL);
    if (r < 0 || c->auto_finalize)
        return r;

    r = write_bitmaps(c);
    return r < 0 ? r : block_job_finalize(c->dry, c->qemu_id, /* callback= */ NULL, NULL);
}

static int rehearse(Commit *c)
{
    bool keeps = c->active && c->on_ready == JOB_ON_READY_KEEP;
    JobResult result = keeps ? JOB_RESULT_KEPT : JOB_RESULT_COMPLETED;

    int r = commit_send(c, /* callback= */ NULL, NULL);
    if (r >= 0)
        r = keeps ? write_keep(c) : write_merge(c);
    if (r < 0)
        return r;
    commit_write_durable(c, result);
    commit_clear_up(c, result);
    qmp_dry_answer(c->dry);
    return 0;
}

/* Remembers a failure that whoever sends does not look at. */
typedef struct Writing {
    QmpWrittenFunc written;
    void *userdata;
    int error;
} Writing;

static int on_written(const char *text, void *userdata)
{
    Writing *w = userdata;
    int r = w->written(text, w->userdata);

    if (r < 0)
        w->error = r;
    return r;
}

int commit_rehearse(Disk *d, const CommitPlan *plan, QmpWrittenFunc written, void *userdata)
{
    Writing w = {written, userdata, 0};
    _cleanup_(qmp_freep) Qmp *dry = NULL;
    _cleanup_(commit_freep) Commit *c = NULL;

    int r = qmp_new_dry(on_written, &w, &dry);
    if (r >= 0)
        r = commit_draft(d, plan, &c);
    if (r < 0)
        return r;

    c->dry = dry;
    r = rehearse(c);
    return r < 0 ? r : w.error;
}
