/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * manager owns the VMs: it takes connected monitors, names what has greeted, and keeps the limits.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "ledger.h"
#include "observer.h"
#include "vm.h"

/* VMs, with those that have not greeted yet. */
#define MANAGER_VMS_MAX 1024
/* Disks over all VMs. */
#define MANAGER_DISKS_MAX 4096
/* Bytes of the names in all chains: a system bus carries messages of 32 MiB. */
#define MANAGER_NAMES_MAX (20U * 1024U * 1024U)
/* VMs that one unprivileged uid has attached. */
#define MANAGER_ATTACHED_PER_UID_MAX 64
/* Bytes of a VM's name. */
#define MANAGER_NAME_MAX 255

/* Keeps the connections of VMs over a restart of the process. May be NULL as a whole. */
typedef struct ManagerKeeper {
    void (*keep)(const Vm *vm, uid_t attached_by, void *userdata);
    void (*drop)(const Vm *vm, uid_t attached_by, void *userdata);
    /* The same of a QEMU that has dialled in and is no VM yet. It may dial but once: QEMU 7.2 can
     * miss that it is hung up on before it has greeted. The number is of this connection alone. */
    void (*keep_newcomer)(int fd, uint64_t number, void *userdata);
    void (*drop_newcomer)(uint64_t number, void *userdata);
} ManagerKeeper;

/* The ledger outlives the manager. */
int manager_new(sd_event *event, Ledger *ledger, const DomainObserver *observer, void *userdata,
                Manager **ret);
Manager *manager_free(Manager *m);
DEFINE_CLEANUP(Manager, manager_free)

void manager_set_keeper(Manager *m, const ManagerKeeper *keeper, void *userdata);
/* A connection that was kept, with the name of its VM. Takes fd, also on failure. */
int manager_resume(Manager *m, int fd, VmOrigin origin, const char *name, uid_t attached_by);
/* The same of a newcomer: nobody waits for it to be in step. */
int manager_resume_newcomer(Manager *m, int fd);
/* Whether the connection of each VM that was kept is in step again, or gone. */
bool manager_is_in_step(const Manager *m);

/* A QEMU has dialled in. Takes fd, also on failure. */
int manager_accept(Manager *m, int fd);

/* A caller with the uid brings a monitor. Takes fd in any case; vm is set in the answer's Vm. */
typedef void (*AttachFunc)(const Refusal *refusal, Vm *vm, void *userdata);
void manager_attach(Manager *m, const char *name, int fd, uid_t uid, AttachFunc callback,
                    void *userdata);

/* Ends the connection to an attached VM. */
void manager_detach(Manager *m, Vm *vm, DoneFunc done, void *userdata);

Ledger *manager_ledger(const Manager *m);

/* Published VMs, in the order they came: NULL first, then the one before; NULL at the end. */
Vm *manager_next_vm(const Manager *m, const Vm *previous);
Vm *manager_find_vm(const Manager *m, const char *name);

/* Nothing is attached and nothing is on its way. */
bool manager_is_idle(const Manager *m);
/* Some job is at its barrier, so that guest I/O stands still until it goes on. */
bool manager_is_holding(const Manager *m);
/* The service is leaving: no guest is to stay slowed down for a commit. Whether none is; asked
 * again until then. */
bool manager_restore_guests(Manager *m);
