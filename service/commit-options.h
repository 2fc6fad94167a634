/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit-options is what a caller asks of a commit, in C: nothing of it is checked against a disk
 * yet, which is commit-plan's business.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "job.h"

/* More than a year ahead nobody means. */
#define COMMIT_DEADLINE_MAX_USEC (UINT64_C(366) * 24 * 3600 * 1000000)

/* A choice, and whether it was made. */
typedef struct CommitOnDeadline {
    JobOnDeadline choice;
    bool given;
} CommitOnDeadline;

typedef struct CommitOptions {
    bool active; /* the active layer is to be committed: two phases */
    /* Images: the index in the chain, the node name or the exact file name; NULL for the default.
     */
    char *top, *base;
    bool shallow; /* base is the image just below top */
    JobOnReady on_ready;
    JobOnError on_error;
    uint64_t speed;         /* bytes/s, 0 for unlimited */
    char *backing_file;     /* what the image above top shall record, NULL for QEMU's choice */
    bool relative;          /* the image above top shall record a relative name */
    uint64_t deadline_usec; /* from the start, 0 for none */
    CommitOnDeadline on_deadline;
    bool override;     /* the base may be below other overlays */
    bool drop_bitmaps; /* dirty bitmaps that cannot be carried into the base may be lost */
} CommitOptions;

/* 0 or -ENOMEM. */
int commit_options_copy(const CommitOptions *options, CommitOptions *ret);
void commit_options_done(CommitOptions *options);
