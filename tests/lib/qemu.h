/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real QEMU, or a real qemu-storage-daemon, that dials in to the daemon the way the documentation
 * says, and has a second monitor for the test.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "qmp-client.h"

typedef enum QemuKind {
    QEMU_SYSTEM,         /* qemu-system-x86_64, machine "pc", TCG */
    QEMU_STORAGE_DAEMON, /* qemu-storage-daemon */
} QemuKind;

typedef struct Qemu Qemu;

/* Prepares one; nothing runs yet. socket: the daemon's monitor socket, NULL for a QEMU that does
 * not dial in. name: -name, NULL for none (and none for a storage daemon). */
Qemu *qemu_new(QemuKind kind, const char *socket, const char *name);
/* SIGKILL where it still runs. */
void qemu_free(Qemu *q);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qemu, qemu_free)

/* An option and its value, before the start. For a storage daemon written with two dashes. */
void qemu_option(Qemu *q, const char *option, const char *value, ...) G_GNUC_PRINTF(3, 4);
/* For whoever adds options by itself. */
GPtrArray *qemu_arguments(Qemu *q);

/* Starts it and greets its second monitor. May be called again after its end. */
void qemu_start(Qemu *q);
/* The test's own monitor. */
QmpClient *qemu_monitor(Qemu *q);
pid_t qemu_pid(const Qemu *q);
bool qemu_is_running(Qemu *q);
/* SIGKILL, and waits until it is gone: as if the power had failed for this process. */
void qemu_kill(Qemu *q);
/* QMP "quit", and waits. */
void qemu_quit(Qemu *q);
void qemu_signal(Qemu *q, int signal_number);

/* Number of jobs that QEMU knows, whoever started them. */
unsigned qemu_count_jobs(Qemu *q);
/* Until it knows none: a job that has finished is dismissed after that was announced. */
void qemu_wait_no_jobs(Qemu *q);
/* File of the active image of a drive: `device` is the id of the -drive or (the start of) the QOM
 * path of the device. The caller frees it. */
char *qemu_active_file(Qemu *q, const char *device);

/* Version of the QEMU found in PATH, as major * 100 + minor. */
unsigned qemu_version(void);
/* "reconnect=1" or, from 9.2 on, "reconnect-ms=1000". */
const char *qemu_reconnect_option(void);
