/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit-id is QEMU's id of a commit job, and carries what a successor of this process must know to
 * go on with the job: QEMU keeps it for us.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cleanup.h"
#include "job.h"

typedef struct CommitId {
    bool active;
    bool base_read_only; /* before the job */
    JobOnReady on_ready;
    JobOnError on_error;
    bool drop_bitmaps; /* the caller has agreed to lose what cannot be carried */
    uid_t uid;
    uint64_t started_usec;
    uint64_t group;         /* what the jobs of a whole-VM commit have in common, 0 for none */
    uint64_t deadline_usec; /* CLOCK_REALTIME, 0 for none */
    JobOnDeadline on_deadline;
    char *disk, *top, *base; /* name of the disk, node names */
} CommitId;

/* The caller frees; NULL without memory. */
char *commit_id_make(const CommitId *id);
/* -EINVAL: the id is not of our making. */
int commit_id_parse(const char *text, CommitId **ret);
CommitId *commit_id_free(CommitId *id);
DEFINE_CLEANUP(CommitId, commit_id_free)
