/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "watch.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "describe.h"
#include "memory.h"
#include "names.h"
#include "output.h"
#include "owner.h"
#include "progress.h"

/* How long a restarted service and the VMs that dial in to it again may take to come back. */
#define RETURN_SECONDS 30

struct Watch {
    Client *client;
    const Target *target;
    Owner *owner;
    Progress *progress;
    sd_bus_slot *on_disk, *on_objects;
    sd_event_source *patience; /* while the disk is away */
    Job job;
    char *trouble; /* I/O error that has been told, NULL for none */
    Outcome outcome;
    bool ready; /* JobReady was seen, or the state was "ready" when it was read back */
    bool two_phases;
    bool stale;     /* signals can have been missed, or objects have come or gone */
    bool restarted; /* the service was, so that the job may be away for a while */
    bool given_up;  /* it was away for too long */
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

static void lose(Watch *w, const char *why)
{
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

static int on_ready(Watch *w, sd_bus_message *m)
{
    const char *job, *type;

    int r = sd_bus_message_read(m, "ss", &job, &type);
    if (r < 0 || !same(job, w->job.id))
        return 0;
    set_type(w, type);
    set_ready(w);
    return 0;
}

static int on_finished(Watch *w, sd_bus_message *m)
{
    const char *job, *type, *result, *error, *message;

    int r = sd_bus_message_read(m, "sssss", &job, &type, &result, &error, &message);
    if (r < 0 || !same(job, w->job.id))
        return 0;
    set_type(w, type);
    finish(w, result, error, message);
    return 0;
}

/* An I/O error has paused the job: somebody has to do something. Said once for each. */
static void tell_trouble(Watch *w)
{
    const char *trouble = w->job.error && *w->job.error ? w->job.error : NULL;

    if (same(trouble, w->trouble) || (!trouble && !w->trouble))
        return;
    free(w->trouble);
    w->trouble = trouble ? need(strdup(trouble)) : NULL;
    if (!trouble || w->client->options.quiet)
        return;

    _cleanup_(freep) char *shown = text_for_people(trouble, look_of(stderr));
    _cleanup_(freep) char *resume =
        client_command(w->client, "resume", w->target->name, w->target->disk->path);
    progress_hide(w->progress);
    fprintf(stderr, "%s: the job is paused by an I/O error: %s. Remove the cause, then \"%s\".\n",
            w->target->label, shown, resume);
}

static int on_properties(Watch *w, sd_bus_message *m)
{
    const char *interface;

    int r = sd_bus_message_read(m, "s", &interface);
    if (r < 0 || strcmp(interface, INTERFACE_JOB) != 0 || !w->job.id)
        return 0;

    /* JobReady comes once: it may have come before we looked, and the job been paused since. */
    r = record_read(m, job_fields, /* other= */ NULL, &w->job);
    if (r >= 0 && same(w->job.state, "ready"))
        set_ready(w);
    tell_trouble(w);
    return 0;
}

static int on_disk(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Watch *w = userdata;

    if (!owner_sent(w->owner, m))
        return 0;
    if (sd_bus_message_is_signal(m, INTERFACE_DISK, "JobReady"))
        return on_ready(w, m);
    if (sd_bus_message_is_signal(m, INTERFACE_DISK, "JobFinished"))
        return on_finished(w, m);
    if (sd_bus_message_is_signal(m, INTERFACE_PROPERTIES, "PropertiesChanged"))
        return on_properties(w, m);
    return 0;
}

/* The disk has come or gone, or its job has: the published state says what it means. */
static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Watch *w = userdata;

    if (owner_sent(w->owner, m))
        w->stale = true;
    return 0;
}

static void on_owner(void *userdata)
{
    Watch *w = userdata;

    w->stale = true;
    w->restarted = true;
    if (owner_is_present(w->owner) || w->client->options.quiet || !w->job.id)
        return;
    progress_hide(w->progress);
    fprintf(stderr, "%s: the service has left the bus. Waiting for it to come back.\n",
            w->target->label);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
    Watch *w = userdata;

    w->given_up = true;
    return 0;
}

/* Replies to AddMatch are awaited: what comes after that is seen. */
static int add_matches(Watch *w)
{
    const char *path = w->target->disk->path;
    _cleanup_(freep) char *disk = need_format("type='signal',sender='" SERVICE "',path='%s'", path);
    _cleanup_(freep) char *objects =
        need_format("type='signal',sender='" SERVICE "',path='" PATH_ROOT
                    "',interface='" INTERFACE_OBJECTS "',arg0path='%s'",
                    path);

    int r = sd_bus_add_match(w->client->bus, &w->on_disk, disk, on_disk, w);
    if (r < 0)
        return r;
    return sd_bus_add_match(w->client->bus, &w->on_objects, objects, on_objects, w);
}

int watch_new(Client *c, const Target *target, Watch **ret, sd_bus_error *error)
{
    _cleanup_(watch_freep) Watch *w = need(calloc(1, sizeof(*w)));
    bool quiet = c->options.quiet || c->options.json != JSON_OFF;

    w->client = c;
    w->target = target;
    w->two_phases = c->options.given & OPTION_ACTIVE;
    w->progress = progress_new(target->label, quiet);

    int r = owner_new(c, on_owner, w, &w->owner, error);
    if (r < 0)
        return r;
    r = add_matches(w);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "%s: cannot follow the job: %s.", target->label,
                                       strerrordesc_np(-r));
    *ret = TAKE_PTR(w);
    return 0;
}

Watch *watch_free(Watch *w)
{
    if (!w)
        return NULL;
    sd_event_source_unref(w->patience);
    sd_bus_slot_unref(w->on_objects);
    sd_bus_slot_unref(w->on_disk);
    owner_free(w->owner);
    progress_free(w->progress);
    record_done(job_fields, &w->job);
    free(w->trouble);
    free((char *)w->outcome.result);
    free((char *)w->outcome.error);
    free((char *)w->outcome.message);
    free(w);
    return NULL;
}

/* The disk or its job is not published. After a restart of the service it may be again. */
static int handle_absence(Watch *w, const char *why)
{
    if (!w->restarted) {
        lose(w, why);
        return 0;
    }
    if (w->patience)
        return 0;
    return sd_event_add_time_relative(w->client->event, &w->patience, CLOCK_MONOTONIC,
                                      UINT64_C(1000000) * RETURN_SECONDS, /* accuracy= */ 0,
                                      on_patience, w);
}

static void take_job(Watch *w, Disk *d)
{
    Job seen = d->job;

    d->job = w->job; /* for the model to free */
    w->job = seen;
    w->patience = sd_event_source_unref(w->patience);
    w->restarted = false;

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
    return handle_absence(w, "It has ended unseen, and its result is not on record.");
}

/* Whether an error of the service means that the disk is not there, perhaps not yet. */
static bool is_absence(const sd_bus_error *error)
{
    return client_error_is_absence(error) ||
           sd_bus_error_has_names(error, ERROR_NO_SUCH_VM, ERROR_NO_SUCH_DISK);
}

static int synchronise(Watch *w, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;

    w->stale = false;
    int r = model_read(w->client, &m, error);
    if (r < 0 && !is_absence(error))
        return r;
    if (r < 0 && client_error_is_absence(error))
        w->restarted = true;
    sd_bus_error_free(error);

    /* What was published is not worth more than a JobFinished that came meanwhile. */
    if (w->outcome.result)
        return 0;

    Disk *d = m ? model_disk_at(m, w->target->disk->path) : NULL;
    return d ? handle_presence(w, d) : handle_absence(w, "The VM or the disk went away.");
}

/* One step towards news: reads back what is stale, else waits for an event. */
static int step(Watch *w, sd_bus_error *error)
{
    if (w->stale)
        return synchronise(w, error);
    if (w->given_up) {
        lose(w, "It is not known any more after the service was restarted.");
        return 0;
    }
    if (!w->patience)
        progress_show(w->progress, &w->job);
    return client_turn(w->client, error);
}

int watch_follow(Watch *w, const char *job, sd_bus_error *error)
{
    w->job.id = need(strdup(job));
    int r = synchronise(w, error);
    if (r < 0)
        return r;
    return client_start_deadline(w->client);
}

int watch_wait(Watch *w, WatchGoal goal, sd_bus_error *error)
{
    int r = 0;

    while (r >= 0 && !w->outcome.result && !(goal == WATCH_READY && w->ready && !w->stale))
        r = step(w, error);
    if (r >= 0 && w->outcome.result == NULL)
        progress_show(w->progress, &w->job);
    progress_hide(w->progress);
    return r < 0 ? r : 0;
}

int watch_recheck(Watch *w, sd_bus_error *error)
{
    int r = 0;

    w->stale = true;
    w->ready = false;
    while (r >= 0 && !w->outcome.result && (w->stale || w->patience))
        r = step(w, error);
    return r < 0 ? r : 0;
}

const Target *watch_target(const Watch *w)
{
    return w->target;
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
