/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The world of one test: a scratch directory, a private bus, the daemon, and a recorder that
 * listens from before the daemon starts.
 */
#pragma once

#include <glib.h>

#include "test-bus.h"
#include "daemon.h"
#include "qemu.h"
#include "recorder.h"

typedef struct Rig {
    char *dir; /* scratch, removed at the end */
    TestBus *bus;
    Daemon *daemon;
    Recorder *recorder;
} Rig;

/* The daemon runs and owns its name. */
Rig *rig_new(void);
/* The daemon does not run yet: daemon_start(), rig_wait_daemon(). */
Rig *rig_new_without_daemon(void);
/* Stops the daemon, which must still run and end well, where the test has not ended it itself. */
void rig_free(Rig *rig);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

void rig_wait_daemon(Rig *rig);

/* A QEMU, or a storage daemon, that dials in to this daemon. */
Qemu *rig_qemu(Rig *rig, QemuKind kind, const char *name);

/* Object paths; the caller frees them. */
char *rig_vm_path(const char *vm);
char *rig_disk_path(const char *vm, const char *disk);
/* Waits until the object is there. */
char *rig_wait_vm(Rig *rig, const char *vm);
char *rig_wait_disk(Rig *rig, const char *vm, const char *disk);
void rig_wait_gone(Rig *rig, const char *path, const char *interface);
/* Paths of all objects with that interface, sorted, ended by NULL. */
char **rig_objects(Rig *rig, const char *interface);
