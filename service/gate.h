/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate authorises every incoming method call before any object sees it: one filter, one table of
 * (interface, member) to polkit action, asked asynchronously. A call that passes is put back into
 * the queue of the connection; a handler therefore never sees an unauthorised call and looks
 * everything up afresh. It knows objects only through the resolver.
 *
 * The calls of one connection keep their order: a call waits while an earlier one waits. A call on
 * a VM or disk that is not there is answered here, once its sender may do what it asks for.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"

/* Open polkit checks of one uid; a further call of that uid is refused (LimitExceeded). */
#define GATE_CHECKS_PER_UID_MAX 8
/* Calls that wait for the sender's credentials, for polkit or behind such a call, over all callers.
 * Each may hold up to 16 descriptors (a limit of the bus). */
#define GATE_PENDING_MAX 1024
/* The same, of one uid; of one connection as long as its uid is not known. */
#define GATE_PENDING_PER_UID_MAX 256
/* A person may have to type a password. */
#define GATE_INTERACTIVE_USEC (UINT64_C(180) * 1000000)
#define GATE_CHECK_USEC (UINT64_C(25) * 1000000)

typedef enum GateMode {
    GATE_SYSTEM, /* polkit decides; root, the daemon's own uid and a VM's owner pass */
    GATE_USER,   /* session bus: the daemon's own uid passes, nobody else */
} GateMode;

typedef enum GateObject {
    GATE_OBJECT_OTHER, /* not below /org/vmdisk1/vm */
    GATE_OBJECT_VM,
    GATE_OBJECT_DISK,
    GATE_OBJECT_NO_VM,   /* below /org/vmdisk1/vm, but no such VM; vm is the name asked for */
    GATE_OBJECT_NO_DISK, /* the VM is there, the disk is not; disk is the name asked for */
} GateObject;

typedef struct GateTarget {
    GateObject object;
    char *vm, *disk, *job; /* heap, NULL where there is none */
    uid_t owner;           /* uid of the VM's process; (uid_t)-1 where unknown */
} GateTarget;

typedef struct GateResolver {
    /* What an object path stands for, now. Fills ret (zeroed by the caller); 0 or -ENOMEM. */
    int (*resolve)(const char *path, GateTarget *ret, void *userdata);
} GateResolver;

typedef struct Gate Gate;

/* To be called before the bus is started, or at least before anything on it is processed. */
int gate_new(sd_bus *bus, GateMode mode, const GateResolver *resolver, void *userdata, Gate **ret);
/* Only when nothing is processed on the bus any more: without its gate it is open. */
Gate *gate_free(Gate *g);
DEFINE_CLEANUP(Gate, gate_free)

/* The uid of a connection whose call has just passed; (uid_t)-1 where it is not known. */
uid_t gate_caller_uid(Gate *g, const char *sender);

/* For the test of drift and for the documentation: the polkit action of a member, NULL where the
 * table has none. */
const char *gate_action(const char *interface, const char *member);
