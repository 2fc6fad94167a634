/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <string.h>

#include "describe.h"
#include "follow.h"
#include "memory.h"
#include "names.h"
#include "output.h"

struct Watch {
    Follow follow;
    Job job;
    char *trouble; /* I/O error that has been told, NULL for none */
    Outcome outcome;
    bool ready; /* JobReady was seen, or the state was "ready" when it was read back */
    bool two_phases;
};

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static void finish(Watch *w, const char *result, const char *error, const char *message)
{
    if (w->outcome.result)
        return;
    w->outcome.result = need(strdup(result));
    w->outcome.error = need(strdup(error));
    w->outcome.message = need(strdup(message));
}

static void lose(void *userdata, const char *why)
{
    Watch *w = userdata;

    finish(w, "lost", ERROR_DISCONNECTED, why);
}

static void set_ready(Watch *w)
{
    w->ready = true;
    w->two_phases = true;
}

/* Each source of news tells it; the first one that comes is good. */
static void set_type(Watch *w, const char *type)
{
    if (!w->job.type && type)
        w->job.type = need(strdup(type));
}

static void on_ready(Watch *w, sd_bus_message *m)
{
    const char *job, *type;

    int r = sd_bus_message_read(m, "ss", &job, &type);
    if (r < 0 || !same(job, w->job.id))
        return;
    set_type(w, type);
    set_ready(w);
}

static void on_finished(Watch *w, sd_bus_message *m)
{
    const char *job, *type, *result, *error, *message;

    int r = sd_bus_message_read(m, "sssss", &job, &type, &result, &error, &message);
    if (r < 0 || !same(job, w->job.id))
        return;
    set_type(w, type);
    finish(w, result, error, message);
}

/* An I/O error has paused the job: somebody has to do something. Said once for each. */
static void tell_trouble(Watch *w)
{
    const Target *target = w->follow.target;
    const char *trouble = w->job.error && *w->job.error ? w->job.error : NULL;

    if (same(trouble, w->trouble) || (!trouble && !w->trouble))
        return;
    free(w->trouble);
    w->trouble = trouble ? need(strdup(trouble)) : NULL;
    if (!trouble || w->follow.client->options.quiet)
        return;

    _cleanup_(freep) char *shown = text_for_people(trouble, look_of(stderr));
    _cleanup_(freep) char *resume =
        client_command(w->follow.client, "resume", target->name, target->disk->path);
    progress_hide(w->follow.progress);
    fprintf(stderr, "%s: the job is paused by an I/O error: %s. Remove the cause, then \"%s\".\n",
            target->label, shown, resume);
}

static void on_properties(Watch *w, sd_bus_message *m)
{
    const char *interface;

    int r = sd_bus_message_read(m, "s", &interface);
    if (r < 0 || strcmp(interface, INTERFACE_JOB) != 0)
        return;

    /* JobReady comes once: it may have come before we looked, and the job been paused since. */
    r = record_read(m, job_fields, /* other= */ NULL, &w->job);
    if (r >= 0 && same(w->job.state, "ready"))
        set_ready(w);
    tell_trouble(w);
}

static void on_signal(void *userdata, sd_bus_message *m)
{
    Watch *w = userdata;

    if (sd_bus_message_is_signal(m, INTERFACE_DISK, "JobReady"))
        on_ready(w, m);
    else if (sd_bus_message_is_signal(m, INTERFACE_DISK, "JobFinished"))
        on_finished(w, m);
    else if (sd_bus_message_is_signal(m, INTERFACE_PROPERTIES, "PropertiesChanged"))
        on_properties(w, m);
}

Watch *watch_free(Watch *w)
{
    if (!w)
        return NULL;
    follow_done(&w->follow);
    record_done(job_fields, &w->job);
    free(w->trouble);
    free((char *)w->outcome.result);
    free((char *)w->outcome.error);
    free((char *)w->outcome.message);
    free(w);
    return NULL;
}

static void take_job(Watch *w, Disk *d)
{
    Job seen = d->job;

    d->job = w->job; /* for the model to free */
    w->job = seen;
    follow_handle_presence(&w->follow);

    if (same(seen.state, "ready"))
        set_ready(w);
    if (same(seen.top, d->node))
        w->two_phases = true;
    tell_trouble(w);
}

static int handle_presence(Watch *w, Disk *d)
{
    const LastJob *last = &d->last_job;

    if (same(d->job.id, w->job.id)) {
        take_job(w, d);
        return 0;
    }
    if (same(last->id, w->job.id)) {
        set_type(w, last->type);
        finish(w, last->result ? last->result : "lost", last->error ? last->error : "",
               last->message ? last->message : "");
        return 0;
    }
    return follow_handle_absence(&w->follow,
                                 "It has ended unseen, and its result is not on record.");
}

static int look(void *userdata, const Model *m)
{
    Watch *w = userdata;

    /* What was published is not worth more than a JobFinished that came meanwhile. */
    if (w->outcome.result)
        return 0;

    Disk *d = m ? model_disk_at(m, w->follow.target->disk->path) : NULL;
    return d ? handle_presence(w, d)
             : follow_handle_absence(&w->follow, "The VM or the disk went away.");
}

static void show(void *userdata)
{
    const Watch *w = userdata;

    progress_show(w->follow.progress, &w->job);
}

static const FollowHandler handler = {
    .signal = on_signal,
    .look = look,
    .lose = lose,
    .show = show,
};

int watch_new(Client *c, const Target *target, Watch **ret, sd_bus_error *error)
{
    _cleanup_(watch_freep) Watch *w = need(calloc(1, sizeof(*w)));

    w->two_phases = c->options.given & OPTION_ACTIVE;
    int r = follow_init(&w->follow, c, target, "the job", &handler, w, error);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

int watch_follow(Watch *w, const char *job, sd_bus_error *error)
{
    w->job.id = need(strdup(job));
    return follow_begin(&w->follow, error);
}

int watch_wait(Watch *w, WatchGoal goal, sd_bus_error *error)
{
    int r = 0;

    while (r >= 0 && !w->outcome.result && !(goal == WATCH_READY && w->ready && !w->follow.stale))
        r = follow_step(&w->follow, error);
    if (r >= 0 && w->outcome.result == NULL)
        show(w);
    progress_hide(w->follow.progress);
    return r < 0 ? r : 0;
}

int watch_recheck(Watch *w, sd_bus_error *error)
{
    int r = 0;

    w->follow.stale = true;
    w->ready = false;
    while (r >= 0 && !w->outcome.result && (w->follow.stale || w->follow.patience))
        r = follow_step(&w->follow, error);
    return r < 0 ? r : 0;
}

const Target *watch_target(const Watch *w)
{
    return w->follow.target;
}

const Job *watch_job(const Watch *w)
{
    return &w->job;
}

const Outcome *watch_outcome(const Watch *w)
{
    return &w->outcome;
}

bool watch_is_ready(const Watch *w)
{
    return w->ready;
}

bool watch_is_ending(const Watch *w)
{
    return same(w->job.state, "pivoting") || same(w->job.state, "aborting");
}

bool watch_has_two_phases(const Watch *w)
{
    return w->two_phases;
}

bool watch_ends_by_itself(const Watch *w)
{
    return describe_on_ready(w->job.on_ready) != NULL;
}
