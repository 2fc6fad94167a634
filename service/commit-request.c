/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What callers want of a running job: Pivot, Abort, Pause, Resume, SetSpeed. Each is checked
 * against the phase, sent to QEMU, answered when QEMU has accepted, and only then taken as a fact.
 */
#include "commit-internal.h"

#include <errno.h>
#include <string.h>

#include "text.h"

typedef enum RequestKind {
    REQUEST_PIVOT,
    REQUEST_ABORT,
    REQUEST_FORCE, /* an abort that does not wait for the copy */
    REQUEST_PAUSE,
    REQUEST_RESUME,
    REQUEST_SPEED,
} RequestKind;

static bool is_end(RequestKind kind)
{
    return kind == REQUEST_PIVOT || kind == REQUEST_ABORT || kind == REQUEST_FORCE;
}

typedef struct CommitRequest {
    CommitRef *ref;
    RequestKind kind;
    uint64_t speed;
    bool deferred; /* whoever asked applies it, when all is answered */
    char *where;   /* outlives the job and the disk */
    DoneFunc done;
    void *userdata;
} CommitRequest;

/* Returns the job it was for, NULL if that has ended. */
static Commit *request_free(CommitRequest *r)
{
    Commit *c = commit_ref_free(r->ref);

    free(r->where);
    free(r);
    return c;
}

static void refuse_reply(CommitRequest *r, const QmpReply *reply)
{
    Refusal refusal = {REFUSAL_NONE, NULL};

    if (reply->error == -ETIMEDOUT)
        refusal_set(&refusal, REFUSAL_TIMED_OUT,
                    "%s: QEMU has not answered in time. The request may still be carried out: "
                    "watch JobState.",
                    r->where);
    else if (reply->error == -ENOTCONN)
        refusal_set(&refusal, REFUSAL_DISCONNECTED,
                    "%s: the VM went away. \"vmdiskctl list\" shows what is there.", r->where);
    else if (!r->ref->commit)
        refusal_set(&refusal, REFUSAL_NO_JOB, "%s: the job has ended meanwhile. LastJob tells how.",
                    r->where);
    else
        refusal_set(&refusal, REFUSAL_QMP, "%s: QEMU refused: %s (%s).", r->where,
                    reply->error_text, reply->error_class);
    r->done(&refusal, r->userdata);
    refusal_done(&refusal);
}

/* QEMU has accepted: the answer goes out first, then what it changes. */
static void apply(Commit *c, RequestKind kind, uint64_t speed)
{
    switch (kind) {
    case REQUEST_PIVOT:
        commit_handle(c, JOB_EVENT_PIVOT);
        return;
    case REQUEST_ABORT:
        c->machine.paused = false;
        commit_handle(c, JOB_EVENT_ABORT);
        return;
    case REQUEST_FORCE:
        commit_set_forced(c);
        return;
    case REQUEST_PAUSE:
    case REQUEST_RESUME:
        c->io_logged_usec = 0;
        commit_set_paused(c, kind == REQUEST_PAUSE);
        return;
    case REQUEST_SPEED:
        if (c->speed != speed) {
            c->speed = speed;
            commit_announce(c, COMMIT_CHANGE_SPEED);
        }
        return;
    }
}

/* The job goes on as it was, and so does what is on record. */
static void take_back(Commit *c)
{
    c->ending = c->forcing = false;
    if (c->auto_finalize)
        disk_record(c->disk);
}

static void on_answer(Qmp *q, const QmpReply *reply, void *userdata)
{
    CommitRequest *r = userdata;
    RequestKind kind = r->kind;
    uint64_t speed = r->speed;
    bool ends = is_end(kind), deferred = r->deferred;

    /* What timed out is sent and cannot be taken back: it counts as accepted. */
    bool accepted = reply->error == 0 || (ends && reply->error == -ETIMEDOUT);

    if (r->ref->commit && !accepted && ends && reply->error != -ENOTCONN)
        take_back(r->ref->commit);
    if (reply->error)
        refuse_reply(r, reply);
    else
        r->done(&(Refusal){REFUSAL_NONE, NULL}, r->userdata);
    Commit *c = request_free(r);
    if (!c)
        return;

    Vm *vm = disk_vm(c->disk);
    if (accepted && !deferred)
        apply(c, kind, speed);
    /* What QEMU tells by itself is not asked for: a guest may be waiting by now. */
    if (reply->error != -ENOTCONN && !(ends && reply->error == 0))
        vm_refresh_jobs(vm);
}

static CommitRequest *request_new(Commit *c, RequestKind kind, DoneFunc done, void *userdata)
{
    CommitRequest *r = calloc(1, sizeof(CommitRequest));
    CommitRef *ref = commit_ref_new(c);
    char *where = commit_where(c->disk);

    if (!r || !ref || !where) {
        free(r);
        if (ref)
            commit_ref_free(ref);
        free(where);
        done(&(Refusal){REFUSAL_NO_MEMORY, NULL}, userdata);
        return NULL;
    }

    *r = (CommitRequest){
        .ref = ref, .kind = kind, .where = where, .done = done, .userdata = userdata};
    return r;
}

/* The command could not even be queued. */
static void request_failed(CommitRequest *r, int error)
{
    Refusal refusal = {REFUSAL_NONE, NULL};

    if (is_end(r->kind))
        take_back(r->ref->commit);
    if (error == -EBUSY)
        refusal_set(&refusal, REFUSAL_LIMIT_EXCEEDED,
                    "%s: too many commands wait for this VM. Try again later.", r->where);
    else if (error == -ENOMEM)
        refusal_set(&refusal, REFUSAL_NO_MEMORY, "Out of memory; try again.");
    else
        refusal_set(&refusal, REFUSAL_DISCONNECTED,
                    "%s: the VM went away. \"vmdiskctl list\" shows what is there.", r->where);
    r->done(&refusal, r->userdata);
    refusal_done(&refusal);
    request_free(r);
}

static bool refuse_if_foreign(const Commit *c, DoneFunc done, void *userdata)
{
    if (!c->foreign)
        return false;

    disk_refuse(c->disk, done, userdata, REFUSAL_NOT_SUPPORTED,
                "job '%s' was started through another monitor and is controlled from there.",
                c->id);
    return true;
}

static bool refuse_if_member(const Commit *c, DoneFunc done, void *userdata)
{
    if (!c->group)
        return false;

    disk_refuse(c->disk, done, userdata, REFUSAL_NOT_SUPPORTED,
                "the disk is committed together with others of its VM, and ends with them: call "
                "Pivot or Abort of the VM (\"vmdiskctl pivot VM\", \"vmdiskctl abort VM\").");
    return true;
}

static void refuse_stopped(const Commit *c, DoneFunc done, void *userdata)
{
    disk_refuse(c->disk, done, userdata, REFUSAL_NOT_READY,
                "the job is paused by an I/O error: %s. Remove the cause (make room for the base), "
                "then call Resume; or end the job with Abort.",
                c->io_error);
}

static bool refuse_if_ending(const Commit *c, DoneFunc done, void *userdata)
{
    if (refuse_if_foreign(c, done, userdata))
        return true;
    if (!c->ending && c->machine.phase < JOB_ENDING)
        return false;

    if (c->io_error)
        refuse_stopped(c, done, userdata);
    else
        disk_refuse(c->disk, done, userdata, REFUSAL_NOT_READY,
                    "the job is ending already. JobFinished announces how, LastJob keeps it. Where "
                    "the end does not come within 10 s, because the guest writes faster than the "
                    "job copies, Abort cancels the job.");
    return true;
}

/* The reading that a pivot waits for failed: nothing was sent yet that could end the job. */
static void pivot_unread(CommitRequest *r, int error)
{
    QmpReply reply = {
        .error = error == -ETIMEDOUT || error == -ENOTCONN ? error : -EREMOTEIO,
        .error_class = "GenericError",
        .error_text = error ? "the block graph cannot be read" : "the job is ending already",
    };

    refuse_reply(r, &reply);
    Commit *c = request_free(r);
    if (c)
        c->ending = false;
}

/* What the guest will have to wait for at the barrier is written now, as far as it can be. */
static int prepare_record(const Commit *c)
{
    const Vm *vm = disk_vm(c->disk);
    LedgerPivot pivot;

    int r = commit_describe_pivot(c, &pivot);
    return r < 0 ? r : ledger_prepare_pivot(vm_ledger(vm), vm_name(vm), &pivot);
}

/* What must be on record before QEMU is told to complete: an Abort that was on its way when an
 * earlier process of ours ended is off; and where QEMU switches without asking, what may come. */
static int note_pivot_wish(Commit *c)
{
    const Vm *vm = disk_vm(c->disk);

    if (commit_was_aborted(c)) {
        int r = ledger_note_abort(vm_ledger(vm), vm_name(vm), disk_name(c->disk), /* job= */ NULL);
        if (r < 0)
            return r;
    }
    if (c->group)
        return 0; /* which has one record for all */
    c->pivot_usec = commit_now_usec();
    return c->auto_finalize ? commit_note_pivot(c, /* merging= */ true) : prepare_record(c);
}

/* c->ending is set. */
static void send_pivot(CommitRequest *r)
{
    Commit *c = r->ref->commit;

    int k = note_pivot_wish(c);
    if (k < 0) {
        c->ending = false;
        disk_refuse(c->disk, r->done, r->userdata, REFUSAL_NOT_READY,
                    "the image record cannot be written: %s. Make room for it, then pivot.",
                    strerror(-k));
        request_free(r);
        return;
    }

    k = block_job_complete(commit_qmp(c), c->qemu_id, on_answer, r);
    if (k < 0)
        request_failed(r, k);
}

/* Where QEMU switches without asking, there is no barrier at which bitmaps could be carried. The
 * base's record from here on what the job still writes. */
static void on_pivot_carried(Commit *carried, int error, const char *text, bool exported,
                             void *userdata)
{
    CommitRequest *r = userdata;
    Commit *c = r->ref->commit;

    if (!c || c->machine.phase != JOB_READY || (error && error != -EREMOTEIO)) {
        pivot_unread(r, error);
        return;
    }
    if (error) {
        c->ending = false;
        disk_refuse(c->disk, r->done, r->userdata, REFUSAL_NOT_SUPPORTED,
                    "%s. Nothing was pivoted; Abort keeps the overlay and its bitmaps.", text);
        request_free(r);
        return;
    }
    send_pivot(r);
}

static void on_pivot_read(Vm *vm, int error, const char *text, void *userdata)
{
    CommitRequest *r = userdata;
    Commit *c = r->ref->commit;

    if (!c || error || c->machine.phase != JOB_READY) {
        pivot_unread(r, error);
        return;
    }

    /* A client of an export could connect while the job is held, and lose its writes (qmp.md, F8):
     * such a disk is handed over by QEMU in one go, by a job that was started so. */
    if (!c->auto_finalize && disk_has_export(c->disk, vm_graph(vm))) {
        r->done(&(Refusal){REFUSAL_NONE, NULL}, r->userdata);
        request_free(r);
        commit_handle(c, JOB_EVENT_PIVOT);
        commit_restart(c);
        return;
    }

    if (!c->auto_finalize) {
        send_pivot(r);
        return;
    }
    int k = commit_carry_bitmaps(c, on_pivot_carried, r);
    if (k < 0)
        request_failed(r, k);
}

void commit_pivot(Commit *c, DoneFunc done, void *userdata)
{
    if (refuse_if_member(c, done, userdata) || refuse_if_ending(c, done, userdata))
        return;
    if (!c->active) {
        disk_refuse(c->disk, done, userdata, REFUSAL_NOT_READY,
                    "this job commits images below the active layer and ends by itself; there is "
                    "nothing to pivot to.");
        return;
    }
    if (c->io_error) {
        refuse_stopped(c, done, userdata);
        return;
    }
    if (c->machine.phase != JOB_READY || c->machine.paused) {
        disk_refuse(c->disk, done, userdata, REFUSAL_NOT_READY,
                    c->machine.paused
                        ? "the job is paused. Resume it, then pivot."
                        : "the job is still copying. Wait for JobReady (\"vmdiskctl wait\"), then "
                          "pivot.");
        return;
    }

    CommitRequest *r = request_new(c, REQUEST_PIVOT, done, userdata);
    if (!r)
        return;

    c->ending = true;
    commit_deadline_check(c);
    int k = vm_refresh(disk_vm(c->disk), on_pivot_read, r);
    if (k < 0)
        request_failed(r, k);
}

bool commit_is_stuck(const Commit *c)
{
    return c->machine.phase == JOB_ENDING && c->ending_usec > 0 &&
           commit_monotonic_usec() - c->ending_usec >= COMMIT_END_USEC;
}

/* By force, where no soft end comes of it: an I/O error has paused the job, and what is missing in
 * the base cannot be copied there (QEMU may have paused it again between a resume and what follows
 * it, too); or it has been on its way to one for long. */
static void send_force(CommitRequest *r)
{
    Commit *c = r->ref->commit;

    r->kind = REQUEST_FORCE;
    c->ending = c->forcing = true;
    c->restarting = c->complete_when_ready = false;
    int k = block_job_force_cancel(commit_qmp(c), c->qemu_id, on_answer, r);
    if (k < 0)
        request_failed(r, k);
}

void commit_force_abort(Commit *c)
{
    CommitRequest *r = request_new(c, REQUEST_FORCE, commit_ignore_done, /* userdata= */ NULL);

    if (r)
        send_force(r);
}

/* On record for whoever finds the job at the barrier, where a job that still copies may be by the
 * time QEMU reads this; an Abort does not fail for want of it. */
static void note_abort(const Commit *c)
{
    Ledger *l = vm_ledger(disk_vm(c->disk));
    const char *vm = vm_name(disk_vm(c->disk)), *disk = disk_name(c->disk);

    (void)ledger_note_abort(l, vm, disk, c->id);
    if (!c->group)
        (void)ledger_prepare_held(l, vm, disk, c->id);
}

static void send_abort(CommitRequest *r)
{
    Commit *c = r->ref->commit;

    if (c->io_stopped || commit_is_stuck(c)) {
        send_force(r);
        return;
    }
    c->forcing = false;

    if (c->active)
        note_abort(c);

    /* QEMU refuses a soft cancel of a paused job; commands are carried out in order. */
    c->ending = true;
    int k = c->machine.paused ? block_job_resume(commit_qmp(c), c->qemu_id, NULL, NULL) : 0;
    if (k >= 0)
        k = block_job_cancel(commit_qmp(c), c->qemu_id, on_answer, r);
    if (k < 0)
        request_failed(r, k);
}

void commit_abort(Commit *c, DoneFunc done, void *userdata)
{
    if (refuse_if_member(c, done, userdata))
        return;
    /* A job that does not come to the end it is on its way to can be told to give up. */
    if (!c->io_stopped && !commit_is_stuck(c) && refuse_if_ending(c, done, userdata))
        return;

    CommitRequest *r = request_new(c, REQUEST_ABORT, done, userdata);
    if (r)
        send_abort(r);
}

void commit_conclude(Commit *c, JobIntent intent, bool deferred, DoneFunc done, void *userdata)
{
    RequestKind kind = intent == JOB_INTENT_PIVOT ? REQUEST_PIVOT : REQUEST_ABORT;
    CommitRequest *r = request_new(c, kind, done, userdata);
    if (!r)
        return;

    r->deferred = deferred;
    c->ending = true;
    if (kind == REQUEST_PIVOT)
        send_pivot(r);
    else
        send_abort(r);
}

void commit_apply(Commit *c, JobIntent intent)
{
    apply(c,
          intent == JOB_INTENT_PIVOT ? REQUEST_PIVOT
          : c->forcing               ? REQUEST_FORCE
                                     : REQUEST_ABORT,
          /* speed= */ 0);
}

void commit_pause(Commit *c, DoneFunc done, void *userdata)
{
    if (refuse_if_ending(c, done, userdata))
        return;
    if (c->machine.paused) {
        disk_refuse(c->disk, done, userdata, REFUSAL_NOT_READY,
                    "the job is paused already. Resume goes on with it.");
        return;
    }

    CommitRequest *r = request_new(c, REQUEST_PAUSE, done, userdata);
    if (!r)
        return;

    int k = block_job_pause(commit_qmp(c), c->qemu_id, on_answer, r);
    if (k < 0)
        request_failed(r, k);
}

void commit_resume(Commit *c, DoneFunc done, void *userdata)
{
    /* A job may stand still on its way to the end. */
    if (!c->io_error && refuse_if_ending(c, done, userdata))
        return;
    if (!c->machine.paused) {
        disk_refuse(c->disk, done, userdata, REFUSAL_NOT_READY, "the job is not paused.");
        return;
    }

    CommitRequest *r = request_new(c, REQUEST_RESUME, done, userdata);
    if (!r)
        return;

    int k = block_job_resume(commit_qmp(c), c->qemu_id, on_answer, r);
    if (k < 0)
        request_failed(r, k);
}

void commit_set_speed(Commit *c, uint64_t speed, DoneFunc done, void *userdata)
{
    if (refuse_if_ending(c, done, userdata))
        return;
    if (speed > INT64_MAX) {
        disk_refuse(c->disk, done, userdata, REFUSAL_INVALID_ARGS,
                    "the speed is beyond 2^63-1 bytes per second; 0 means unlimited.");
        return;
    }

    CommitRequest *r = request_new(c, REQUEST_SPEED, done, userdata);
    if (!r)
        return;

    r->speed = speed;
    int k = block_job_set_speed(commit_qmp(c), c->qemu_id, speed, on_answer, r);
    if (k < 0)
        request_failed(r, k);
}
