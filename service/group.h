/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * group is the commits of several disks of one VM that end together: all of them are brought to
 * QEMU's "pending", where guest I/O stands still, before any is finalized, so that all bases hold
 * one and the same instant of the guest. Where one disk cannot get there, the others are released
 * and stay on their overlays: no disk is pivoted alone.
 *
 *                        Pivot or Abort
 *   STARTING → RUNNING → READY ──→ ENDING ─→ all held, on record as one ─→ finalized
 *                 │                  │
 *                 └── one disk fails ┴─→ doomed: what is held or ready is kept
 *
 * A VM has at most one. It lives from the start of its jobs to the end of the last one; a restart
 * finds it again by the ids of the jobs (CommitId.group).
 */
#pragma once

#include <sys/types.h>

#include "commit-options.h"
#include "job.h"
#include "observer.h"

/* How long a disk may be held for the others. Guests tolerate 30 s (Linux' SCSI time-out). */
#define GROUP_BARRIER_USEC (UINT64_C(20) * 1000000)

typedef struct Group Group;

/* Starts commits on the disks, or, with disks NULL, on all that have something to commit. done: all
 * of them run, or none. */
void group_start(Vm *vm, const CommitOptions *options, char *const *disks, uid_t uid, DoneFunc done,
                 void *userdata);
/* A disk whose own commit would be refused for that: it is left out where nobody names it. */
bool group_leaves_out(const Disk *d, RefusalKind kind);
/* Whether a disk that could be committed by itself cannot be together with others. */
bool group_refuse_disk(const Disk *d, bool active, Refusal *ret_refusal);
void group_pivot(Vm *vm, DoneFunc done, void *userdata);
void group_abort(Vm *vm, DoneFunc done, void *userdata);

/* Once all jobs of a reading are taken up, and can be recorded and announced: goes on with a group
 * that an earlier process has started. */
void group_resume(Vm *vm);

/* JOB_STATE_NONE for a VM without a group. */
JobState group_state(const Vm *vm);
/* The name of the n-th disk of the group, NULL at the end. */
const char *group_disk(const Vm *vm, size_t n);

/* How the job of a disk has ended. */
typedef struct GroupEnd {
    char *disk; /* name */
    JobResult result;
    char *message; /* for people, "" for none */
} GroupEnd;

/* For the observer of jobs_finished(): the ends of all, NULL at the end. */
const GroupEnd *group_end(const Vm *vm, size_t n);
