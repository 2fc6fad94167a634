/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate-callers remembers who calls: for each connection its uid and what polkit has answered to it,
 * and it keeps the head of the queue of its open calls. It asks nobody and decides nothing.
 *
 * A bus never gives a unique name twice, so what is remembered can be superfluous but not wrong.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"

/* Connections remembered; beyond, the one that has been quiet for longest is forgotten. Connections
 * with open calls are not forgotten and are limited by GATE_PENDING_MAX. */
#define GATE_CALLERS_MAX 1024
/* Answers remembered, over all connections; when full all are dropped and asked for again. */
#define GATE_VERDICTS_MAX 4096

typedef struct GateCall GateCall;
typedef struct GateCaller GateCaller;

struct GateCaller {
    GateCaller *prev, *next;
    char *name; /* unique name of the connection */
    bool uid_known;
    uid_t uid;                /* (uid_t)-1 until known */
    sd_bus_slot *uid_request; /* open question to the bus */
    GateCall *first, *last;   /* calls not yet passed or answered, in the order sent; the gate's */
    size_t n_calls;
    void *verdicts; /* tree of questions: polkit said yes, and it may be remembered */
};

typedef struct GateCallers {
    GateCaller *first, *last; /* the one that called last comes first */
    size_t n_callers, n_verdicts;
} GateCallers;

/* NULL where the name is not remembered. */
GateCaller *gate_callers_find(GateCallers *cs, const char *name);
/* Makes room and adds. The name must not be there yet. NULL without memory. */
GateCaller *gate_callers_add(GateCallers *cs, const char *name);
/* The caller has no open calls any more. */
void gate_callers_remove(GateCallers *cs, GateCaller *c);

bool gate_caller_remembers(const GateCaller *c, const char *question);
/* 0 or -ENOMEM. */
int gate_callers_remember(GateCallers *cs, GateCaller *c, const char *question);
