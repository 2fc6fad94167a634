/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "follow.h"

#include <string.h>
#include <time.h>

#include "memory.h"
#include "names.h"

/* How long a restarted service and the VMs that dial in to it again may take to come back. */
#define RETURN_SECONDS 30

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Follow *f = userdata;

    if (f->begun && owner_sent(f->owner, m))
        f->handler->signal(f->userdata, m);
    return 0;
}

/* Objects have come or gone, or their interfaces have: the published state says what it means. */
static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Follow *f = userdata;

    if (owner_sent(f->owner, m))
        f->stale = true;
    return 0;
}

static void on_owner(void *userdata)
{
    Follow *f = userdata;

    f->stale = true;
    f->restarted = true;
    if (owner_is_present(f->owner) || f->client->options.quiet || !f->begun)
        return;
    progress_hide(f->progress);
    fprintf(stderr, "%s: the service has left the bus. Waiting for it to come back.\n",
            f->target->label);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
    Follow *f = userdata;

    f->given_up = true;
    return 0;
}

/* Replies to AddMatch are awaited: what comes after that is seen. */
static int add_matches(Follow *f)
{
    const char *path = target_path(f->target);
    _cleanup_(freep) char *signals =
        need_format("type='signal',sender='" SERVICE "',path_namespace='%s'", path);
    _cleanup_(freep) char *objects =
        need_format("type='signal',sender='" SERVICE "',path='" PATH_ROOT
                    "',interface='" INTERFACE_OBJECTS "',arg0path='%s'",
                    path);

    int r = sd_bus_add_match(f->client->bus, &f->on_signal, signals, on_signal, f);
    return r < 0 ? r : sd_bus_add_match(f->client->bus, &f->on_objects, objects, on_objects, f);
}

int follow_init(Follow *f, Client *c, const Target *target, const char *what,
                const FollowHandler *handler, void *userdata, sd_bus_error *error)
{
    bool quiet = c->options.quiet || c->options.json != JSON_OFF;

    *f = (Follow){.client = c, .target = target, .handler = handler, .userdata = userdata};
    f->progress = progress_new(target->label, quiet);
    int r = owner_new(c, on_owner, f, &f->owner, error);
    if (r < 0)
        return r;
    r = add_matches(f);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "%s: cannot follow %s: %s.", target->label, what,
                                       strerrordesc_np(-r));
    return 0;
}

void follow_done(Follow *f)
{
    sd_event_source_unref(f->patience);
    sd_bus_slot_unref(f->on_objects);
    sd_bus_slot_unref(f->on_signal);
    owner_free(f->owner);
    progress_free(f->progress);
}

int follow_handle_absence(Follow *f, const char *why)
{
    if (!f->restarted) {
        f->handler->lose(f->userdata, why);
        return 0;
    }
    if (f->patience)
        return 0;
    return sd_event_add_time_relative(f->client->event, &f->patience, CLOCK_MONOTONIC,
                                      UINT64_C(1000000) * RETURN_SECONDS, /* accuracy= */ 0,
                                      on_patience, f);
}

void follow_handle_presence(Follow *f)
{
    f->patience = sd_event_source_unref(f->patience);
    f->restarted = false;
}

/* Whether an error of the service means that something is not there, perhaps not yet. */
static bool is_absence(const sd_bus_error *error)
{
    return client_error_is_absence(error) ||
           sd_bus_error_has_names(error, ERROR_NO_SUCH_VM, ERROR_NO_SUCH_DISK);
}

static int look(Follow *f, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;

    f->stale = false;
    int r = model_read(f->client, &m, error);
    if (r < 0 && !is_absence(error))
        return r;
    if (r < 0 && client_error_is_absence(error))
        f->restarted = true;
    sd_bus_error_free(error);
    return f->handler->look(f->userdata, m);
}

int follow_begin(Follow *f, sd_bus_error *error)
{
    f->begun = true;
    int r = look(f, error);

    return r < 0 ? r : client_start_deadline(f->client);
}

int follow_step(Follow *f, sd_bus_error *error)
{
    if (f->stale)
        return look(f, error);
    if (f->given_up) {
        f->handler->lose(f->userdata, "It is not known any more after the service was restarted.");
        return 0;
    }
    if (!f->patience)
        f->handler->show(f->userdata);
    return client_turn(f->client, error);
}
