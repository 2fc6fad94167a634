/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the domain tells the ring above it: news of VMs, disks and jobs, once per change. Every
 * object is whole during the call; the observer must not free it.
 */
#pragma once

#include "refusal.h"

typedef struct Manager Manager;
typedef struct Vm Vm;
typedef struct Disk Disk;
typedef struct Commit Commit;

/* Properties of a disk that changed. */
typedef enum DiskChange {
    DISK_CHANGE_DEVICE = 1 << 0,
    DISK_CHANGE_NODE = 1 << 1,
    DISK_CHANGE_FORMAT = 1 << 2,
    DISK_CHANGE_SIZE = 1 << 3,
    DISK_CHANGE_READ_ONLY = 1 << 4,
    DISK_CHANGE_DEPTH = 1 << 5,
    DISK_CHANGE_CHAIN = 1 << 6,
    DISK_CHANGE_WARNINGS = 1 << 7,
} DiskChange;

/* Properties of a job that changed. */
typedef enum CommitChange {
    COMMIT_CHANGE_STATE = 1 << 0,
    COMMIT_CHANGE_PROGRESS = 1 << 1,
    COMMIT_CHANGE_SPEED = 1 << 2,
    COMMIT_CHANGE_ERROR = 1 << 3,
    COMMIT_CHANGE_SLOWED = 1 << 4,
} CommitChange;

typedef struct DomainObserver {
    void (*vm_added)(Vm *vm, void *userdata); /* its disks follow with disk_added */
    void (*vm_changed)(Vm *vm, void *userdata);
    void (*vm_removed)(Vm *vm, void *userdata); /* its disks are gone already */
    void (*disk_added)(Disk *disk, void *userdata);
    void (*disk_changed)(Disk *disk, unsigned changes, void *userdata); /* DiskChange bits */
    void (*disk_removed)(Disk *disk, void *userdata);
    void (*job_started)(Commit *job, void *userdata);
    void (*job_changed)(Commit *job, unsigned changes, void *userdata); /* CommitChange bits */
    void (*job_ready)(Commit *job, void *userdata);
    void (*job_hidden)(Commit *job, void *userdata);   /* somebody else's, and not seen any more */
    void (*job_finished)(Commit *job, void *userdata); /* disk_last_job() tells the result */
    void (*jobs_changed)(Vm *vm, void *userdata);  /* group_state() or group_disk() has changed */
    void (*jobs_ready)(Vm *vm, void *userdata);    /* of a group: all are ready */
    void (*jobs_finished)(Vm *vm, void *userdata); /* group_end() tells how */
} DomainObserver;

/* The answer to a request: refusal->kind is REFUSAL_NONE for yes. Called exactly once for each
 * request, also when VM or disk go away meanwhile; may be called before the request returns. */
typedef void (*DoneFunc)(const Refusal *refusal, void *userdata);
