/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit-plan holds what a caller wants of a commit against the disk as it was read last: which
 * images that means, and every reason to refuse it. It sends nothing.
 */
#pragma once

#include <sys/types.h>

#include "commit-options.h"
#include "disk.h"

/* Bytes of a backing file name that a qcow2 image can record (QEMU's docs/interop/qcow2). */
#define COMMIT_BACKING_FILE_MAX 1023

typedef struct CommitPlan {
    bool active;      /* the active layer is in it: two phases */
    const char *top;  /* node of the uppermost image to commit */
    const char *base; /* node of the image to commit into */
    JobOnReady on_ready;
    JobOnError on_error;
    uint64_t speed;         /* bytes/s, 0 for unlimited */
    char *backing_file;     /* for the image above top to record, NULL for QEMU's choice */
    uint64_t deadline_usec; /* CLOCK_REALTIME, 0 for none */
    JobOnDeadline on_deadline;
    uid_t uid;         /* of the caller */
    uint64_t group;    /* CommitId.group */
    bool drop_bitmaps; /* what cannot be carried may be lost */
    bool recorder;     /* the bitmaps to be carried need one, see bitmap.h */
} CommitPlan;

/* Images as indexes in the chain. */
typedef struct CommitRange {
    size_t top, base;
} CommitRange;

/* Which images the options mean on the disk; false with a refusal where they mean none that can be
 * committed, whatever else may stand in the way. */
bool commit_resolve(const Disk *d, const CommitOptions *options, CommitRange *ret,
                    Refusal *ret_refusal);

/* Whether the disk allows the commit; if so, ret_plan borrows nodes from the disk's chain. */
void commit_plan(const Disk *d, const CommitOptions *options, Refusal *ret_refusal,
                 CommitPlan *ret_plan);
void commit_plan_done(CommitPlan *plan);
