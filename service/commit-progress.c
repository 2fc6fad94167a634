/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How far a job is and how fast it goes, as QEMU says: taken over with each look at the job, and
 * announced twice a second at most, however often QEMU gives a reason to look.
 */
#include <time.h>

#include "commit-internal.h"

uint64_t commit_monotonic_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * QMP_USEC_PER_SEC + (uint64_t)now.tv_nsec / 1000;
}

unsigned commit_due_progress(Commit *c)
{
    if (!c->progress_due)
        return 0;
    c->progress_due = false;
    c->progress_usec = commit_monotonic_usec();
    return COMMIT_CHANGE_PROGRESS;
}

void commit_take_progress(Commit *c, const GraphJob *job)
{
    uint64_t now = commit_monotonic_usec();
    unsigned changes = 0;

    pace_add(&c->pace, now, job->offset);
    uint64_t rate = pace_rate(&c->pace);

    if (c->offset != job->offset || c->length != job->length || c->rate != rate)
        c->progress_due = true;
    if (job->block && c->speed != job->speed)
        changes |= COMMIT_CHANGE_SPEED;
    c->offset = job->offset;
    c->length = job->length;
    c->rate = rate;
    if (job->block)
        c->speed = job->speed;
    if (c->machine.phase == JOB_SETTLING)
        return;

    if (now - c->progress_usec >= VM_PROGRESS_USEC)
        changes |= commit_due_progress(c);
    commit_announce(c, changes);
}

uint64_t commit_offset(const Commit *c)
{
    return c->offset;
}

uint64_t commit_length(const Commit *c)
{
    return c->length;
}

uint64_t commit_remaining(const Commit *c)
{
    return c->length > c->offset ? c->length - c->offset : 0;
}

uint64_t commit_rate(const Commit *c)
{
    return c->rate;
}
