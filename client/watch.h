/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * watch follows one job of one disk to its end, and misses nothing on the way:
 *
 *   watch_new     the matches are in place; only now may a job be started or ended
 *   watch_follow  from here on it is about this job
 *   watch_wait    until it is ready, or has finished
 *
 * The signals JobReady and JobFinished decide, and where one of them can have been missed, because
 * the service was restarted, the published state: JobState "ready", LastJob. A percentage never
 * does.
 */
#pragma once

#include "model.h"
#include "target.h"

typedef enum WatchGoal {
    WATCH_READY, /* or finished */
    WATCH_FINISHED,
} WatchGoal;

/* How a job has ended, in the words of JobFinished. */
typedef struct Outcome {
    const char *result; /* NULL while the job goes on */
    const char *error, *message;
} Outcome;

typedef struct Watch Watch;

/* The target must live longer than the watch. */
int watch_new(Client *c, const Target *target, Watch **ret, sd_bus_error *error);
Watch *watch_free(Watch *w);
DEFINE_CLEANUP(Watch, watch_free)

/* Starts the time of --timeout as well. */
int watch_follow(Watch *w, const char *job, sd_bus_error *error);
/* Waits, showing progress. 0 when the goal is reached or the job has finished; else a negative
 * errno with the error set, and the job goes on. */
int watch_wait(Watch *w, WatchGoal goal, sd_bus_error *error);
/* Reads the state back, waiting for the service where it is away. Afterwards the job is ready if
 * the state says so now, whatever JobReady said before. */
int watch_recheck(Watch *w, sd_bus_error *error);

const Target *watch_target(const Watch *w);
/* As last seen. The id is that of watch_follow(). */
const Job *watch_job(const Watch *w);
const Outcome *watch_outcome(const Watch *w);
bool watch_is_ready(const Watch *w);
/* Somebody has told the job to end. */
bool watch_is_ending(const Watch *w);
/* The active layer is committed: the job has two phases. */
bool watch_has_two_phases(const Watch *w);
/* What it does when it is ready was chosen when it was started. */
bool watch_ends_by_itself(const Watch *w);
