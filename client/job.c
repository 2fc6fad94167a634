/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * job: the verbs on a job that exists: ending it, waiting for it, holding it, limiting it.
 */
#include "verbs.h"

#include <errno.h>
#include <string.h>

#include "conclude.h"
#include "exit-code.h"
#include "group.h"
#include "memory.h"
#include "model.h"
#include "names.h"
#include "output.h"
#include "parse.h"
#include "watch.h"

static int refuse_without_job(const Target *target, sd_bus_error *error)
{
    return sd_bus_error_setf(
        error, ERROR_NO_JOB,
        "No job runs on %s. \"vmdiskctl status\" shows how the last one ended, "
        "\"vmdiskctl commit\" starts one.",
        target->label);
}

/* A VM, or a disk. */
static int find(Client *c, const char *word, Model **ret_model, Target *ret, sd_bus_error *error)
{
    int r = model_read(c, ret_model, error);

    return r < 0 ? r : target_find(*ret_model, word, ret, error);
}

static int find_disk(Client *c, const char *word, Model **ret_model, Target *ret,
                     sd_bus_error *error)
{
    int r = model_read(c, ret_model, error);

    return r < 0 ? r : target_find_disk(*ret_model, word, ret, error);
}

static int find_job(Client *c, const char *word, Model **ret_model, Target *ret,
                    sd_bus_error *error)
{
    int r = find_disk(c, word, ret_model, ret, error);
    if (r < 0)
        return r;
    return ret->disk->job.id ? 0 : refuse_without_job(ret, error);
}

/* The service has accepted; `text` says it in words. */
static int report_accepted(const Client *c, const Target *target, const char *text)
{
    const Job *job = &target->disk->job;

    if (conclude_talks(c))
        printf("%s: %s\n", target->label, text);
    if (c->options.json != JSON_OFF)
        conclude_print_json(c, target, job->id, job->type, &(Outcome){.result = "accepted"});
    return EXIT_DONE;
}

static int end_and_wait(Client *c, const Target *target, const char *method, unsigned expected,
                        sd_bus_error *error)
{
    _cleanup_(watch_freep) Watch *w = NULL;

    int r = watch_new(c, target, &w, error);
    if (r < 0)
        return r;
    r = watch_follow(w, target->disk->job.id, error);
    if (r >= 0)
        r = conclude(c, w, method, error);
    if (r == -EINTR || r == -ETIMEDOUT)
        return conclude_leave(c, w, r, error);
    return r < 0 ? r : conclude_report(c, w, expected);
}

static int end_job(Client *c, const Target *target, const char *method, unsigned expected,
                   sd_bus_error *error)
{
    if (!target->disk->job.id)
        return refuse_without_job(target, error);
    if (c->options.given & OPTION_WAIT)
        return end_and_wait(c, target, method, expected, error);

    int r = client_call(c, target->disk->path, INTERFACE_DISK, method, /* ret_reply= */ NULL, error,
                        /* types= */ NULL);
    if (r < 0)
        return r;
    _cleanup_(freep) char *wait = client_command(c, "wait", target->name, target->disk->path);
    _cleanup_(freep) char *text = need_format("the job ends. \"%s\" tells how.", wait);
    return report_accepted(c, target, text);
}

static int end(Client *c, const char *word, const char *method, unsigned expected,
               sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};

    int r = find(c, word, &m, &target, error);
    if (r < 0)
        return r;
    return target.disk ? end_job(c, &target, method, expected, error)
                       : group_end(c, &target, method, expected, error);
}

int verb_pivot(Client *c, char **arguments, sd_bus_error *error)
{
    return end(c, arguments[0], "Pivot", RESULT_COMPLETED, error);
}

int verb_abort(Client *c, char **arguments, sd_bus_error *error)
{
    return end(c, arguments[0], "Abort", RESULT_KEPT | RESULT_CANCELLED, error);
}

int verb_wait(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};
    _cleanup_(watch_freep) Watch *w = NULL;

    int r = find(c, arguments[0], &m, &target, error);
    if (r < 0)
        return r;
    if (!target.disk)
        return group_wait(c, &target, error);
    /* It may have ended between the caller's last look and this one. */
    if (!target.disk->job.id && target.disk->last_job.id)
        return conclude_report_last(c, &target, RESULT_COMPLETED | RESULT_KEPT);
    if (!target.disk->job.id)
        return refuse_without_job(&target, error);

    r = watch_new(c, &target, &w, error);
    if (r < 0)
        return r;
    r = watch_follow(w, target.disk->job.id, error);
    if (r >= 0)
        r = conclude_wait(c, w, error);
    return r < 0 ? conclude_leave(c, w, r, error) : r;
}

/* A method of the interface that is there only while a job is. */
static int call_job(Client *c, const Target *target, const char *method, const char *types,
                    uint64_t argument, sd_bus_error *error)
{
    int r = client_call(c, target->disk->path, INTERFACE_JOB, method, /* ret_reply= */ NULL, error,
                        types, argument);

    if (!sd_bus_error_has_names(error, SD_BUS_ERROR_UNKNOWN_METHOD, SD_BUS_ERROR_UNKNOWN_INTERFACE,
                                SD_BUS_ERROR_UNKNOWN_OBJECT))
        return r;
    sd_bus_error_free(error);
    return refuse_without_job(target, error);
}

static int hold(Client *c, const char *word, const char *method, const char *text,
                sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};

    int r = find_job(c, word, &m, &target, error);
    if (r < 0)
        return r;
    r = call_job(c, &target, method, /* types= */ NULL, /* argument= */ 0, error);
    return r < 0 ? r : report_accepted(c, &target, text);
}

int verb_pause(Client *c, char **arguments, sd_bus_error *error)
{
    return hold(c, arguments[0], "Pause", "the job is paused.", error);
}

int verb_resume(Client *c, char **arguments, sd_bus_error *error)
{
    return hold(c, arguments[0], "Resume", "the job goes on.", error);
}

int verb_speed(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};
    uint64_t speed = 0;

    int r = parse_speed(arguments[1], &speed, error);
    if (r < 0)
        return r;
    r = find_job(c, arguments[0], &m, &target, error);
    if (r < 0)
        return r;
    r = call_job(c, &target, "SetSpeed", "t", speed, error);
    if (r < 0)
        return r;

    _cleanup_(freep) char *size = size_for_people(speed);
    _cleanup_(freep) char *text = speed > 0 ? need_format("the job is limited to %s/s.", size)
                                            : need_format("the job is not limited any more.");
    return report_accepted(c, &target, text);
}
