/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskd under test: started on a private bus, with a state directory and a monitor socket of its
 * own. The program is the one that VMDISKD in the environment names.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct Daemon Daemon;

/* Keeps its state in DIR/state and listens on DIR/monitor. Nothing runs yet. */
Daemon *daemon_new(const char *dir, const char *bus_address);
/* SIGKILL where it still runs. */
void daemon_free(Daemon *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Daemon, daemon_free)

/* For the starts from now on; value NULL takes it out again. */
void daemon_set_environment(Daemon *d, const char *name, const char *value);
/* From the next start on its connections are kept over its end, as systemd does. */
void daemon_use_store(Daemon *d);
/* How many are kept now. */
unsigned daemon_count_kept(Daemon *d);
/* Starts it; returns at once. When it is ready it owns its name on the bus. */
void daemon_start(Daemon *d);
/* SIGTERM; it has to end with success. */
void daemon_stop(Daemon *d);
void daemon_kill(Daemon *d);
void daemon_signal(Daemon *d, int signal_number);
/* Waits for it to end by itself, with success. */
void daemon_wait(Daemon *d);
bool daemon_is_running(Daemon *d);
/* Whether it has stopped (SIGSTOP). */
bool daemon_is_stopped(Daemon *d);

/* Where a QEMU dials in. */
const char *daemon_socket(const Daemon *d);
const char *daemon_state(const Daemon *d);
pid_t daemon_pid(const Daemon *d);
