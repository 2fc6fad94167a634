/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit is one commit job on a disk: it drives the job's state machine with what QEMU says and
 * with what callers want, and carries the effects out. What QEMU says is asked for (query-jobs):
 * events only tell when to ask.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "commit-id.h"
#include "commit-plan.h"
#include "graph.h"
#include "job.h"
#include "observer.h"

/* QEMU's word for our jobs (QAPI type JobType). */
#define COMMIT_TYPE "commit"
/* An end that was asked for and takes longer can be given up by an Abort: QEMU comes to no soft end
 * of a job whose guest is faster than the copy. */
#define COMMIT_END_USEC (UINT64_C(10) * 1000000)

/* Starts the job and sets it on the disk. done as DoneFunc. */
void commit_start(Disk *d, const CommitPlan *plan, DoneFunc done, void *userdata);
/* Takes up a job that an earlier process of ours has started on the disk. */
int commit_adopt(Disk *d, const CommitId *id, const GraphJob *job);

/* Shows a job that somebody else has started on the disk through another monitor. */
int commit_show_foreign(Disk *d, const GraphJob *job, const Graph *g);
bool commit_is_foreign(const Commit *c);

/* Takes what is on record of a job that was taken up, once its VM has its name. */
void commit_recall(Commit *c);

/* Only the disk frees its job. */
Commit *commit_free(Commit *c);
DEFINE_CLEANUP(Commit, commit_free)

/* What callers want. done is called when QEMU has accepted, before anything is announced. */
void commit_pivot(Commit *c, DoneFunc done, void *userdata);
void commit_abort(Commit *c, DoneFunc done, void *userdata);
void commit_pause(Commit *c, DoneFunc done, void *userdata);
void commit_resume(Commit *c, DoneFunc done, void *userdata);
void commit_set_speed(Commit *c, uint64_t speed, DoneFunc done, void *userdata);

/* What QEMU says of the job now; NULL: it knows no such job. May end the job. */
void commit_handle_status(Commit *c, const GraphJob *job);
/* Events of QEMU's: the job has come to status "pending", where a guest waits; or to "concluded".
 * False: its status has to be looked at, because there is more to know than that. May end the job.
 */
bool commit_handle_pending(Commit *c);
bool commit_handle_concluded(Commit *c);
/* An event of QEMU's: the job met an I/O error. Whether it stands still, its status tells. */
void commit_handle_io_error(Commit *c, bool read);
/* The VM went away. Ends the job. */
void commit_handle_lost(Commit *c);

Disk *commit_disk(const Commit *c);
const char *commit_type(const Commit *c);
const char *commit_id(const Commit *c); /* what callers see */
const char *
commit_qemu_id(const Commit *c); /* what QEMU knows; differs after a restart of the job */
JobState commit_state(const Commit *c);
bool commit_is_started(const Commit *c);
/* Its end has been asked for, or has come. */
bool commit_is_ending(const Commit *c);
bool commit_is_holding(const Commit *c);
/* What the job stands still for, "" for nothing. */
const char *commit_io_error(const Commit *c);
uint64_t commit_offset(const Commit *c);
uint64_t commit_length(const Commit *c);
uint64_t commit_remaining(const Commit *c);
/* Its end has been asked for, and waits for an instant when all is copied. */
bool commit_awaits_instant(const Commit *c);
uint64_t commit_rate(const Commit *c);   /* bytes per second, 0 while that is not known */
bool commit_is_slowing(const Commit *c); /* the guest is slowed down for it */
uint64_t commit_speed(const Commit *c);
JobOnReady commit_on_ready(const Commit *c);
const char *commit_top(const Commit *c);
const char *commit_base(const Commit *c);
uid_t commit_uid(const Commit *c);
uint64_t commit_started_usec(const Commit *c);
