/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The deadline of a commit that is to be ready by then, and what is done when it is not. It is part
 * of QEMU's id of the job, so that a successor of this process finds it there. The disks of a group
 * have the same, and each is late by itself; a cancel of one ends the group.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "commit-internal.h"
#include "disk-throttle.h"
#include "group-internal.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"

bool commit_deadline_refuse(const Disk *d, const CommitOptions *o, Refusal *r)
{
    if (!o->active && o->deadline_usec > 0)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'deadline-usec' is for commits of the active layer ('active'): others are "
                      "never behind the guest.");
    else if (o->on_deadline.given && o->deadline_usec == 0)
        commit_refuse(
            d, r, REFUSAL_INVALID_ARGS,
            "'on-deadline' says what happens at the deadline. Give one: 'deadline-usec'.");
    else if (o->deadline_usec > COMMIT_DEADLINE_MAX_USEC)
        commit_refuse(d, r, REFUSAL_INVALID_ARGS,
                      "'deadline-usec' is more than a year away; 0 means none.");
    else
        return o->on_deadline.choice == JOB_ON_DEADLINE_SLOW_GUEST && disk_throttle_refuse(d, r);
    return true;
}

static bool is_behind(const Commit *c)
{
    return c->overdue && c->machine.phase == JOB_RUNNING && !c->ending;
}

static void clear(Commit *c)
{
    c->deadline = sd_event_source_disable_unref(c->deadline);
    c->overdue = false;
}

static void log_passed(Commit *c)
{
    LogContext context = {
        .message_id = MESSAGE_DEADLINE_PASSED,
        .vm = vm_name(disk_vm(c->disk)),
        .disk = disk_name(c->disk),
        .job = c->id,
        .detail = job_on_deadline_to_string(c->on_deadline),
    };

    if (c->overdue_logged)
        return;
    c->overdue_logged = true;
    log_line(LOG_NOTICE, &context,
             "VM '%s', disk '%s': commit into '%s' is not ready at its deadline (%s)", context.vm,
             context.disk, c->base, context.detail);
}

/* QEMU hands over, or keeps, at an instant when all is copied. A guest that is faster than the copy
 * leaves none: not before the job is ready, and not when its end has been asked for. While it waits
 * in between, and where it stands still or is cancelled, nothing is gained by a slow guest. */
static bool needs_slow_guest(const Commit *c)
{
    bool ending = c->ending || c->machine.phase == JOB_ENDING;

    return c->overdue && !c->machine.paused && !c->forced && c->machine.phase >= JOB_RUNNING &&
           c->machine.phase <= JOB_ENDING && ending == c->machine.announced;
}

/* Of a group, what is ready is kept. */
static void cut_off(Commit *c)
{
    if (c->group) {
        _cleanup_(freep) char *why =
            text_format("disk '%s' was not ready at the deadline", disk_name(c->disk));
        group_doom(c->group, why ? why : "a disk was not ready at the deadline");
    }
    c->cut_off = true;
    commit_force_abort(c);
}

void commit_deadline_check(Commit *c)
{
    if (c->machine.phase > JOB_ENDING)
        clear(c);
    if (is_behind(c))
        log_passed(c);

    switch (c->on_deadline) {
    case JOB_ON_DEADLINE_KEEP_WAITING:
    case JOB_ON_DEADLINE_MAX_:
        return;
    case JOB_ON_DEADLINE_CANCEL:
        if (is_behind(c))
            cut_off(c);
        return;
    case JOB_ON_DEADLINE_SLOW_GUEST:
        disk_slow_guest(c->disk, needs_slow_guest(c));
        return;
    }
}

/* What was read last may be old: a look shows whether the job is ready by now. */
static int on_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    Commit *c = userdata;

    c->overdue = true;
    vm_refresh_jobs(disk_vm(c->disk));
    return 0;
}

void commit_deadline_arm(Commit *c)
{
    if (c->deadline_usec == 0 || c->machine.phase > JOB_READY)
        return;
    c->overdue = commit_now_usec() >= c->deadline_usec;
    if (c->overdue)
        return;

    int r = sd_event_add_time(vm_event(disk_vm(c->disk)), &c->deadline, CLOCK_REALTIME,
                              c->deadline_usec, /* accuracy= */ 0, on_deadline, c);
    if (r < 0) {
        log_line(LOG_WARNING, &(LogContext){.job = c->id},
                 "The deadline of a commit cannot be watched: %s", strerror(-r));
        return;
    }
    (void)sd_event_source_set_description(c->deadline, "commit-deadline");
}

bool commit_is_slowing(const Commit *c)
{
    return !c->foreign && disk_is_slowed(c->disk);
}
