/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * group-watch follows the jobs of a whole VM to their common end, as watch does with one:
 *
 *   group_watch_new     the matches are in place; only now may the jobs be started or ended
 *   group_watch_follow  from here on it is about the disks that are committed together now
 *   group_watch_wait    until all are ready, or have finished
 *
 * The VM's signals JobsReady and JobsFinished decide, and where they can have been missed, the
 * published state of the disks.
 */
#pragma once

#include "target.h"
#include "watch.h"

typedef struct GroupMember {
    char *path, *name; /* of the disk */
    Job job;           /* as last seen */
    char *result;      /* in the words of JobsFinished, NULL while the job goes on */
    char *message;     /* NULL or empty for none */
} GroupMember;

typedef struct GroupWatch GroupWatch;

/* The target, a VM, must live longer than the watch. */
int group_watch_new(Client *c, const Target *target, GroupWatch **ret, sd_bus_error *error);
GroupWatch *group_watch_free(GroupWatch *w);
DEFINE_CLEANUP(GroupWatch, group_watch_free)

/* Starts the time of --timeout as well. What was signalled before is of earlier jobs. */
int group_watch_follow(GroupWatch *w, sd_bus_error *error);
/* Waits, showing progress. 0 when the goal is reached or all have finished; else a negative errno
 * with the error set, and the jobs go on. */
int group_watch_wait(GroupWatch *w, WatchGoal goal, sd_bus_error *error);

const Target *group_watch_target(const GroupWatch *w);
const GroupMember *group_watch_members(const GroupWatch *w, size_t *ret_n);
bool group_watch_is_finished(const GroupWatch *w);
/* What they do when they are ready was chosen when they were started: Job.OnReady, else NULL. */
const char *group_watch_on_ready(const GroupWatch *w);
/* The active layers are committed: the jobs have two phases. */
bool group_watch_has_two_phases(const GroupWatch *w);
