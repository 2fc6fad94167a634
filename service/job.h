/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job is the state machine of one commit job: phase × event → phase, effects. Pure: it sends
 * nothing and asks nobody; who drives it carries the effects out.
 *
 *                      Pivot or Abort
 *   STARTING → RUNNING → READY ──→ ENDING → HELD → RELEASED → SETTLING → FINISHED
 *                 │                  ↑        ↑                  ↑
 *                 ├── Abort ─────────┘        │                  │
 *                 ├── intermediate: pending ──┘                  │
 *                 └── any end without a barrier: concluded ──────┘
 *
 * HELD is QEMU's "pending": guest I/O on the disk stands still for an active commit, base and
 * overlay are equal; what must be on record is written now. RELEASED: QEMU was told to finalize.
 * SETTLING: QEMU has concluded; the graph is read back and data is flushed.
 */
#pragma once

#include <stdbool.h>

#include "cleanup.h"

typedef enum JobPhase {
    JOB_STARTING,
    JOB_RUNNING,
    JOB_READY,
    JOB_ENDING,
    JOB_HELD,
    JOB_RELEASED,
    JOB_SETTLING,
    JOB_FINISHED,
    JOB_PHASE_MAX_,
} JobPhase;

typedef enum JobEvent {
    JOB_EVENT_STARTED,         /* QEMU has accepted the start */
    JOB_EVENT_READY,           /* status ready, however often it is seen */
    JOB_EVENT_PIVOT,           /* QEMU has accepted to complete */
    JOB_EVENT_ABORT,           /* QEMU has accepted to cancel */
    JOB_EVENT_FORCED,          /* QEMU has accepted to cancel at once, whatever was asked before */
    JOB_EVENT_RESTART,         /* an ended job must be started again before it can pivot */
    JOB_EVENT_PENDING,         /* status pending */
    JOB_EVENT_BARRIER_DONE,    /* what must be on record is */
    JOB_EVENT_BARRIER_REFUSED, /* it is not: the job must not finalize */
    JOB_EVENT_CONCLUDED,       /* status concluded */
    JOB_EVENT_GONE,            /* QEMU knows no such job any more */
    JOB_EVENT_SETTLED,         /* graph read back, data flushed */
    JOB_EVENT_LOST,            /* the VM went away */
    JOB_EVENT_MAX_,
} JobEvent;

typedef enum JobEffect {
    JOB_EFFECT_NONE = 0,
    JOB_EFFECT_ANNOUNCE_START = 1 << 0,
    JOB_EFFECT_ANNOUNCE_READY = 1 << 1,
    JOB_EFFECT_RECORD = 1 << 2,   /* do the work of the barrier */
    JOB_EFFECT_FINALIZE = 1 << 3, /* job-finalize */
    JOB_EFFECT_GIVE_UP = 1 << 4,  /* job-cancel at the barrier: the overlay stays */
    JOB_EFFECT_SETTLE = 1 << 5,   /* read the graph back, flush */
    JOB_EFFECT_FINISH = 1 << 6,   /* announce the result, dismiss */
} JobEffect;

typedef enum JobIntent {
    JOB_INTENT_NONE,
    JOB_INTENT_PIVOT,
    JOB_INTENT_ABORT,
} JobIntent;

/* What Job.State and Disk.JobState say. */
typedef enum JobState {
    JOB_STATE_NONE,
    JOB_STATE_RUNNING,
    JOB_STATE_PAUSED,
    JOB_STATE_READY,
    JOB_STATE_PIVOTING,
    JOB_STATE_ABORTING,
    JOB_STATE_MAX_,
} JobState;

typedef enum JobResult {
    JOB_RESULT_COMPLETED,
    JOB_RESULT_KEPT,
    JOB_RESULT_CANCELLED,
    JOB_RESULT_FAILED,
    JOB_RESULT_LOST,
    JOB_RESULT_MAX_,
} JobResult;

/* What ends a job without a word from its owner: nothing, or one of the two ways to end it. */
typedef enum JobOnReady {
    JOB_ON_READY_WAIT,
    JOB_ON_READY_PIVOT,
    JOB_ON_READY_KEEP,
    JOB_ON_READY_MAX_,
} JobOnReady;

/* What the job does about an I/O error (QAPI type BlockdevOnError). "ignore" is left out: it tries
 * again at once and without end, with thousands of events a second. */
typedef enum JobOnError {
    JOB_ON_ERROR_REPORT, /* fails */
    JOB_ON_ERROR_STOP,   /* is paused */
    JOB_ON_ERROR_ENOSPC, /* is paused where space is missing, else fails */
    JOB_ON_ERROR_MAX_,
} JobOnError;

/* What is done when a job is not ready by its deadline. */
typedef enum JobOnDeadline {
    JOB_ON_DEADLINE_KEEP_WAITING,
    JOB_ON_DEADLINE_CANCEL,
    JOB_ON_DEADLINE_SLOW_GUEST,
    JOB_ON_DEADLINE_MAX_,
} JobOnDeadline;

/* What the graph says after the end. */
typedef enum JobGraph {
    JOB_GRAPH_UNCHANGED, /* the images that were to be merged are still in the chain */
    JOB_GRAPH_MERGED,    /* they are gone from it */
    JOB_GRAPH_UNKNOWN,   /* the disk is gone, or cannot be read */
    JOB_GRAPH_MAX_,
} JobGraph;

typedef struct JobMachine {
    JobPhase phase;
    JobIntent intent;
    bool paused;    /* by a user or an I/O error; drains make QEMU's own "paused" flicker */
    bool announced; /* JobReady has been sent */
    bool held;      /* has stood at the barrier: base and overlay were equal there */
} JobMachine;

/* Takes the event and returns the effects, JobEffect bits. An event that means nothing in the phase
 * changes nothing. */
unsigned job_handle(JobMachine *m, JobEvent event);

JobState job_state(const JobMachine *m);

/* The result from the facts: QEMU's error for the job (NULL for none) and the graph. gone: QEMU had
 * already forgotten the job, so that a missing error says nothing. What was asked for counts only
 * where the graph cannot tell. */
JobResult job_judge(const JobMachine *m, bool active, const char *error, bool gone, JobGraph graph);

const char *job_phase_to_string(JobPhase phase);
const char *job_event_to_string(JobEvent event);
const char *job_state_to_string(JobState state);
const char *job_result_to_string(JobResult result);
const char *job_on_ready_to_string(JobOnReady on_ready);
const char *job_on_error_to_string(JobOnError on_error);
const char *job_on_deadline_to_string(JobOnDeadline on_deadline);
/* -EINVAL for an unknown word. */
int job_result_from_string(const char *word, JobResult *ret);
int job_on_ready_from_string(const char *word, JobOnReady *ret);
int job_on_error_from_string(const char *word, JobOnError *ret);
int job_on_deadline_from_string(const char *word, JobOnDeadline *ret);
