/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A job that an I/O error has paused (on-error stop and enospc): what it stands still for is shown
 * and logged, until Resume or an end. QEMU's "io-status" is the sign: it is set together with the
 * pause and cleared when the job is resumed (blockjob.c), whereas a status of "paused" alone may be
 * a drain. Both together say that what was under way has come back, too: resumed any sooner, the
 * job would be paused again by what failed before the cause was removed.
 */
#include <errno.h>
#include <string.h>

#include "commit-internal.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"

/* A peer that makes up pauses which nobody has ended is heard once in so long. */
#define IO_LOG_USEC (10 * QMP_USEC_PER_SEC)

/* QEMU keeps no number of the error. NULL: the job does not stand still. */
static const char *error_of(const GraphJob *job)
{
    if (!job->paused || (strcmp(job->status, "paused") != 0 && strcmp(job->status, "standby") != 0))
        return NULL;

    switch (job->io_status) {
    case GRAPH_IO_OK:
        return NULL;
    case GRAPH_IO_NO_SPACE:
        return strerror(ENOSPC);
    case GRAPH_IO_FAILED:
        return strerror(EIO);
    }
    return NULL;
}

const char *commit_io_error(const Commit *c)
{
    return c->io_error ? c->io_error : "";
}

void commit_handle_io_error(Commit *c, bool read)
{
    c->io_read = read;
}

void commit_log_io_error(Commit *c)
{
    uint64_t now = commit_monotonic_usec();
    LogContext context = {
        .message_id = MESSAGE_JOB_STOPPED,
        .vm = vm_name(disk_vm(c->disk)),
        .disk = disk_name(c->disk),
        .job = c->id,
        .detail = c->io_error,
    };

    if (!c->io_error || (c->io_logged_usec > 0 && now - c->io_logged_usec < IO_LOG_USEC))
        return;
    c->io_logged_usec = now;
    log_line(LOG_WARNING, &context,
             "VM '%s', disk '%s': commit into '%s' is paused: %s: %s. Remove the cause, then call "
             "Resume",
             context.vm, context.disk, c->base,
             c->io_read ? "an image cannot be read" : "the base cannot be written", c->io_error);
}

/* One announcement for what changes at once. */
static void set_stopped(Commit *c, bool paused, const char *error)
{
    JobState before = job_state(&c->machine);
    bool same = text_equal(c->io_error, error);
    char *copy = error ? strdup(error) : NULL;

    if (error && !copy)
        return;
    free(c->io_error);
    c->io_error = copy;
    c->machine.paused = paused;
    commit_announce(c, (same ? 0U : COMMIT_CHANGE_ERROR) |
                           (job_state(&c->machine) == before ? 0U : COMMIT_CHANGE_STATE));

    /* Its choice could not be carried out as long as it stood still. */
    if (!paused && c->machine.phase == JOB_READY && !c->ending)
        commit_act_on_ready(c);
}

void commit_take_io_status(Commit *c, const GraphJob *job)
{
    if (!job->block || c->forced || c->machine.phase > JOB_ENDING)
        return;
    /* QEMU's "cont" forgets the errors of all jobs, and resumes none (measured on 7.2.22). */
    if (c->io_error && job->io_status == GRAPH_IO_OK && job->paused)
        return;

    const char *error = error_of(job);
    c->io_stopped = job->io_status != GRAPH_IO_OK;
    if (text_equal(error, c->io_error))
        return;
    set_stopped(c, error != NULL, error);
    if (error)
        commit_log_io_error(c);
}

void commit_adopt_io_status(Commit *c, const GraphJob *job)
{
    const char *error = error_of(job);

    c->io_stopped = job->io_status != GRAPH_IO_OK;
    c->io_error = error ? strdup(error) : NULL;
    c->machine.paused = c->machine.paused || error;
}

void commit_set_forced(Commit *c)
{
    JobState before = job_state(&c->machine);
    unsigned changes = c->io_error ? COMMIT_CHANGE_ERROR : 0;

    free(c->io_error);
    c->io_error = NULL;
    c->io_stopped = false;
    c->forced = true;
    c->machine.paused = false;
    (void)job_handle(&c->machine, JOB_EVENT_FORCED); /* which has no effects to carry out */
    if (job_state(&c->machine) != before)
        changes |= COMMIT_CHANGE_STATE;
    commit_announce(c, changes);
    commit_deadline_check(c);
}

void commit_set_paused(Commit *c, bool paused)
{
    if (!paused)
        c->io_stopped = false;
    set_stopped(c, paused, paused ? c->io_error : NULL);
}
