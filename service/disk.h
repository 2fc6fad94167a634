/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk is one disk of a VM: its chain, its name that never changes, its job and its last job.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "chain.h"
#include "cleanup.h"
#include "commit-options.h"
#include "drive.h"
#include "job.h"
#include "observer.h"

typedef struct LastJob {
    char *id; /* NULL before the first */
    char *type;
    JobResult result;
    RefusalKind error;
    char *message;
    uint64_t started_usec, finished_usec;
} LastJob;

/* Takes nothing over. name is unique in the VM. */
int disk_new(Vm *vm, const char *name, const Drive *drive, const Graph *g, Disk **ret);
Disk *disk_free(Disk *d);
DEFINE_CLEANUP(Disk, disk_free)

/* Takes over what a new reading says; announces what changed. */
int disk_update(Disk *d, const Drive *drive, const Graph *g);
bool disk_is(const Disk *d, const Drive *drive);
/* The reading does not show the disk any more; a job may still run on its nodes. */
void disk_set_gone(Disk *d);
bool disk_is_gone(const Disk *d);
/* The last reading did not tell its chain, which is that of an earlier one. */
bool disk_is_outdated(const Disk *d);

/* Puts the chain as it is seen on record. Nothing while a job is on its way to its end: it has said
 * what the images are about to be. */
void disk_record(Disk *d);
/* The image to boot instead of the one that the disk runs on, NULL where that is not stale. */
const char *disk_stale_for(const Disk *d);
/* Whether the image record could not be written. */
bool disk_is_unrecorded(const Disk *d);

Vm *disk_vm(const Disk *d);
const char *disk_name(const Disk *d);
const char *disk_device(const Disk *d);
const Chain *disk_chain(const Disk *d); /* never NULL */
/* What to call an image of the chain to people: its file, where QEMU's name is a json:{…} one. */
const char *disk_image_label(const Disk *d, const ChainImage *image);
bool disk_is_read_only(const Disk *d);
/* Flash of the machine: shown, not offered for jobs. */
bool disk_is_firmware(const Disk *d);
uint64_t disk_size(const Disk *d);
Commit *disk_job(const Disk *d); /* NULL for none */
JobState disk_job_state(const Disk *d);
const LastJob *disk_last_job(const Disk *d);
/* Whether an edge of the job leads to an image of the disk. */
bool disk_uses_job(const Disk *d, const Graph *g, const GraphVertex *job);
/* Whether an export shows an image of the disk, so that clients may come at any moment. */
bool disk_has_export(const Disk *d, const Graph *exports);

/* Answers with a refusal whose text begins with VM and disk. */
void disk_refuse(const Disk *d, DoneFunc done, void *userdata, RefusalKind kind, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));

/* Starts a commit. done: REFUSAL_NONE and disk_job() is the job. */
void disk_commit(Disk *d, const CommitOptions *options, uid_t uid, DoneFunc done, void *userdata);
/* What disk_commit() would do, without doing it. */
typedef struct CommitReport CommitReport;
/* report is borrowed, and NULL with a refusal. */
typedef void (*CheckFunc)(const CommitReport *report, const Refusal *refusal, void *userdata);
void disk_check(Disk *d, const CommitOptions *options, uid_t uid, CheckFunc checked,
                void *userdata);
/* Whether a job is on the disk, which takes one at a time; if so, with the refusal. */
bool disk_refuses_second_job(const Disk *d, Refusal *ret_refusal);
/* The VM's graph could not be read before the start of a job. */
void disk_refuse_unread(const Vm *vm, int error, Refusal *ret_refusal);
void disk_pivot(Disk *d, DoneFunc done, void *userdata);
void disk_abort(Disk *d, DoneFunc done, void *userdata);

/* For commit: whether the guest is to write more slowly. */
void disk_slow_guest(Disk *d, bool slow);
bool disk_is_slowed(const Disk *d);
/* The service is leaving: begins to make the guest as fast as its user wants it. Whether it is. */
bool disk_restore_guest(Disk *d);
/* Once the VM has its name: a guest that an earlier process has slowed down goes on as before, or
 * as the job wants it. */
void disk_recall_throttle(Disk *d);
/* The device is gone, and its limits with it. */
void disk_drop_throttle(Disk *d);

/* For commit: the job goes without a result; the caller frees it. */
void disk_drop_job(Disk *d);
/* For commit: the job, which nobody has heard of, is freed; QEMU may list it once more. */
void disk_withdraw_job(Disk *d);
/* For commit: the job begins and ends its life on the disk. */
void disk_set_job(Disk *d, Commit *job);
/* Takes over what last holds, on record first; forgets the job. */
void disk_end_job(Disk *d, LastJob *last);

/* Whether that job has been ended here: a reading from before its dismissal may still show it. */
bool disk_has_ended(const Disk *d, const char *qemu_id);

/* Known by its node alone: neither device nor export tells a pivot. */
bool disk_is_lone(const Disk *d);
/* A lone node has been merged: from now on the disk is the base. */
int disk_set_merged(Disk *d, const char *base);
