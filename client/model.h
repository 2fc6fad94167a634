/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * model: what the service publishes at one instant: VMs, their disks, chains and jobs. All of it
 * comes from one GetManagedObjects(), so that its parts fit together.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "cleanup.h"
#include "record.h"

typedef struct Image {
    uint32_t index;
    char *node, *file, *format, *backing_file; /* backing_file is NULL for none */
    uint64_t size;
    bool read_only;
} Image;

typedef struct Job {
    char *id, *type, *state, *on_ready, *top, *base; /* id is NULL for no job */
    char *error;                                     /* NULL or empty for none */
    uint64_t offset, length, speed, started_usec;
    uint64_t remaining, rate; /* 0 where the service does not say */
    uint32_t started_by_uid;
} Job;

typedef struct LastJob {
    char *id, *type, *result, *error, *message; /* id is NULL for none yet */
    uint64_t started_usec, finished_usec;
} LastJob;

typedef struct Disk {
    char *path, *vm_path;
    char *name, *device, *node, *format, *job_state;
    uint64_t size;
    uint32_t chain_depth;
    bool read_only;
    char **warnings; /* ended by NULL; NULL for none */
    Image *chain;
    size_t n_chain;
    Job job;
    LastJob last_job;
} Disk;

typedef struct Vm {
    char *path, *name, *state, *qemu_version, *unit, *instance;
    uint32_t process_id, user_id;
    char *jobs_state;  /* of the disks that are committed together, "none" for none */
    char **jobs_disks; /* object paths of them, ended by NULL; NULL for none */
    Disk *disks;       /* a part of the model's array */
    size_t n_disks;
} Vm;

typedef struct Model {
    Vm *vms; /* in the order of their names, as are the disks of each */
    size_t n_vms;
    Disk *disks;
    size_t n_disks;
    char *service; /* unique name of the service that gave the answer */
} Model;

extern const RecordField job_fields[];

int model_read(Client *c, Model **ret, sd_bus_error *error);
Model *model_free(Model *m);
DEFINE_CLEANUP(Model, model_free)

/* NULL where there is none. */
Disk *model_disk_at(const Model *m, const char *path);
const Vm *model_vm_of(const Model *m, const Disk *d);
/* Whether the disk's job is one of several that are committed together. */
bool model_is_grouped(const Vm *vm, const Disk *d);

json_object *model_disk_to_json(const Disk *d);
json_object *model_vm_to_json(const Vm *vm);
