/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A group that an earlier process of ours has started, found again by the ids of its jobs. What was
 * intended is not asked of memory:
 *
 *   the record says that a base is the image to boot   all were held: finalize what is not yet
 *   a job has ended, and is not in QEMU any more       doomed: nobody is pivoted alone
 *   the record says that a job was aborted             abort the others
 *   the record says that all are to pivot              complete the others
 *   else                                               it goes on
 *
 * A job that is on its way to its end without a word of that was ended by somebody else.
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

static bool is_of_group(const Group *g, const char *job)
{
    _cleanup_(commit_id_freep) CommitId *id = NULL;

    return job && commit_id_parse(job, &id) >= 0 && id->group == g->serial;
}

/* What one of the disks tells for all. */
typedef struct Recalled {
    bool wished; /* a Pivot was asked for */
    bool held;   /* all were held, to be kept */
} Recalled;

static Recalled recall(const Group *g)
{
    Recalled recalled = {false, false};

    for (const Disk *d = vm_next_disk(g->vm, NULL); d; d = vm_next_disk(g->vm, d)) {
        const LedgerGroup *record = ledger_find(vm_ledger(g->vm), vm_name(g->vm), disk_name(d));

        recalled.wished = recalled.wished || (record && is_of_group(g, record->pivot_job));
        recalled.held = recalled.held || (record && is_of_group(g, record->held_job));
    }
    return recalled;
}

static bool is_merged(const Commit *c)
{
    return !disk_is_gone(c->disk) && chain_find_node(disk_chain(c->disk), c->top) < 0;
}

static bool is_on_record(const Commit *c)
{
    const Vm *vm = disk_vm(c->disk);
    const GraphVertex *top = graph_find(vm_graph(vm), GRAPH_NODE, c->top);

    return top && top->file && ledger_find_stale(vm_ledger(vm), vm_name(vm), top->file);
}

/* All pivots are put on record in one piece, before any: again, one tells for all. */
static bool is_past(const Group *g, bool wished)
{
    for (size_t i = 0; i < g->n_ends; i++)
        if (wished && g->ends[i].result == JOB_RESULT_COMPLETED)
            return true;
    for (size_t i = 0; i < g->n; i++)
        if (is_on_record(g->members[i]) || (wished && is_merged(g->members[i])))
            return true;
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

/* What an earlier process has begun to tell the members, for those that have not heard it. */
static void go_on_ending(Group *g, JobIntent intent)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i]->machine.phase >= JOB_ENDING)
            g->members[i]->machine.intent = intent;
    group_set_phase(g, GROUP_ENDING, intent);
    group_conclude_ready(g);
}

void group_resume(Vm *vm)
{
    Group *g = vm_group(vm);
    Recalled recalled;

    if (!g || !g->adopted)
        return;

    g->adopted = false;
    recall_ends(g);
    recalled = recall(g);
    for (size_t i = 0; i < g->n; i++)
        g->members[i]->machine.held = recalled.held;
    g->past = g->active && is_past(g, recalled.wished);
    g->ready = !any_ending(g) && all_announced(g);
    if (!g->active && any_ending(g))
        g->phase = GROUP_ENDING;
    group_announce_state(g);

    if (!g->active)
        return;
    if (g->past)
        go_on_ending(g, JOB_INTENT_PIVOT);
    else if (g->n < group_serial_count(g->serial))
        group_doom(g, any_aborted(g) ? NULL
                                     : "another disk's job had ended when the service was "
                                       "restarted");
    else if (any_aborted(g))
        go_on_ending(g, JOB_INTENT_ABORT);
    else if (recalled.wished)
        go_on_ending(g, JOB_INTENT_PIVOT);
    else if (g->ready)
        group_act_on_ready(g);
}
