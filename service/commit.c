/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-internal.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "group-internal.h"
#include "text.h"

char *commit_where(const Disk *d)
{
    return text_format("VM '%s', disk '%s'", vm_name(disk_vm(d)), disk_name(d));
}

void commit_refuse(const Disk *d, Refusal *r, RefusalKind kind, const char *format, ...)
{
    _cleanup_(freep) char *where = commit_where(d), *what = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&what, format, ap);
    va_end(ap);

    if (n < 0)
        what = NULL;
    if (what && where)
        refusal_set(r, kind, "%s: %s", where, what);
    else
        *r = (Refusal){REFUSAL_NO_MEMORY, NULL};
}

int commit_new(Disk *d, const CommitPlan *plan, Commit **ret)
{
    _cleanup_(commit_freep) Commit *c = calloc(1, sizeof(Commit));
    if (!c)
        return -ENOMEM;

    *c = (Commit){
        .disk = d,
        .active = plan->active,
        .type = strdup(COMMIT_TYPE),
        .top = strdup(plan->top),
        .base = strdup(plan->base),
        .on_ready = plan->on_ready,
        .on_error = plan->on_error,
        .backing_file = plan->backing_file ? strdup(plan->backing_file) : NULL,
        .speed = plan->speed,
        .drop_bitmaps = plan->drop_bitmaps,
        .recorder = plan->recorder,
        .deadline_usec = plan->deadline_usec,
        .on_deadline = plan->on_deadline,
        .uid = plan->uid,
        .group_serial = plan->group,
    };
    if (!c->type || !c->top || !c->base || (plan->backing_file && !c->backing_file))
        return -ENOMEM;

    *ret = TAKE_PTR(c);
    return 0;
}

Commit *commit_free(Commit *c)
{
    if (!c)
        return NULL;

    for (CommitRef *ref = c->refs; ref; ref = ref->next)
        ref->commit = NULL;
    group_forget(c);
    sd_event_source_disable_unref(c->deadline);
    free(c->id);
    free(c->qemu_id);
    free(c->type);
    free(c->top);
    free(c->base);
    free(c->backing_file);
    free(c->io_error);
    free(c->error);
    free(c);
    return NULL;
}

CommitRef *commit_ref_new(Commit *c)
{
    CommitRef *ref = calloc(1, sizeof(CommitRef));
    if (!ref)
        return NULL;

    *ref = (CommitRef){.commit = c, .next = c->refs};
    if (c->refs)
        c->refs->previous = ref;
    c->refs = ref;
    return ref;
}

Commit *commit_ref_free(CommitRef *ref)
{
    Commit *c = ref->commit;

    if (c) {
        if (ref->previous)
            ref->previous->next = ref->next;
        else
            c->refs = ref->next;
        if (ref->next)
            ref->next->previous = ref->previous;
    }
    free(ref);
    return c;
}

Qmp *commit_qmp(const Commit *c)
{
    return c->dry ? c->dry : vm_qmp(disk_vm(c->disk));
}

void commit_announce(Commit *c, unsigned changes)
{
    void *userdata;
    const DomainObserver *o = vm_observer(disk_vm(c->disk), &userdata);

    if (changes)
        o->job_changed(c, changes, userdata);
}

static void announce_start(Commit *c)
{
    void *userdata;
    const DomainObserver *o = vm_observer(disk_vm(c->disk), &userdata);

    o->job_started(c, userdata);
}

static void announce_ready(Commit *c)
{
    void *userdata;
    const DomainObserver *o = vm_observer(disk_vm(c->disk), &userdata);

    o->job_ready(c, userdata);
}

void commit_ignore_done(const Refusal *refusal, void *userdata)
{
}

void commit_act_on_ready(Commit *c)
{
    if (c->group) {
        group_member_ready(c);
        return;
    }
    c->choice_usec = commit_monotonic_usec();
    switch (c->on_ready) {
    case JOB_ON_READY_WAIT:
    case JOB_ON_READY_MAX_:
        return;
    case JOB_ON_READY_PIVOT:
        /* An Abort is newer; an earlier process may not have come to sending it. */
        if (commit_was_aborted(c))
            commit_abort(c, commit_ignore_done, /* userdata= */ NULL);
        else
            commit_pivot(c, commit_ignore_done, /* userdata= */ NULL);
        return;
    case JOB_ON_READY_KEEP:
        commit_abort(c, commit_ignore_done, /* userdata= */ NULL);
        return;
    }
}

bool commit_is_choice_due(uint64_t usec)
{
    return commit_monotonic_usec() - usec >= VM_PROGRESS_USEC;
}

static void on_conclude_asked(Qmp *q, const QmpReply *reply, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c || reply->error == -ENOTCONN)
        return;

    /* Refused, it is tried again with the next look at the job: nobody else would ask for it. */
    c->complete_when_ready = reply->error;
}

static void on_barrier_left(Qmp *q, const QmpReply *reply, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c || reply->error == -ENOTCONN)
        return;

    c->asked = false;
    if (reply->error)
        vm_refresh_jobs(disk_vm(c->disk));
}

void commit_leave_barrier(Commit *c)
{
    bool cancel = c->give_up || c->restarting;
    CommitRef *ref = c->asked ? NULL : commit_ref_new(c);
    if (!ref)
        return;

    int r = cancel ? block_job_force_cancel(commit_qmp(c), c->qemu_id, on_barrier_left, ref)
                   : block_job_finalize(commit_qmp(c), c->qemu_id, on_barrier_left, ref);
    c->asked = r >= 0;
    if (r < 0)
        commit_ref_free(ref);
}

/* At most one effect of each event ends the life of c; it is the last that is carried out. */
static void carry_out(Commit *c, unsigned effects)
{
    if (effects & JOB_EFFECT_ANNOUNCE_START) {
        announce_start(c);
        commit_deadline_arm(c);
        vm_refresh_unasked(disk_vm(c->disk)); /* the base is open for writing now */
    }
    if (effects & JOB_EFFECT_ANNOUNCE_READY) {
        /* On record first: whoever has seen the signal does not get it again after a restart. */
        (void)ledger_note_ready(vm_ledger(disk_vm(c->disk)), vm_name(disk_vm(c->disk)),
                                disk_name(c->disk), c->id);
        announce_ready(c);
        commit_act_on_ready(c);
    }
    if (effects & (JOB_EFFECT_FINALIZE | JOB_EFFECT_GIVE_UP)) {
        c->give_up = effects & JOB_EFFECT_GIVE_UP;
        commit_leave_barrier(c);
    }
    if (effects & JOB_EFFECT_RECORD)
        commit_record(c);
    if (effects & JOB_EFFECT_SETTLE)
        commit_settle(c);
    assert(!(effects & JOB_EFFECT_FINISH)); /* commit_finish() is the only one who may */
}

void commit_handle(Commit *c, JobEvent event)
{
    JobState before = job_state(&c->machine);
    unsigned effects = job_handle(&c->machine, event);

    if (c->machine.phase == JOB_ENDING && c->ending_usec == 0)
        c->ending_usec = commit_monotonic_usec();
    if (job_state(&c->machine) != before && before != JOB_STATE_NONE)
        commit_announce(c, COMMIT_CHANGE_STATE | commit_due_progress(c));
    /* A guest waits at the barrier: what is asked for its sake goes first. */
    const bool holds = effects & JOB_EFFECT_RECORD;
    if (!holds)
        commit_deadline_check(c);
    carry_out(c, effects);
    if (holds)
        commit_deadline_check(c);
}

static void take_error(Commit *c, const char *error)
{
    if (!error || c->error)
        return;
    c->error = strdup(error);
}

static void handle_concluded(Commit *c, const GraphJob *job)
{
    if (c->restarting) {
        commit_restart_now(c);
        return;
    }
    take_error(c, job->error);
    commit_handle(c, JOB_EVENT_CONCLUDED);
}

static void on_restarted_carried(Commit *c, int error, const char *text, bool exported,
                                 void *userdata)
{
    if (!c || error == -ENOTCONN || c->forcing)
        return;
    if (error == -EBUSY) {
        c->complete_when_ready = true;
        return;
    }

    CommitRef *ref = commit_ref_new(c);
    c->complete_when_ready = !ref;
    if (!ref)
        return;

    /* Of an attempt before, whose command found no room. */
    free(c->error);
    c->error = error ? strdup(text) : NULL;
    int noted = error ? 0 : commit_note_pivot(c, /* merging= */ true);
    if (noted < 0)
        commit_blame_record(c, noted);
    int r = error || noted < 0
                ? block_job_cancel(commit_qmp(c), c->qemu_id, on_conclude_asked, ref)
                : block_job_complete(commit_qmp(c), c->qemu_id, on_conclude_asked, ref);
    c->complete_when_ready = r < 0;
    if (r < 0)
        commit_ref_free(ref);
}

/* A job that was started again is ready: what the caller has asked for is done. */
static void complete_restarted(Commit *c)
{
    c->complete_when_ready =
        commit_carry_bitmaps(c, on_restarted_carried, /* userdata= */ NULL) < 0;
}

static void handle_ready(Commit *c)
{
    if (c->restarting)
        commit_leave_barrier(c);
    else if (c->complete_when_ready)
        complete_restarted(c);
    else if (c->group && c->machine.phase == JOB_READY)
        group_member_ready(c);
    else if (c->machine.phase != JOB_READY)
        commit_handle(c, JOB_EVENT_READY);
    else if (!c->ending && !c->machine.paused && commit_is_choice_due(c->choice_usec))
        commit_act_on_ready(c);
}

static void handle_pending(Commit *c)
{
    if (c->restarting || c->machine.phase == JOB_RELEASED)
        commit_leave_barrier(c);
    else if (c->group && group_is_asking(c->group))
        group_be_patient(c->group); /* faster than the answers: looked at again after those */
    else if (c->machine.phase == JOB_HELD)
        commit_record(c);
    else
        commit_handle(c, JOB_EVENT_PENDING);
}

/* Ours, and in the phases that its status alone leads through. */
static bool goes_by_status(const Commit *c)
{
    return !c->foreign && !c->withdrawn && !c->starting && !c->restarting &&
           c->machine.phase != JOB_STARTING && c->machine.phase != JOB_SETTLING;
}

bool commit_handle_pending(Commit *c)
{
    if (!goes_by_status(c) || c->auto_finalize)
        return false;

    handle_pending(c);
    return true;
}

static void on_end_read(Vm *vm, int error, const char *text, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c)
        return;

    /* What was not read is looked at again by the timer of the jobs. */
    c->reading_end = false;
    if (error)
        return;

    const GraphJob *job = graph_find_job(vm_graph(vm), c->qemu_id);
    c->end_is_read = !job || strcmp(job->status, "concluded") == 0;
    commit_handle_status(c, job);
}

bool commit_handle_concluded(Commit *c)
{
    if (c->reading_end)
        return true;

    CommitRef *ref = goes_by_status(c) ? commit_ref_new(c) : NULL;
    if (!ref)
        return false;

    /* What the job says of its end, and what the graph says, in one reading. */
    c->reading_end = vm_refresh(disk_vm(c->disk), on_end_read, ref) >= 0;
    if (!c->reading_end)
        commit_ref_free(ref);
    return c->reading_end;
}

static void handle_missing(Commit *c)
{
    if (c->machine.phase == JOB_STARTING) {
        /* The start that timed out did not take place. */
        commit_remove_recorder(c);
        disk_set_job(c->disk, NULL);
        return;
    }
    if (c->restarting) {
        commit_restart_now(c);
        return;
    }
    c->gone = true;
    commit_handle(c, JOB_EVENT_GONE);
}

void commit_recall(Commit *c)
{
    if (c->foreign)
        return;

    Vm *vm = disk_vm(c->disk);
    const LedgerGroup *g = ledger_find(vm_ledger(vm), vm_name(vm), disk_name(c->disk));

    commit_log_io_error(c);
    c->machine.held = g && text_equal(g->held_job, c->id);
    /* Its JobReady went out before the restart. */
    if (g && text_equal(g->ready_job, c->id) && c->machine.phase == JOB_RUNNING) {
        c->machine.phase = JOB_READY;
        c->machine.announced = true;
        commit_act_on_ready(c);
    }
    commit_deadline_arm(c);
}

void commit_handle_status(Commit *c, const GraphJob *job)
{
    if (c->starting)
        return;
    if (c->withdrawn) {
        group_member_withdrawn(c, job);
        return;
    }
    if (c->foreign) {
        commit_handle_foreign(c, job);
        return;
    }
    /* Its end has been seen: whoever has dismissed it since takes nothing away. */
    if (c->machine.phase == JOB_SETTLING) {
        commit_settle(c);
        return;
    }
    if (!job) {
        handle_missing(c);
        return;
    }
    if (c->machine.phase == JOB_STARTING)
        commit_handle(c, JOB_EVENT_STARTED);

    commit_take_progress(c, job);
    commit_take_io_status(c, job);
    /* Resumed through another monitor; or what was found at a restart was a drain's pause. Not the
     * other way round: a drain is no pause to tell of. */
    if (c->machine.paused && job->block && !job->paused)
        commit_set_paused(c, false);
    if (strcmp(job->status, "ready") == 0 || strcmp(job->status, "standby") == 0) {
        /* Neither end can be had of a job that stands still. */
        if (c->io_stopped || c->machine.phase != JOB_RUNNING)
            commit_deadline_check(c);
        if (!c->io_stopped)
            handle_ready(c);
        return;
    }
    if (strcmp(job->status, "running") == 0 || strcmp(job->status, "paused") == 0)
        commit_deadline_check(c);
    if (strcmp(job->status, "pending") == 0 && !job->auto_finalize)
        handle_pending(c);
    else if (strcmp(job->status, "concluded") == 0)
        handle_concluded(c, job);
}

void commit_handle_lost(Commit *c)
{
    if (c->foreign) {
        commit_handle_foreign(c, /* job= */ NULL);
        return;
    }
    if (c->machine.phase == JOB_STARTING) {
        disk_set_job(c->disk, NULL);
        return;
    }
    free(c->error);
    c->error = strdup("The VM went away while the job ran");
    job_handle(&c->machine, JOB_EVENT_LOST);
    commit_finish(c, JOB_RESULT_LOST);
}

Disk *commit_disk(const Commit *c)
{
    return c->disk;
}

const char *commit_id(const Commit *c)
{
    return c->id;
}

const char *commit_type(const Commit *c)
{
    return c->type;
}

bool commit_is_foreign(const Commit *c)
{
    return c->foreign;
}

const char *commit_qemu_id(const Commit *c)
{
    return c->qemu_id;
}

JobState commit_state(const Commit *c)
{
    return job_state(&c->machine);
}

bool commit_is_started(const Commit *c)
{
    return c->machine.phase != JOB_STARTING;
}

bool commit_is_ending(const Commit *c)
{
    if (c->foreign)
        return false;
    return c->ending || c->machine.phase >= JOB_ENDING || (c->adopted && c->auto_finalize);
}

bool commit_awaits_instant(const Commit *c)
{
    bool copies_anew = c->restarting || c->starting || c->complete_when_ready;

    return !c->foreign && c->machine.phase == JOB_ENDING && !c->forced && !c->machine.paused &&
           !copies_anew;
}

bool commit_is_holding(const Commit *c)
{
    return !c->foreign && (c->machine.phase == JOB_HELD || c->machine.phase == JOB_RELEASED);
}

uint64_t commit_speed(const Commit *c)
{
    return c->speed;
}

JobOnReady commit_on_ready(const Commit *c)
{
    return c->on_ready;
}

const char *commit_top(const Commit *c)
{
    return c->top;
}

const char *commit_base(const Commit *c)
{
    return c->base;
}

uid_t commit_uid(const Commit *c)
{
    return c->uid;
}

uint64_t commit_started_usec(const Commit *c)
{
    return c->started_usec;
}
