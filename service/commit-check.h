/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit-check says what a commit would do to a disk as it was read last, and what stands in its
 * way. It sends nothing and changes nothing.
 */
#pragma once

#include <sys/types.h>

#include "commit-plan.h"
#include "disk.h"
#include "refusal.h"

/* Disks with other overlays above the base that a report names. */
#define CHECK_OVERLAYS_MAX 64

/* What becomes of an image. */
typedef enum CheckBecomes {
    CHECK_UNCHANGED,
    CHECK_WRITTEN,   /* the base */
    CHECK_REWRITTEN, /* its header only: it gets another backing file */
    CHECK_UNUSED,    /* leaves the chain */
    CHECK_STALE,     /* leaves the chain with the pivot, and must not be booted from then on */
    CHECK_BECOMES_MAX_,
} CheckBecomes;

/* Sentences, names or commands. */
typedef struct CheckTexts {
    char **items;
    size_t n;
} CheckTexts;

struct CommitReport {
    const Disk *disk;     /* with its chain, both borrowed */
    Refusal refusal;      /* the answer that the commit would get; REFUSAL_NONE: it would start */
    bool left_out;        /* a commit of the whole VM leaves the disk out where nobody names it */
    Refusal together;     /* the answer to it, where the disk alone could be committed */
    CheckTexts obstacles; /* what else stands in the way, or would make the job fail */
    CheckTexts warnings;
    CheckTexts commands; /* JSON; none where the commit is refused */

    bool resolved; /* the options mean images of the chain: what follows is set */
    bool active;
    CommitRange range;
    CheckBecomes *becomes;     /* of each image of the chain */
    uint64_t bytes_to_copy;    /* at most, as it is now */
    uint64_t grows_to;         /* what the base must grow to, 0 where it is large enough */
    uint64_t room;             /* what the device below the base has, 0 where QEMU does not tell */
    CheckTexts other_overlays; /* VM/DISK */
    CheckTexts bitmaps_kept;   /* names of dirty bitmaps that the base has afterwards */
    CheckTexts bitmaps_lost;   /* "NAME: why" */
};

/* -ENOMEM. */
int commit_check(Disk *d, const CommitOptions *options, uid_t uid, CommitReport **ret);
CommitReport *commit_report_free(CommitReport *r);
DEFINE_CLEANUP(CommitReport, commit_report_free)

bool commit_report_is_possible(const CommitReport *r);
const char *check_becomes_to_string(CheckBecomes becomes);
