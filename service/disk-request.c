/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What callers want of a disk: looked at against the disk as it is now, then handed to its job.
 */
#include "disk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "commit-check.h"
#include "commit-internal.h"

void disk_refuse(const Disk *d, DoneFunc done, void *userdata, RefusalKind kind, const char *format,
                 ...)
{
    _cleanup_(freep) char *text = NULL;
    Refusal refusal = {REFUSAL_NONE, NULL};
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);

    if (n < 0) {
        text = NULL;
        refusal.kind = REFUSAL_NO_MEMORY;
    } else {
        refusal_set(&refusal, kind, "VM '%s', disk '%s': %s", vm_name(disk_vm(d)), disk_name(d),
                    text);
    }
    done(&refusal, userdata);
    refusal_done(&refusal);
}

/* Who is answered: one of the two functions is set. */
typedef struct WishAnswer {
    DoneFunc done;
    CheckFunc checked;
    void *userdata;
} WishAnswer;

/* A commit, or the check of one, that waits for a fresh reading. The disk may go meanwhile: it is
 * found by name. */
typedef struct CommitWish {
    char *disk;
    CommitOptions options;
    uid_t uid;
    WishAnswer answer;
} CommitWish;

static CommitWish *wish_free(CommitWish *w)
{
    if (!w)
        return NULL;

    free(w->disk);
    commit_options_done(&w->options);
    free(w);
    return NULL;
}
DEFINE_CLEANUP(CommitWish, wish_free)

static CommitWish *wish_new(const Disk *d, const CommitOptions *options, uid_t uid,
                            const WishAnswer *answer)
{
    _cleanup_(wish_freep) CommitWish *w = calloc(1, sizeof(CommitWish));
    if (!w)
        return NULL;

    *w = (CommitWish){.disk = strdup(disk_name(d)), .uid = uid, .answer = *answer};
    if (!w->disk || commit_options_copy(options, &w->options) < 0)
        return NULL;
    return TAKE_PTR(w);
}

/* Takes what the refusal holds. */
static void answer_no(const WishAnswer *answer, Refusal *refusal)
{
    if (answer->checked)
        answer->checked(/* report= */ NULL, refusal, answer->userdata);
    else
        answer->done(refusal, answer->userdata);
    refusal_done(refusal);
}

bool disk_refuses_second_job(const Disk *d, Refusal *ret_refusal)
{
    if (!disk_job(d))
        return false;

    if (commit_is_foreign(disk_job(d))) {
        commit_refuse(
            d, ret_refusal, REFUSAL_JOB_EXISTS,
            "job '%s', which was started through another monitor, works on its images. Wait "
            "until it has ended, or end it there.",
            commit_id(disk_job(d)));
        return true;
    }

    JobState state = commit_state(disk_job(d));
    commit_refuse(d, ret_refusal, REFUSAL_JOB_EXISTS,
                  "a commit is on the disk already (state: %s). %s",
                  state == JOB_STATE_NONE ? "starting" : job_state_to_string(state),
                  state == JOB_STATE_READY
                      ? "End it with Pivot (go on with the base) or Abort (keep the overlay)."
                      : "Wait for JobFinished, or end it with Abort.");
    return true;
}

static void check_wished(Disk *d, const CommitWish *w)
{
    _cleanup_(commit_report_freep) CommitReport *report = NULL;
    Refusal refusal = {REFUSAL_NO_MEMORY, NULL};

    if (commit_check(d, &w->options, w->uid, &report) < 0)
        answer_no(&w->answer, &refusal);
    else
        w->answer.checked(report, &(Refusal){REFUSAL_NONE, NULL}, w->answer.userdata);
}

static void start_wished(Disk *d, const CommitWish *w)
{
    Refusal refusal = {REFUSAL_NONE, NULL};
    CommitPlan plan = {};

    if (!disk_refuses_second_job(d, &refusal))
        commit_plan(d, &w->options, &refusal, &plan);
    if (refusal.kind != REFUSAL_NONE) {
        answer_no(&w->answer, &refusal);
        return;
    }
    plan.uid = w->uid;
    commit_start(d, &plan, w->answer.done, w->answer.userdata);
    commit_plan_done(&plan);
}

void disk_refuse_unread(const Vm *vm, int error, Refusal *r)
{
    if (error == -ETIMEDOUT)
        refusal_set(r, REFUSAL_TIMED_OUT,
                    "VM '%s': QEMU does not answer. Nothing was started; try again later.",
                    vm_name(vm));
    else if (error == -EBUSY || error == -ENOBUFS)
        refusal_set(r, REFUSAL_LIMIT_EXCEEDED,
                    "VM '%s': too many commands wait; nothing was started. Try again later.",
                    vm_name(vm));
    else
        refusal_set(r, REFUSAL_DISCONNECTED,
                    "VM '%s' went away, or its answer was not understood. \"vmdiskctl list\" "
                    "shows what is there.",
                    vm_name(vm));
}

static void on_fresh(Vm *vm, int error, const char *text, void *userdata)
{
    _cleanup_(wish_freep) CommitWish *w = userdata;
    Disk *d = vm_find_disk(vm, w->disk);
    Refusal refusal = {REFUSAL_NONE, NULL};

    if (!error && d) {
        if (w->answer.checked)
            check_wished(d, w);
        else
            start_wished(d, w);
        return;
    }

    if (error)
        disk_refuse_unread(vm, error, &refusal);
    else
        refusal_set(&refusal, REFUSAL_NO_SUCH_DISK,
                    "VM '%s', disk '%s': the disk has been unplugged.", vm_name(vm), w->disk);
    answer_no(&w->answer, &refusal);
}

static void ask(Disk *d, const CommitOptions *options, uid_t uid, const WishAnswer *answer)
{
    Refusal refusal = {REFUSAL_NONE, NULL};
    CommitWish *w = wish_new(d, options, uid, answer);
    int r = w ? vm_refresh(disk_vm(d), on_fresh, w) : -ENOMEM;
    if (r >= 0)
        return;

    wish_free(w);
    commit_refuse(d, &refusal, r == -ENOMEM ? REFUSAL_NO_MEMORY : REFUSAL_LIMIT_EXCEEDED,
                  "too much is going on at once; nothing was started. Try again later.");
    answer_no(answer, &refusal);
}

void disk_commit(Disk *d, const CommitOptions *options, uid_t uid, DoneFunc done, void *userdata)
{
    const WishAnswer answer = {.done = done, .userdata = userdata};
    bool foreign = disk_job(d) && commit_is_foreign(disk_job(d));
    Refusal refusal = {REFUSAL_NONE, NULL};

    /* Whether somebody else's job is there still, the reading shows. */
    if (!foreign && disk_refuses_second_job(d, &refusal))
        answer_no(&answer, &refusal);
    else
        ask(d, options, uid, &answer);
}

void disk_check(Disk *d, const CommitOptions *options, uid_t uid, CheckFunc checked, void *userdata)
{
    ask(d, options, uid, &(WishAnswer){.checked = checked, .userdata = userdata});
}

static bool refuse_no_job(const Disk *d, DoneFunc done, void *userdata)
{
    if (disk_job(d) && commit_is_started(disk_job(d)))
        return false;

    if (disk_job(d))
        disk_refuse(d, done, userdata, REFUSAL_NOT_READY,
                    "the job is being started. Wait for JobReady.");
    else
        disk_refuse(d, done, userdata, REFUSAL_NO_JOB,
                    "no job is on the disk. Commit starts one; LastJob tells how the last ended.");
    return true;
}

void disk_pivot(Disk *d, DoneFunc done, void *userdata)
{
    if (!refuse_no_job(d, done, userdata))
        commit_pivot(disk_job(d), done, userdata);
}

void disk_abort(Disk *d, DoneFunc done, void *userdata)
{
    if (!refuse_no_job(d, done, userdata))
        commit_abort(disk_job(d), done, userdata);
}
