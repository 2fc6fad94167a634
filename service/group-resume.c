/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A group that an earlier process of ours has started, found again by the ids of its jobs. What was
 * intended is not asked of memory:
 *
 *   the record says that a base is the image to boot   all were held: finalize what is not yet
 *   the record says that a job was aborted             abort the others
 *   a job has ended, and is not in QEMU any more       doomed: nobody is pivoted alone
 *   a job is on its way to its end                     a Pivot was accepted: complete the others
 *   else                                               it goes on
 */
#include "group-internal.h"

#include <string.h>

#include "text.h"

void group_adopt(Commit *c, uint64_t serial)
{
    Vm *vm = disk_vm(c->disk);
    Group *g = vm_group(vm);

    if (!g) {
        if (group_new(vm, serial, c->active, c->on_ready, &g) < 0)
            return;
        g->phase = GROUP_RUNNING;
        g->adopted = true;
    }
    /* A strange id: by itself the job comes to a right end, too. */
    if (g->serial == serial && g->n < VM_JOBS_MAX && g->phase > GROUP_WITHDRAWING)
        group_add(g, c);
}

/* How members have ended that QEMU does not list any more; the disk has no newer job. */
static void recall_ends(Group *g)
{
    for (Disk *d = vm_next_disk(g->vm, NULL); d; d = vm_next_disk(g->vm, d)) {
        const LastJob *last = disk_last_job(d);
        _cleanup_(commit_id_freep) CommitId *id = NULL;

        if (!last->id || disk_job(d) || commit_id_parse(last->id, &id) < 0)
            continue;
        if (id->group == g->serial && g->n + g->n_ends < VM_JOBS_MAX)
            group_note_end(g, disk_name(d), last->result, last->message);
    }
}

/* A pivot of all is put on record in one piece: one of them tells for all. */
static bool is_pivot_on_record(const Group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        const Commit *c = g->members[i];
        const GraphVertex *top = graph_find(vm_graph(g->vm), GRAPH_NODE, c->top);

        if (top && top->file && ledger_find_stale(vm_ledger(g->vm), vm_name(g->vm), top->file))
            return true;
    }
    return false;
}

static bool any_aborted(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (commit_was_aborted(g->members[i]))
            return true;
    return false;
}

static bool any_ending(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i]->machine.phase >= JOB_ENDING)
            return true;
    return false;
}

static bool all_announced(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!g->members[i]->machine.announced)
            return false;
    return true;
}

void group_resume(Vm *vm)
{
    Group *g = vm_group(vm);
    if (!g || !g->adopted)
        return;

    g->adopted = false;
    recall_ends(g);
    g->past = g->active && is_pivot_on_record(g);
    g->ready = !any_ending(g) && all_announced(g);
    group_set_phase(g, GROUP_RUNNING, JOB_INTENT_NONE);
    if (g->past || !g->active) {
        if (any_ending(g))
            group_set_phase(g, GROUP_ENDING, g->active ? JOB_INTENT_PIVOT : JOB_INTENT_NONE);
    } else if (any_aborted(g)) {
        group_doom(g, /* why= */ NULL);
    } else if (g->n < group_serial_count(g->serial)) {
        group_doom(g, "another disk's job had ended when the service was restarted");
    } else if (any_ending(g)) {
        group_set_phase(g, GROUP_ENDING, JOB_INTENT_PIVOT);
        group_conclude_ready(g);
    } else if (g->ready) {
        group_act_on_ready(g);
    }
}
