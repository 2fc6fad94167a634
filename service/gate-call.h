/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate-call is one method call on its way through the gate: what it wants to do, to what, and how
 * that is said to polkit, to the caller and to the log. It decides nothing.
 */
#pragma once

#include <stddef.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"
#include "gate-callers.h"
#include "gate-polkit.h"
#include "gate-table.h"
#include "gate.h"
#include "refusal.h"

/* vm, disk, job, operation, owner */
#define GATE_DETAILS_MAX 5

typedef enum GateCallState {
    GATE_CALL_WAITING, /* for the sender's uid, or behind another call */
    GATE_CALL_ASKING,  /* polkit */
    GATE_CALL_PASSING, /* is in the bus's queue, will pass the filter again */
} GateCallState;

struct GateCall {
    Gate *gate;
    GateCaller *caller;
    GateCall *next; /* in the caller's queue */
    sd_bus_message *message;
    const GateEntry *entry; /* NULL: not in the table */
    const char *action;     /* of the entry, or of what the arguments ask for */
    GateCallState state;
    GateTarget target; /* as judged last */
    PolkitCheck *check;
};

typedef struct GateDetails {
    PolkitDetail item[GATE_DETAILS_MAX];
    size_t n_items;
    char owner[sizeof("4294967295")];
} GateDetails;

/* Appends the new call to the caller's queue. NULL without memory. */
GateCall *gate_call_new(Gate *g, GateCaller *caller, sd_bus_message *m);
/* Takes the call, which is the first one, out of the queue. An open check is cancelled. */
GateCall *gate_call_free(GateCall *call);

/* Looks up what the call's path stands for, now. */
int gate_call_resolve(GateCall *call, const GateResolver *resolver, void *userdata);
/* An object of a VM that is there, or was asked for by a name that such a VM does not have. */
bool gate_call_is_on_vm(const GateCall *call);
/* Whether its VM, disk or job is missing, and the refusal that says so. */
bool gate_call_lacks_object(const GateCall *call, Refusal *ret);

/* What polkit is told. The strings are borrowed from the call and from ret itself. */
void gate_call_details(const GateCall *call, GateDetails *ret);
/* The same as one unambiguous string. NULL without memory. */
char *gate_call_question(const GateCall *call);
/* "Commit on disk 'vda' of VM 'web1'". NULL without memory. */
char *gate_call_subject(const GateCall *call);

/* Why polkit's answer, which is not yes, refuses the call. text is the error, NULL for an answer
 * that polkit gave. */
void gate_call_refusal(const GateCall *call, PolkitAnswer answer, const char *text, Refusal *ret);

/* Logs why the call does not pass. */
void gate_call_log(const GateCall *call, int priority, const char *text);
