/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vm-disks keeps the disks of one VM in step with what QEMU's graph shows.
 */
#pragma once

#include <json-c/json.h>

#include "cleanup.h"
#include "graph.h"
#include "observer.h"

typedef struct VmDisks VmDisks;

int vm_disks_new(Vm *vm, VmDisks **ret);
/* Running jobs finish as lost, each disk is announced as removed where it was announced. */
VmDisks *vm_disks_free(VmDisks *all);

/* Adds, updates and removes; takes up jobs of ours that are not known yet. 0, -ENOMEM, or
 * -E2BIG: more than is taken. */
int vm_disks_update(VmDisks *all, const Graph *g);
/* Tells each job what QEMU says of it. */
void vm_disks_handle_jobs(VmDisks *all, const Graph *jobs);

/* Tells the job that is meant, if it is here, what it has come to (BLOCK_EVENT_JOB_STATUS). Returns
 * whether that is all that has to be done. */
bool vm_disks_handle_status(VmDisks *all, json_object *data);
/* Tells the job that is meant, if it is here, of an I/O error (BLOCK_EVENT_JOB_ERROR). */
void vm_disks_handle_io_error(VmDisks *all, json_object *data);

Disk *vm_disks_next(const VmDisks *all, const Disk *previous);
