/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loop is the life of the process: readiness and status for systemd, watchdog, signals, leaving
 * when there is nothing to do, and the clean stop.
 */
#pragma once

#include <stdbool.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "manager.h"

/* A service that systemd starts again on the next call leaves after so long without a VM. */
#define LOOP_IDLE_USEC (UINT64_C(30) * 1000000)
/* How long a stop waits for a handover that is under way, and for guests to be let go that are
 * slowed down. */
#define LOOP_STOP_USEC (UINT64_C(8) * 1000000)

typedef struct Loop Loop;

/* leave_when_idle: somebody starts the process again when it is needed. */
int loop_new(sd_event *event, sd_bus *bus, Manager *manager, bool leave_when_idle, Loop **ret);
Loop *loop_free(Loop *l);
DEFINE_CLEANUP(Loop, loop_free)

/* Tells systemd that the service is ready, runs until it stops. 0 for a clean end. */
int loop_run(Loop *l);
