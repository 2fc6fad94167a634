/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit starts a commit job, and with --wait, --pivot or --keep-overlay sees it through. For a
 * whole VM that is the business of group.
 */
#include "verbs.h"

#include <errno.h>
#include <string.h>

#include "commit-call.h"
#include "conclude.h"
#include "dry-run.h"
#include "exit-code.h"
#include "group.h"
#include "memory.h"
#include "model.h"
#include "watch.h"

static int start(Client *c, const Target *target, char **ret_job, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *job;

    int r = commit_call(c, target, &reply, error);
    if (r < 0)
        return r;
    r = sd_bus_message_read(reply, "s", &job);
    if (r < 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INCONSISTENT_MESSAGE,
                                 "%s: the service's answer cannot be read.", target->label);
    *ret_job = need(strdup(job));
    return 0;
}

static void print_started(const Client *c, const Target *target)
{
    _cleanup_(freep) char *wait = client_command(c, "wait", target->name, target->disk->path);

    if (c->options.given & OPTION_ACTIVE) {
        printf("%s: the job has started. When it is ready (\"%s\" waits for that), end it by\n",
               target->label, wait);
        conclude_print_ways(c, target);
    } else
        printf("%s: the job has started. It ends by itself; \"%s\" waits for that.\n",
               target->label, wait);
}

static int start_only(Client *c, const Target *target, sd_bus_error *error)
{
    _cleanup_(freep) char *job = NULL;

    int r = start(c, target, &job, error);
    if (r < 0)
        return r;
    if (conclude_talks(c))
        print_started(c, target);
    if (c->options.json != JSON_OFF)
        conclude_print_json(c, target, job, "commit", &(Outcome){.result = "started"});
    return EXIT_DONE;
}

static int see_through(Client *c, Watch *w, sd_bus_error *error)
{
    Ending ending = c->options.ending;

    if (ending == ENDING_OPEN)
        return conclude_wait(c, w, error);

    /* The service ends it, whether we are there or not. */
    int r = watch_wait(w, WATCH_FINISHED, error);
    if (r < 0)
        return r;
    return conclude_report(c, w, ending == ENDING_PIVOT ? RESULT_COMPLETED : RESULT_KEPT);
}

static int start_and_wait(Client *c, const Target *target, sd_bus_error *error)
{
    _cleanup_(watch_freep) Watch *w = NULL;
    _cleanup_(freep) char *job = NULL;

    int r = watch_new(c, target, &w, error);
    if (r < 0)
        return r;
    r = start(c, target, &job, error);
    if (r < 0)
        return r;

    r = watch_follow(w, job, error);
    if (r >= 0)
        r = see_through(c, w, error);
    return r < 0 ? conclude_leave(c, w, r, error) : r;
}

/* What a commit of several disks does not take. */
#define OF_ONE_DISK (OPTION_TOP | OPTION_BASE | OPTION_BACKING_FILE)

static int check_disks(const Options *o, sd_bus_error *error)
{
    for (size_t i = 0; i < o->n_disks; i++)
        for (size_t k = 0; k < i; k++)
            if (strcmp(o->disks[k], o->disks[i]) == 0)
                return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                         "--disk=%s is given twice; once is enough.", o->disks[i]);
    return 0;
}

static int check_options(const Options *o, const Target *target, sd_bus_error *error)
{
    unsigned wrong = o->given & OF_ONE_DISK;

    if (target->disk && o->n_disks > 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "--disk chooses among the disks of a VM, and %s is a disk. Leave "
                                 "it out.",
                                 target->label);
    if (!target->disk && wrong != 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "%s is for one disk, and %s is a VM. Name the disk as %s/DISK.",
                                 option_bit_to_string(wrong & -wrong), target->label,
                                 target->label);
    return check_disks(o, error);
}

int verb_commit(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};

    int r = model_read(c, &m, error);
    if (r < 0)
        return r;
    r = target_find(m, arguments[0], &target, error);
    if (r < 0)
        return r;
    r = check_options(&c->options, &target, error);
    if (r < 0)
        return r;
    if (c->options.given & OPTION_DRY_RUN)
        return target.disk ? dry_run(c, &target, error) : dry_run_vm(c, m, &target, error);
    if (!target.disk)
        return group_commit(c, &target, error);

    bool waits = (c->options.given & OPTION_WAIT) || c->options.ending != ENDING_OPEN;
    return waits ? start_and_wait(c, &target, error) : start_only(c, &target, error);
}
