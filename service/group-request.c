/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What callers want of a group: Pivot and Abort, sent to all members in one go, answered when QEMU
 * has accepted all of it, and only then taken as a fact.
 */
#include "group-internal.h"

#include <errno.h>
#include <string.h>

#include "text.h"

#define WHY_NOT_COMPLETED "one of the jobs could not be told to complete"

static void refuse(Vm *vm, DoneFunc done, void *userdata, RefusalKind kind, const char *what)
{
    Refusal refusal = {REFUSAL_NONE, NULL};

    refusal_set(&refusal, kind, "VM '%s': %s", vm_name(vm), what);
    done(&refusal, userdata);
    refusal_done(&refusal);
}

static bool refuse_no_group(Vm *vm, DoneFunc done, void *userdata)
{
    const Group *g = vm_group(vm);

    if (!g)
        refuse(vm, done, userdata, REFUSAL_NO_JOB,
               "its disks are not being committed together. Commit of the VM starts that; a job of "
               "one disk is ended by Pivot or Abort of the disk.");
    else if (g->phase <= GROUP_WITHDRAWING || g->done)
        refuse(vm, done, userdata, REFUSAL_NOT_READY,
               "another request of the same kind is on its way. Watch JobsState.");
    else
        return false;
    return true;
}

/* A member that cannot be told to complete now; NULL for none. */
static const Commit *find_unready(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i]->machine.phase != JOB_READY || g->members[i]->machine.paused)
            return g->members[i];
    return NULL;
}

static bool may_conclude(const Group *g, const Commit *c)
{
    if (c->ending)
        return false;
    /* Of a group that is doomed, what still copies may become ready yet, and is kept then. */
    return c->machine.phase == JOB_READY ||
           (c->machine.phase == JOB_RUNNING && g->intent == JOB_INTENT_ABORT && !g->doomed);
}

/* What nobody has asked for anew is not refused to anybody. */
static void on_concluded_by_ourselves(const Refusal *refusal, void *userdata)
{
    const Commit *c = commit_ref_free(userdata);
    bool refused = refusal->kind != REFUSAL_NONE && refusal->kind != REFUSAL_TIMED_OUT &&
                   refusal->kind != REFUSAL_DISCONNECTED;

    if (c && c->group && refused && c->group->intent == JOB_INTENT_PIVOT)
        group_doom(c->group, WHY_NOT_COMPLETED);
}

void group_conclude_ready(Group *g)
{
    for (size_t i = 0; i < g->n; i++) {
        CommitRef *ref = may_conclude(g, g->members[i]) ? commit_ref_new(g->members[i]) : NULL;

        if (ref)
            commit_conclude(g->members[i], g->intent, /* deferred= */ false,
                            on_concluded_by_ourselves, ref);
    }
}

static bool any_ending(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i]->ending)
            return true;
    return false;
}

/* What was refused to all leaves all as they were. */
static void take_back_wish(Group *g)
{
    const Commit *c = g->members[0];

    if (g->intent == JOB_INTENT_PIVOT &&
        ledger_note_wish(vm_ledger(g->vm), vm_name(g->vm), disk_name(c->disk), /* job= */ NULL) < 0)
        group_doom(g, WHY_NOT_COMPLETED);
    else
        g->intent = JOB_INTENT_NONE;
}

/* All are answered: the caller first, then what it means for the disks. */
static void apply_all(Group *g)
{
    Commit *members[VM_JOBS_MAX];
    size_t n = g->n;
    JobIntent intent = g->intent;
    RefusalKind kind = g->refusal.kind;
    bool refused = kind != REFUSAL_NONE && kind != REFUSAL_TIMED_OUT;

    if (n == 0) {
        group_end_if_over(g);
        return;
    }
    memcpy(members, g->members, sizeof(members));
    group_answer(g);
    if (kind == REFUSAL_DISCONNECTED)
        return;
    if (refused && !any_ending(g) && !g->doomed) {
        take_back_wish(g);
        return;
    }
    group_set_phase(g, GROUP_ENDING, intent);
    for (size_t i = 0; i < n; i++)
        if (members[i]->ending)
            commit_apply(members[i], intent);
    if (refused && intent == JOB_INTENT_PIVOT)
        group_doom(g, WHY_NOT_COMPLETED);
    /* Below the active layer, what is held already goes back. */
    else if (intent == JOB_INTENT_ABORT && (refused || !g->active))
        group_doom(g, /* why= */ NULL);
    /* What was held before the last answer was not minded then. What is held later tells so itself:
     * for guests that wait, no question is asked that need not be. */
    if (kind != REFUSAL_NONE || !g->active || group_is_patient(g))
        vm_refresh_jobs(g->vm);
}

static void on_member_answer(const Refusal *refusal, void *userdata)
{
    Group *g = userdata;

    if (refusal->kind == REFUSAL_DISCONNECTED)
        refusal_done(&g->refusal); /* nothing else counts any more */
    if (refusal->kind != REFUSAL_NONE && g->refusal.kind == REFUSAL_NONE)
        refusal_set(&g->refusal, refusal->kind, "%s", refusal->text ? refusal->text : "");
    if (--g->open == 0)
        apply_all(g);
}

/* Answers come after the last command: until then the group must not be taken for answered. */
static void send_all(Group *g, JobIntent intent, bool cut_short)
{
    Commit *members[VM_JOBS_MAX];
    size_t n = g->n;

    memcpy(members, g->members, sizeof(members));
    /* Before the first is told: it may be held by the time the last is. */
    if (intent == JOB_INTENT_ABORT && g->active) {
        group_note_aborts(g);
        (void)ledger_prepare_held(vm_ledger(g->vm), vm_name(g->vm), disk_name(members[0]->disk),
                                  members[0]->id);
    }
    g->intent = intent;
    g->open = 1;
    for (size_t i = 0; i < n; i++)
        /* Cut short is whatever they have been told, and perhaps never come to. */
        if (may_conclude(g, members[i]) || (cut_short && members[i]->machine.phase <= JOB_ENDING)) {
            g->open++;
            commit_conclude(members[i], intent, /* deferred= */ true, on_member_answer, g);
        }
    on_member_answer(&(Refusal){REFUSAL_NONE, NULL}, g);
}

static const Disk *find_exported(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (disk_has_export(g->members[i]->disk, vm_graph(g->vm)))
            return g->members[i]->disk;
    return NULL;
}

/* What has changed while the graph was read. */
static void check_pivot(Group *g, int error)
{
    const Commit *unready = find_unready(g);
    const Disk *exported = find_exported(g);

    if (error)
        refusal_set(&g->refusal, error == -ETIMEDOUT ? REFUSAL_TIMED_OUT : REFUSAL_DISCONNECTED,
                    "VM '%s': the block graph cannot be read. No disk was pivoted.",
                    vm_name(g->vm));
    else if (g->phase != GROUP_RUNNING || g->n_ends > 0 || unready)
        refusal_set(&g->refusal, REFUSAL_NOT_READY,
                    "VM '%s': a disk is not ready any more. No disk was pivoted.", vm_name(g->vm));
    else if (exported)
        refusal_set(
            &g->refusal, REFUSAL_NOT_SUPPORTED,
            "VM '%s', disk '%s': the disk has been exported meanwhile, and clients of an "
            "export cannot be held at the common instant. Remove the export, then pivot; or "
            "abort.",
            vm_name(g->vm), disk_name(exported));
}

/* What the guest will have to wait for at the barrier is written now, as far as it can be. */
static int prepare_record(Group *g)
{
    LedgerPivot pivots[VM_JOBS_MAX];
    uint64_t usec = commit_now_usec();

    for (size_t i = 0; i < g->n; i++)
        g->members[i]->pivot_usec = usec;

    int r = group_describe_pivots(g, pivots);
    return r < 0 ? r : ledger_prepare_pivots(vm_ledger(g->vm), vm_name(g->vm), pivots, g->n);
}

/* A restart that finds some of the jobs on their way must know that all are to go. */
static void note_wish(Group *g)
{
    const Commit *c = g->members[0];
    int r = ledger_note_wish(vm_ledger(g->vm), vm_name(g->vm), disk_name(c->disk), c->id);

    if (r >= 0)
        r = prepare_record(g);
    if (r < 0)
        refusal_set(&g->refusal, REFUSAL_NOT_READY,
                    "VM '%s': the image record cannot be written: %s. No disk was pivoted. Make "
                    "room for it, then pivot.",
                    vm_name(g->vm), strerror(-r));
}

static void on_pivot_read(Vm *vm, int error, const char *text, void *userdata)
{
    Group *g = userdata;

    g->open = 0;
    if (g->n > 0)
        check_pivot(g, error);
    else
        refusal_set(&g->refusal, REFUSAL_NO_JOB,
                    "VM '%s': the jobs have ended meanwhile. LastJob of each disk tells how.",
                    vm_name(vm));
    if (g->refusal.kind == REFUSAL_NONE)
        note_wish(g);
    if (g->refusal.kind == REFUSAL_NONE) {
        send_all(g, JOB_INTENT_PIVOT, /* cut_short= */ false);
        return;
    }
    group_answer(g);
    group_end_if_over(g);
}

void group_pivot(Vm *vm, DoneFunc done, void *userdata)
{
    Group *g = vm_group(vm);
    const Commit *unready;

    if (refuse_no_group(vm, done, userdata))
        return;
    if (!g->active) {
        refuse(vm, done, userdata, REFUSAL_NOT_READY,
               "these jobs commit images below the active layers and end by themselves; there is "
               "nothing to pivot to.");
        return;
    }
    if (g->phase != GROUP_RUNNING) {
        refuse(vm, done, userdata, REFUSAL_NOT_READY,
               "its jobs are ending already. JobsFinished announces how.");
        return;
    }
    unready = find_unready(g);
    if (unready) {
        _cleanup_(freep) char *text =
            text_format("disk '%s' is %s. Wait for JobsReady (\"vmdiskctl wait\"), then pivot.",
                        disk_name(unready->disk),
                        unready->machine.paused ? "paused: resume it" : "still copying");
        refuse(vm, done, userdata, REFUSAL_NOT_READY, text ? text : "not all disks are ready.");
        return;
    }

    g->done = done;
    g->userdata = userdata;
    g->open = 1;
    int r = vm_refresh(vm, on_pivot_read, g);
    if (r < 0)
        on_pivot_read(vm, r, strerror(-r), g);
}

static bool any_stuck(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (commit_is_stuck(g->members[i]))
            return true;
    return false;
}

/* A group that is doomed waits for what still copies: that can be cut short. So can what does not
 * come to the barrier, and what waits there below the active layer. */
static bool can_abort(const Group *g)
{
    if (g->phase == GROUP_RUNNING || g->doomed || (!g->past && any_stuck(g)))
        return true;
    for (size_t i = 0; i < g->n && !g->active; i++)
        if (g->members[i]->machine.phase <= JOB_HELD)
            return true;
    return false;
}

void group_abort(Vm *vm, DoneFunc done, void *userdata)
{
    Group *g = vm_group(vm);

    if (refuse_no_group(vm, done, userdata))
        return;
    if (!can_abort(g)) {
        refuse(vm, done, userdata, REFUSAL_NOT_READY,
               "its jobs are ending already. JobsFinished announces how.");
        return;
    }

    g->done = done;
    g->userdata = userdata;
    send_all(g, JOB_INTENT_ABORT, /* cut_short= */ g->phase == GROUP_ENDING);
}
