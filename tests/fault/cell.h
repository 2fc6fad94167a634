/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One cell of the fault matrix: a flow in which one thing goes wrong at one point, and the promise
 * checked afterwards.
 */
#pragma once

#include "caller.h"
#include "world.h"

typedef enum Action {
    ACTION_DAEMON, /* SIGKILL to the daemon; started again */
    ACTION_QEMU,   /* SIGKILL to QEMU; started again from the image on record */
    ACTION_BOTH,
    ACTION_ENOSPC, /* each write of the record fails from the point on; then there is room again */
    ACTION_EIO,    /* one call fails */
    ACTION_EROFS,  /* as ENOSPC */
    N_ACTIONS,
} Action;

typedef struct Cell {
    const Template *template;
    const Flow *flow;
    Action action;
    bool redial;
    char *point; /* "qmp/job-complete" */
    bool after;
    unsigned nth;
} Cell;

typedef enum Outcome {
    OUTCOME_OK,
    OUTCOME_MISSED, /* the run did not pass the point */
    OUTCOME_TWICE,  /* JobFinished came twice, where it may */
    OUTCOME_NEVER,  /* it did not come; LastJob tells */
    OUTCOME_BROKEN, /* anything else: the process that ran it says what */
    N_OUTCOMES,
} Outcome;

/* Runs it in this process, which ends where the promise is broken. */
Outcome cell_run(const Cell *c);
/* The clean run: the points that it passes, "POINT NTH", in order, ended by NULL. */
char **cell_record(const Template *t, const Flow *flow);
