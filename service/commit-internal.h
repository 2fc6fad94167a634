/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of commit share: the struct, and the steps from one file to the next.
 */
#pragma once

#include "block.h"
#include "commit.h"
#include "disk.h"
#include "pace.h"
#include "vm.h"

/* A way back from QEMU's answer to a job that may have ended meanwhile. */
typedef struct CommitRef CommitRef;
typedef struct Group Group;
struct CommitRef {
    Commit *commit; /* NULL once the job has ended */
    CommitRef *previous, *next;
};

struct Commit {
    Disk *disk;
    char *id;
    char *qemu_id;
    JobMachine machine;
    CommitRef *refs;
    Qmp *dry; /* a draft: what it would send goes there. NULL for a job */

    char *type;   /* QAPI type JobType */
    bool foreign; /* somebody else's, through another monitor: shown, not driven */
    bool active;
    char *top, *base;
    JobOnReady on_ready;
    JobOnError on_error;
    char *backing_file; /* for the image above top to record, NULL for QEMU's choice */
    uid_t uid;
    uint64_t started_usec;
    bool base_read_only; /* before the job */
    bool drop_bitmaps;   /* the caller has agreed to lose what cannot be carried */
    bool recorder;       /* the base gets one for the time of the job, see bitmap.h */
    bool carried;        /* at the barrier: bitmaps are in the base */

    uint64_t offset, length, speed, rate;
    Pace pace;
    bool progress_due;      /* changed since it was announced */
    uint64_t progress_usec; /* CLOCK_MONOTONIC, of that announcement */

    uint64_t deadline_usec; /* CLOCK_REALTIME, 0 for none */
    JobOnDeadline on_deadline;
    sd_event_source *deadline;
    bool overdue; /* it has passed */
    bool overdue_logged;
    bool cut_off; /* cancelled for it */

    bool auto_finalize;       /* QEMU hands over by itself: an export shows the disk */
    Group *group;             /* it ends together with the jobs of other disks; NULL: by itself */
    uint64_t group_serial;    /* of the group, 0 for none */
    bool withdrawn;           /* its group could not be started: nobody has heard of it */
    bool starting;            /* QEMU's answer to the start is on its way */
    bool ending;              /* a Pivot or Abort is on its way, or was accepted */
    bool restarting;          /* cancelled, to be started again with auto_finalize */
    bool complete_when_ready; /* started again, the caller has chosen already */
    bool asked;               /* what the barrier waits for is on its way */
    bool give_up;             /* from the barrier back to the overlay */
    bool reading_end;         /* QEMU has said that the job has ended: all is being read */
    bool end_is_read;         /* since then */
    bool settling;            /* the graph is being read back, or data flushed */
    bool adopted;             /* of an earlier process, which may have asked for its end */
    uint64_t ending_usec;     /* CLOCK_MONOTONIC, when QEMU accepted its end; 0: it has not */
    uint64_t pivot_usec;  /* CLOCK_REALTIME, when its pivot was asked for; 0: it was not, here */
    uint64_t choice_usec; /* CLOCK_MONOTONIC, when on_ready was tried last */

    char *io_error;          /* what the job stands still for, NULL for nothing */
    bool io_stopped;         /* the same, and perhaps something is under way yet */
    bool io_read;            /* it came of reading, and not of writing */
    uint64_t io_logged_usec; /* CLOCK_MONOTONIC; 0: nothing since it went on last */
    bool forcing;            /* the Abort on its way is one by force */
    bool forced;             /* cancelled at once */

    char *error;      /* QEMU's or ours for the job, NULL for none */
    bool gone;        /* QEMU forgot the job before we saw its end */
    JobResult result; /* from the graph, while the data is flushed */
    unsigned flushes; /* answers still to come */
};

int commit_new(Disk *d, const CommitPlan *plan, Commit **ret);
/* The job as it starts now: with its id, on no disk yet. */
int commit_draft(Disk *d, const CommitPlan *plan, Commit **ret);
/* What the job would send to QEMU as it would start now, in order, where nothing goes wrong;
 * nothing that asks. -ENOMEM. */
int commit_rehearse(Disk *d, const CommitPlan *plan, QmpWrittenFunc written, void *userdata);
/* "vmdisk-commit-…" for QEMU: carries what a restart must know. */
char *commit_make_id(const Commit *c, uint64_t usec);
/* CLOCK_REALTIME. */
uint64_t commit_now_usec(void);
/* CLOCK_MONOTONIC. */
uint64_t commit_monotonic_usec(void);
/* Sends block-commit for qemu_id. */
int commit_send(Commit *c, QmpReplyFunc callback, void *userdata);
Qmp *commit_qmp(const Commit *c);

CommitRef *commit_ref_new(Commit *c);
/* Frees the reference and returns what it still stands for. */
Commit *commit_ref_free(CommitRef *ref);

/* Sets up the job on the disk, without a word to QEMU. */
int commit_prepare(Disk *d, const CommitPlan *plan);
/* What QEMU's answer to a start means to the caller. */
void commit_refuse_start(const Disk *d, const Commit *c, const QmpReply *reply, Refusal *r);
/* Sends Pivot or Abort of a job that is in a phase for it. deferred: commit_apply() follows, when
 * done has been called without a refusal. */
void commit_conclude(Commit *c, JobIntent intent, bool deferred, DoneFunc done, void *userdata);
void commit_apply(Commit *c, JobIntent intent);
/* For what goes on by itself: the answer is nobody's. */
void commit_ignore_done(const Refusal *refusal, void *userdata);

/* Feeds the machine, carries the effects out, announces a changed state. May free the commit. */
void commit_handle(Commit *c, JobEvent event);
/* Progress and speed as QEMU says; announces what changed. */
void commit_take_progress(Commit *c, const GraphJob *job);
/* COMMIT_CHANGE_PROGRESS where it has changed since it was announced, and counts it as announced: a
 * new state comes with how far the job was then. */
unsigned commit_due_progress(Commit *c);
/* Tells QEMU to leave the barrier, or to end the job for a new start, unless that is on its way.
 * Tried again with each look at the job: a guest may stand still. */
void commit_leave_barrier(Commit *c);
/* Announces changes, COMMIT_CHANGE bits; nothing for 0. */
void commit_announce(Commit *c, unsigned changes);

/* Whether an Abort of the job is on record, perhaps by an earlier process of ours. */
bool commit_was_aborted(const Commit *c);
/* Puts on record that the base is, or with merging is about to be, the image to boot. */
int commit_note_pivot(const Commit *c, bool merging);
/* What that needs to know. -ENOENT: the base is not in QEMU's graph any more. */
int commit_describe_pivot(const Commit *c, LedgerPivot *ret);
/* The record cannot be written: it is why the overlay is kept. */
void commit_blame_record(Commit *c, int error);

/* What QEMU says of somebody else's job; NULL: it is gone. May free the commit. */
void commit_handle_foreign(Commit *c, const GraphJob *job);

/* Dirty bitmaps, in commit-bitmaps.c. Whether the commit of these images is refused for the sake of
 * bitmaps; if not, ret_recorder says whether it needs the recorder on the base (bitmap.h). */
bool commit_refuse_bitmaps(const Disk *d, const CommitOptions *o, const ChainImage *top,
                           const ChainImage *base, bool *ret_recorder, Refusal *r);
/* Just before the job is started; and when it has ended, or was refused. Where there is none,
 * nothing is done. */
void commit_add_recorder(Commit *c);
void commit_remove_recorder(Commit *c);
/* Carries the bitmaps into the base and reads them back. error 0: they are there, or none was to be
 * carried, or may be lost; -EBUSY: too many commands wait, and it may be tried again; else as
 * BlockReading.error, with a text for people. c is NULL where the job has ended meanwhile.
 * exported: the disk has an export, as read after all that. */
typedef void (*CommitCarryFunc)(Commit *c, int error, const char *text, bool exported,
                                void *userdata);
/* done is called exactly once, later, after a return of 0 only. */
int commit_carry_bitmaps(Commit *c, CommitCarryFunc done, void *userdata);

/* Does what the caller has chosen in advance. */
void commit_act_on_ready(Commit *c);
/* What was refused is tried again, at the pace of the looks at a job that says nothing. usec: when
 * it was tried last, CLOCK_MONOTONIC. */
bool commit_is_choice_due(uint64_t usec);

/* I/O errors, in commit-io-error.c. Takes what QEMU says of the job; announces what changed. */
void commit_take_io_status(Commit *c, const GraphJob *job);
/* The same for a job that is not announced yet. */
void commit_adopt_io_status(Commit *c, const GraphJob *job);
void commit_log_io_error(Commit *c);
/* QEMU has cancelled the job at once. */
void commit_set_forced(Commit *c);
/* The job is paused, or goes on, by request. */
void commit_set_paused(Commit *c, bool paused);

/* On its way to its end, and not at the barrier, for longer than COMMIT_END_USEC. */
bool commit_is_stuck(const Commit *c);
/* Cancels at once, with nobody to answer to. */
void commit_force_abort(Commit *c);

/* The deadline, in commit-deadline.c. Whether the disk allows what the options say of it. */
bool commit_deadline_refuse(const Disk *d, const CommitOptions *o, Refusal *ret_refusal);
/* From now on it is watched. */
void commit_deadline_arm(Commit *c);
/* Does what has to be done about it now, or undoes it. Ends no life. */
void commit_deadline_check(Commit *c);

/* Effects, in commit-end.c. Each may free the commit. */
void commit_record(Commit *c);
void commit_settle(Commit *c);
/* Flushes what the job wrote, sets the base back to read-only, then finishes. */
void commit_make_durable(Commit *c);
/* The commands of that, for a draft. */
void commit_write_durable(Commit *c, JobResult result);
/* Takes away what the job leaves in QEMU. */
void commit_clear_up(Commit *c, JobResult result);
void commit_finish(Commit *c, JobResult result);
/* Closes the nodes that a merge has put out of use. A job below the active layer keeps them until
 * it is dismissed. */
void commit_close_dropped(const Commit *c);
/* Ends QEMU's job so that it can be started again for a handover by QEMU alone. */
void commit_restart(Commit *c);
/* That job has ended: starts the new one. */
void commit_restart_now(Commit *c);

/* "VM 'v', disk 'd'": the beginning of a text for people. The caller frees. */
char *commit_where(const Disk *d);
/* A refusal whose text begins so. */
void commit_refuse(const Disk *d, Refusal *r, RefusalKind kind, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
