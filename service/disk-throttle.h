/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * disk-throttle slows the guest's writes to one disk down, through QEMU's own throttle of the
 * device, for as long as a commit that cannot keep up with them wants that; then it sets back what
 * the user had. What that is, is on record before the first command, so that a successor of this
 * process can do it. Limits that somebody else has set meanwhile are left alone.
 *
 * The end of a job needs an instant when all is copied and no write waits. A throttled guest leaves
 * none: QEMU's drain lets the write that waits through, each time (mirror.c, throttle-groups.c).
 * So, when little remains, the guest is stopped for the blink in which that is copied.
 */
#pragma once

#include "commit-plan.h"
#include "disk.h"

typedef struct DiskThrottle DiskThrottle;

/* Whether the disk's guest cannot be slowed down; if so, why. */
bool disk_throttle_refuse(const Disk *d, Refusal *ret_refusal);

int disk_throttle_new(Disk *d, DiskThrottle **ret);
/* The limits that it has set stay set, and on record. */
DiskThrottle *disk_throttle_free(DiskThrottle *t);
DEFINE_CLEANUP(DiskThrottle, disk_throttle_free)

/* Slow the guest down, or do not any more. Repeated without harm. */
void disk_throttle_want(DiskThrottle *t, bool slow);
/* The job has ended: the next one is another matter. */
void disk_throttle_end_job(DiskThrottle *t);
/* The service is leaving: from now on the guest is not to be slowed down, whatever is wanted. */
void disk_throttle_leave(DiskThrottle *t);
/* Whether the guest is slowed down, or may be. */
bool disk_throttle_is_slowed(const DiskThrottle *t);
