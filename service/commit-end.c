/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a commit: the barrier, where guest I/O stands still and what must be on record is
 * written; the settling, where the graph is read back and data is flushed; the announcement.
 */
#include "commit-internal.h"

#include <errno.h>
#include <string.h>

#include "group-internal.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"

void commit_restart(Commit *c)
{
    Vm *vm = disk_vm(c->disk);

    /* The export shows where the guest's data is after the pivot: the disk must know it before. */
    vm_refresh_unasked(vm);
    c->restarting = true;
    commit_leave_barrier(c);
}

static void on_restarted(Qmp *q, const QmpReply *reply, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c || reply->error == -ENOTCONN)
        return;

    c->starting = false;
    if (reply->error == -EREMOTEIO) {
        free(c->error);
        c->error = strdup(reply->error_text);
        commit_handle(c, JOB_EVENT_GONE);
        return;
    }
    vm_refresh_jobs(disk_vm(c->disk));
}

void commit_restart_now(Commit *c)
{
    CommitRef *ref = commit_ref_new(c);
    char *id = commit_make_id(c, commit_now_usec());

    (void)block_job_dismiss(commit_qmp(c), c->qemu_id, /* callback= */ NULL, NULL);
    c->restarting = false;
    c->auto_finalize = true;
    int r = -ENOMEM;
    if (ref && id) {
        free(c->qemu_id);
        c->qemu_id = TAKE_PTR(id);
        c->starting = c->complete_when_ready = true;
        r = commit_send(c, on_restarted, ref);
    }
    free(id);
    if (r >= 0)
        return;

    if (ref)
        commit_ref_free(ref);
    c->starting = c->complete_when_ready = false;
    free(c->error);
    c->error = strdup(strerror(-r));
    commit_handle(c, JOB_EVENT_GONE);
}

/* Guest I/O stands still, base and overlay are equal: whichever the record names can be booted. */
static void pass_barrier(Commit *c)
{
    int r = commit_note_pivot(c, /* merging= */ false);

    if (r < 0)
        commit_blame_record(c, r);
    commit_handle(c, r < 0 ? JOB_EVENT_BARRIER_REFUSED : JOB_EVENT_BARRIER_DONE);
}

void commit_blame_record(Commit *c, int error)
{
    free(c->error);
    c->error = text_format("The image record cannot be written: %s. The guest stays on the overlay",
                           strerror(-error));
}

int commit_describe_pivot(const Commit *c, LedgerPivot *ret)
{
    const GraphVertex *base = graph_find(vm_graph(disk_vm(c->disk)), GRAPH_NODE, c->base);

    if (!base || !base->file)
        return -ENOENT;
    *ret = (LedgerPivot){
        .disk = disk_name(c->disk),
        .base_file = base->file,
        .since_usec = c->pivot_usec ? c->pivot_usec : commit_now_usec(),
    };
    return 0;
}

int commit_note_pivot(const Commit *c, bool merging)
{
    const Vm *vm = disk_vm(c->disk);
    LedgerPivot pivot;

    int r = commit_describe_pivot(c, &pivot);
    return r < 0 ? r : ledger_note_pivot(vm_ledger(vm), vm_name(vm), &pivot, merging);
}

static void refuse_barrier(Commit *c, const char *text)
{
    /* Images below the active layers are not merged together for the guest's sake. */
    if (c->group && c->active) {
        group_doom(c->group, text);
        return;
    }
    free(c->error);
    c->error = strdup(text);
    commit_handle(c, JOB_EVENT_BARRIER_REFUSED);
}

static void on_carried(Commit *c, int error, const char *text, bool exported, void *userdata)
{
    if (!c || error == -ENOTCONN)
        return;
    c->asked = false;
    /* It is asked again with the next look at the job. */
    if (error == -EBUSY)
        return;
    if (c->machine.phase != JOB_HELD) {
        vm_refresh_jobs(disk_vm(c->disk));
        return;
    }
    c->carried = !error;
    if (error) {
        refuse_barrier(c, text);
        return;
    }
    if (c->group) {
        group_member_held(c);
        return;
    }
    /* Only a pivot moves the guest to another image. */
    if (!c->active) {
        commit_handle(c, JOB_EVENT_BARRIER_DONE);
        return;
    }
    /* One that came up while the job was on its way to the barrier: its clients are not held. */
    if (exported) {
        commit_handle(c, JOB_EVENT_RESTART);
        commit_restart(c);
        return;
    }
    pass_barrier(c);
}

bool commit_was_aborted(const Commit *c)
{
    const Vm *vm = disk_vm(c->disk);
    const LedgerGroup *g = ledger_find(vm_ledger(vm), vm_name(vm), disk_name(c->disk));

    return g && text_equal(g->abort_job, c->id);
}

static bool is_abort(const Commit *c)
{
    return c->forcing || c->machine.intent == JOB_INTENT_ABORT ||
           (c->machine.intent == JOB_INTENT_NONE && commit_was_aborted(c));
}

/* Whoever has told the job to complete before, finalized it would pivot, whatever it was told since
 * (mirror.c, should_complete): only a cancel is sure to keep the overlay. Best effort: without the
 * record a restart claims that the copy was cancelled. */
static void keep_overlay(Commit *c)
{
    const Vm *vm = disk_vm(c->disk);

    if (c->active)
        (void)ledger_note_held(vm_ledger(vm), vm_name(vm), disk_name(c->disk), c->id);
    commit_handle(c, JOB_EVENT_BARRIER_REFUSED);
}

void commit_record(Commit *c)
{
    /* Nothing leaves the chain. Where an earlier process of ours, or somebody else, has asked for
     * the end, it may be a pivot; if it was none, the end puts the record right. */
    bool nothing_to_carry = c->group ? c->carried || group_is_decided(c) : is_abort(c);

    if (nothing_to_carry && c->group)
        group_member_held(c);
    else if (nothing_to_carry)
        keep_overlay(c);
    else if (!c->asked)
        /* What cannot be sent now is sent with the next look at the job. */
        c->asked = commit_carry_bitmaps(c, on_carried, /* userdata= */ NULL) >= 0;
}

static JobGraph read_back(const Commit *c)
{
    if (disk_is_gone(c->disk))
        return JOB_GRAPH_UNKNOWN;
    return chain_find_node(disk_chain(c->disk), c->top) < 0 ? JOB_GRAPH_MERGED
                                                            : JOB_GRAPH_UNCHANGED;
}

static void judge(Commit *c)
{
    c->result = job_judge(&c->machine, c->active, c->error, c->gone, read_back(c));
    if (c->result == JOB_RESULT_LOST && !c->error)
        c->error = strdup("The disk and its job went away, and nobody can tell how the job ended");
    commit_make_durable(c);
}

static void on_settled(Vm *vm, int error, const char *text, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c)
        return;

    /* What was not read is not guessed at: the next look at the job tries again. */
    c->settling = !error && !disk_is_outdated(c->disk);
    if (c->settling)
        judge(c);
}

void commit_settle(Commit *c)
{
    if (c->settling)
        return;

    /* Neither device nor export follows this pivot, and no filter: that it was asked for is all
     * that tells it. */
    if (c->active && disk_is_lone(c->disk) && strcmp(disk_chain(c->disk)->root, c->top) == 0 &&
        c->machine.intent == JOB_INTENT_PIVOT && !c->error && !c->gone)
        (void)disk_set_merged(c->disk, c->base);
    else if (c->end_is_read && !disk_is_outdated(c->disk)) {
        c->settling = true;
        judge(c);
        return;
    }

    CommitRef *ref = commit_ref_new(c);
    int r = ref ? vm_refresh(disk_vm(c->disk), on_settled, ref) : -ENOMEM;

    c->settling = r >= 0;
    if (r < 0 && ref)
        commit_ref_free(ref);
}

static RefusalKind result_error(JobResult result)
{
    switch (result) {
    case JOB_RESULT_COMPLETED:
    case JOB_RESULT_KEPT:
    case JOB_RESULT_CANCELLED:
        return REFUSAL_NONE;
    case JOB_RESULT_FAILED:
        return REFUSAL_QMP;
    case JOB_RESULT_LOST:
        return REFUSAL_DISCONNECTED;
    case JOB_RESULT_MAX_:
        break;
    }
    return REFUSAL_QMP;
}

static const char *result_message_id(JobResult result)
{
    switch (result) {
    case JOB_RESULT_COMPLETED:
    case JOB_RESULT_KEPT:
    case JOB_RESULT_CANCELLED:
        return MESSAGE_JOB_FINISHED;
    case JOB_RESULT_FAILED:
        return MESSAGE_JOB_FAILED;
    case JOB_RESULT_LOST:
        return MESSAGE_JOB_LOST;
    case JOB_RESULT_MAX_:
        break;
    }
    return NULL;
}

static void log_end(const Commit *c, JobResult result, RefusalKind error, const char *message)
{
    LogContext context = {
        .message_id = result_message_id(result),
        .vm = vm_name(disk_vm(c->disk)),
        .disk = disk_name(c->disk),
        .job = c->id,
        .result = job_result_to_string(result),
        .error = refusal_kind_to_string(error),
        .detail = message,
    };

    log_line(error == REFUSAL_NONE ? LOG_NOTICE : LOG_ERR, &context,
             "VM '%s', disk '%s': commit into '%s' %s%s%s", context.vm, context.disk, c->base,
             context.result, *message ? ": " : "", message);
}

void commit_clear_up(Commit *c, JobResult result)
{
    commit_remove_recorder(c);
    if (!c->gone)
        (void)block_job_dismiss(commit_qmp(c), c->qemu_id, /* callback= */ NULL, NULL);
    if (!c->active && result == JOB_RESULT_COMPLETED)
        commit_close_dropped(c);
}

#define CUT_OFF_TEXT "The deadline passed before the job was ready"

void commit_finish(Commit *c, JobResult result)
{
    /* Freed last, whichever way this returns. */
    _cleanup_(commit_freep) __attribute__((unused)) Commit *ended = c;
    RefusalKind error = result_error(result);
    const char *message = error != REFUSAL_NONE && c->error              ? c->error
                          : c->cut_off && result == JOB_RESULT_CANCELLED ? CUT_OFF_TEXT
                                                                         : "";
    LastJob last = {
        .id = strdup(c->id),
        .type = strdup(COMMIT_TYPE),
        .message = strdup(message),
        .result = result,
        .error = error,
        .started_usec = c->started_usec,
        .finished_usec = commit_now_usec(),
    };
    Vm *vm = disk_vm(c->disk);
    void *userdata;
    const DomainObserver *o = vm_observer(vm, &userdata);

    log_end(c, result, error, message);
    disk_end_job(c->disk, &last);
    o->job_finished(c, userdata);
    group_member_ended(c, result, message);

    if (!vm_qmp(vm))
        return; /* the VM went away */

    /* Announced first: a job that QEMU still lists is found again by a successor of ours. */
    commit_clear_up(c, result);
    /* What outlived its device goes now; a lone node that was merged shows its base. */
    if (disk_is_gone(c->disk) || disk_is_lone(c->disk))
        vm_refresh_unasked(vm);
}
