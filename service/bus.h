/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus is what the four interfaces share: paths, the way from a path to an object, the way from an
 * answer of the domain back to the caller, and the observer that turns news into signals.
 *
 * Nothing is kept per object: every call looks its object up by its path.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "cleanup.h"
#include "commit-options.h"
#include "gate.h"
#include "manager.h"

#define BUS_NAME "org.vmdisk1"
#define BUS_PATH "/org/vmdisk1"
#define BUS_PATH_VMS BUS_PATH "/vm"
#define BUS_INTERFACE_MANAGER "org.vmdisk1.Manager"
#define BUS_INTERFACE_VM "org.vmdisk1.VM"
#define BUS_INTERFACE_DISK "org.vmdisk1.Disk"
#define BUS_INTERFACE_JOB "org.vmdisk1.Job"

typedef struct Bus Bus;

/* Publishes the objects of manager behind a gate. Order: bus_new(), manager_new() with bus_observer
 * and the Bus as its userdata, bus_publish(). */
int bus_new(sd_bus *connection, GateMode mode, Bus **ret);
int bus_publish(Bus *b, Manager *manager);
/* Before the manager is freed, so that nobody is told of its end but by the end of the name. */
Bus *bus_free(Bus *b);
DEFINE_CLEANUP(Bus, bus_free)

extern const DomainObserver bus_observer;

/* The Bus that the VM is published on. */
Bus *bus_of(const Vm *vm);
sd_bus *bus_connection(const Bus *b);
Manager *bus_manager(const Bus *b);
/* (uid_t)-1 where it is not known. */
uid_t bus_caller_uid(const Bus *b, sd_bus_message *call);

/* Object paths; the caller frees, NULL without memory. */
char *bus_vm_path(const Vm *vm);
char *bus_disk_path(const Disk *d);
char *bus_disk_path_of(const Vm *vm, const char *disk);
/* The object behind a path, NULL for none. */
Vm *bus_find_vm(const Bus *b, const char *path);
Disk *bus_find_disk(const Bus *b, const char *path);
Commit *bus_find_job(const Bus *b, const char *path);

/* Announces changed properties; the list ends with NULL. */
void bus_emit_changed(const Bus *b, const char *path, const char *interface,
                      const char *const *properties);

/* DoneFunc that answers the call, an sd_bus_message with a reference of its own, without values. */
void bus_reply_done(const Refusal *refusal, void *userdata);

/* The options of CommitWith and Check, with strings borrowed from the message; as
 * bus_options_read(), but a refusal names VM and disk. */
int bus_disk_read_options(sd_bus_message *message, const Disk *d, CommitOptions *ret,
                          Refusal *ret_refusal);
/* Handler of Disk.Check. */
int bus_disk_check(sd_bus_message *message, void *userdata, sd_bus_error *error);

/* The vtables, and what announces changes of their properties, one file an interface. */
extern const sd_bus_vtable bus_manager_vtable[], bus_vm_vtable[], bus_disk_vtable[],
    bus_job_vtable[];
void bus_vm_changed(Bus *b, const Vm *vm);
void bus_vm_jobs_changed(Bus *b, const Vm *vm);
void bus_vm_signal_ready(Bus *b, const Vm *vm);
void bus_vm_signal_finished(Bus *b, const Vm *vm);
void bus_disk_changed(Bus *b, const Disk *d, unsigned changes);
/* JobState has changed; with last, LastJob too. */
void bus_disk_job_changed(Bus *b, const Disk *d, bool last);
void bus_disk_signal_ready(Bus *b, const Commit *job);
void bus_disk_signal_finished(Bus *b, const Disk *d);
void bus_job_changed(Bus *b, const Commit *job, unsigned changes);
