/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vm is one QEMU process behind one monitor: who it is, and its disks as QEMU's graph shows them.
 * It reads the graph when something says that it changed, and once a second asks whether it did:
 * QEMU announces neither hotplug nor snapshots of others.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "graph.h"
#include "ledger.h"
#include "observer.h"
#include "peer.h"
#include "qmp.h"
#include "reading.h"

/* Disks of one VM. */
#define VM_DISKS_MAX 256
/* Bytes of the names in all chains of one VM: they all go into one answer of the bus. */
#define VM_NAMES_MAX (8U * 1024U * 1024U)
/* Jobs of one VM: N at once cost about 5 N^2 events from QEMU 10.0 on. */
#define VM_JOBS_MAX 16
/* How often a VM is asked whether its graph changed. */
#define VM_POLL_USEC (1 * QMP_USEC_PER_SEC)
/* How often progress is read while a job runs. */
#define VM_PROGRESS_USEC (QMP_USEC_PER_SEC / 2)

typedef struct Group Group;

typedef enum VmOrigin {
    VM_DIALLED_IN,
    VM_ATTACHED,
} VmOrigin;

/* The one who made the VM: it publishes it, and frees it in closed(). */
typedef struct VmOwner {
    void (*ready)(Vm *vm, void *userdata); /* identity and disks are known */
    void (*closed)(Vm *vm, int error, void *userdata);
    /* Whether there is room for one more disk. */
    bool (*may_add_disk)(void *userdata);
    /* Whether there is room for so many bytes of names in the VM's chains. */
    bool (*may_hold)(size_t bytes, void *userdata);
    /* Another disk that uses the file, as a sentence for people that begins with a space; NULL for
     * none. The caller frees. */
    char *(*find_image_user)(const Disk *except, const char *file, void *userdata);
} VmOwner;

/* Takes fd, also on failure. */
int vm_new(sd_event *event, int fd, VmOrigin origin, QmpStart start, Ledger *ledger,
           const VmOwner *owner, void *owner_userdata, const DomainObserver *observer,
           void *observer_userdata, Vm **ret);
/* Running jobs finish as lost, open requests are refused. */
Vm *vm_free(Vm *vm);
DEFINE_CLEANUP(Vm, vm_free)

/* Takes name. */
void vm_set_name(Vm *vm, char *name);
/* Announces the VM and its disks; from here on changes are announced. */
void vm_publish(Vm *vm);
bool vm_is_published(const Vm *vm);
/* The service is leaving: nothing is announced any more, jobs go on in QEMU. */
void vm_withdraw(Vm *vm);

const char *vm_name(const Vm *vm);      /* NULL before vm_set_name() */
const char *vm_qemu_name(const Vm *vm); /* QEMU's -name, "" for none */
const char *vm_state(const Vm *vm);
/* Whether the guest runs, and nothing has come since that may have changed it. */
bool vm_is_running(const Vm *vm);
const char *vm_version(const Vm *vm);
const Peer *vm_peer(const Vm *vm);
VmOrigin vm_origin(const Vm *vm);
Qmp *vm_qmp(const Vm *vm);
Ledger *vm_ledger(const Vm *vm);
const Graph *vm_graph(const Vm *vm);
sd_event *vm_event(const Vm *vm);
/* The disks that are committed together, NULL for none. */
Group *vm_group(const Vm *vm);
void vm_set_group(Vm *vm, Group *group);
const DomainObserver *vm_observer(const Vm *vm, void **ret_userdata);

Disk *vm_next_disk(const Vm *vm, const Disk *previous);
Disk *vm_find_disk(const Vm *vm, const char *name);
unsigned vm_count_disks(const Vm *vm);
unsigned vm_count_jobs(const Vm *vm);
bool vm_is_holding(const Vm *vm);

/* Whether one more disk may be published. */
bool vm_may_add_disk(const Vm *vm);
/* Whether chains with so many bytes of names may be taken over; if so, counts them. */
bool vm_may_hold(Vm *vm, size_t bytes);
size_t vm_held(const Vm *vm);
/* Who else uses the image of that node, as VmOwner.find_image_user(). */
char *vm_find_image_user(const Vm *vm, const Disk *except, const char *node);

/* Reads the graph afresh; vm_graph() and the disks are up to date in the callback. */
int vm_refresh(Vm *vm, ReadingFunc callback, void *userdata);
/* The same for whoever needs no answer. */
void vm_refresh_unasked(Vm *vm);
/* Reads what counts at the barrier only, afresh, as block_read_bitmaps() does: vm_bitmaps() has it
 * in the callback. */
int vm_read_bitmaps(Vm *vm, ReadingFunc callback, void *userdata);
const Graph *vm_bitmaps(const Vm *vm);
/* Reads the jobs afresh, soon; many wishes are one reading. */
void vm_refresh_jobs(Vm *vm);

/* REFUSAL_JOB_EXISTS while a job of ours needs the monitor. The caller frees the VM after yes. */
void vm_check_detach(const Vm *vm, Refusal *ret_refusal);
