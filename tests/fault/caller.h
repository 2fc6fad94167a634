/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The caller of a job: starts it, concludes it, waits for its end. At first it goes by signals, so
 * that each run passes the same points; once something went wrong it asks what has become of its
 * job, and goes on from there.
 */
#pragma once

#include <stdbool.h>

#include "world.h"

typedef struct Flow {
    const char *name;
    unsigned disks; /* more than one: they are committed together */
    unsigned depth; /* of the chains */
    bool active;
    const char *conclusion; /* "Pivot" or "Abort"; NULL: it ends by itself */
    const char *result;     /* what it is to come to */
} Flow;

extern const Flow flows[];
extern const unsigned n_flows;

typedef struct Caller Caller;

Caller *caller_new(World *w, const Flow *flow);
void caller_free(Caller *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Caller, caller_free)

/* Does what there is to do now, without waiting. True when the job has come to its result. */
bool caller_turn(Caller *c);
/* Something went wrong. */
void caller_doubt(Caller *c);
/* Whether the service has accepted or shown a job. */
bool caller_has_job(const Caller *c);
/* How often it has tried to start or to conclude a job: again where that was refused, or has come
 * to another result than the one that is wanted. */
unsigned caller_attempts(const Caller *c);
/* Forgets that the job has come to its result, for another. */
void caller_renew(Caller *c);
