/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * monitor prints each job that becomes ready or finishes, until it is interrupted. It starts no
 * service and asks it nothing: names are read from the object paths.
 */
#include "verbs.h"

#include <errno.h>
#include <string.h>

#include "exit-code.h"
#include "memory.h"
#include "names.h"
#include "output.h"
#include "owner.h"

typedef struct Monitor {
    const Client *client;
    Owner *owner;
    bool present; /* the service, as was told last */
    sd_bus_slot *signals;
} Monitor;

typedef struct Event {
    const char *word; /* "ready" or "finished" */
    char *vm, *disk;
    const char *job, *type;
    const char *result, *error, *message; /* NULL for "ready" */
} Event;

static void event_done(Event *e)
{
    free(e->vm);
    free(e->disk);
}

static void monitor_done(Monitor *m)
{
    sd_bus_slot_unref(m->signals);
    owner_free(m->owner);
}

static void print_json(const Event *e, JsonMode mode)
{
    json_object *object = need(json_object_new_object());

    json_put(object, "event", json_text(e->word, /* empty_is_null= */ false));
    json_put(object, "vm", json_text(e->vm, /* empty_is_null= */ false));
    json_put(object, "disk", json_text(e->disk, /* empty_is_null= */ false));
    json_put(object, "job", json_text(e->job, /* empty_is_null= */ false));
    json_put(object, "type", json_text(e->type, /* empty_is_null= */ false));
    json_put(object, "result", json_text(e->result, /* empty_is_null= */ true));
    json_put(object, "error", json_text(e->error, /* empty_is_null= */ true));
    json_put(object, "message", json_text(e->message, /* empty_is_null= */ true));
    json_print(object, mode);
}

static void print_line(const Event *e)
{
    _cleanup_(freep) char *line =
        need_format("%s/%s: %s %s%s%s%s%s (%s)", e->vm, e->disk, e->type, e->word,
                    e->result ? ": " : "", e->result ? e->result : "",
                    e->message && *e->message ? ": " : "", e->message ? e->message : "", e->job);
    _cleanup_(freep) char *shown = text_for_people(line, look_of(stdout));

    puts(shown);
}

static int read_event(sd_bus_message *m, Event *ret)
{
    if (sd_bus_message_is_signal(m, INTERFACE_DISK, "JobReady")) {
        ret->word = "ready";
        return sd_bus_message_read(m, "ss", &ret->job, &ret->type);
    }
    if (sd_bus_message_is_signal(m, INTERFACE_DISK, "JobFinished")) {
        ret->word = "finished";
        return sd_bus_message_read(m, "sssss", &ret->job, &ret->type, &ret->result, &ret->error,
                                   &ret->message);
    }
    return 0;
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    const Monitor *monitor = userdata;
    _cleanup_(event_done) Event e = {};
    JsonMode mode = monitor->client->options.json;

    if (!owner_sent(monitor->owner, m))
        return 0;
    int r = sd_bus_path_decode_many(sd_bus_message_get_path(m), PATH_VMS "/%/%", &e.vm, &e.disk);
    if (r <= 0)
        return 0;
    r = read_event(m, &e);
    if (r <= 0)
        return 0;

    if (mode != JSON_OFF)
        print_json(&e, mode);
    else
        print_line(&e);
    /* Whoever reads a pipe wants the news now. */
    fflush(stdout);
    return 0;
}

static void print_absence(const Monitor *m, const char *what)
{
    _cleanup_(freep) char *bus = client_bus(m->client);
    _cleanup_(freep) char *start = client_start_command(m->client);

    if (!m->client->options.quiet)
        fprintf(
            stderr,
            "The service %s %s %s. It is waited for: it comes when a VM dials in, or by \"%s\".\n",
            SERVICE, what, bus, start);
}

static void on_owner(void *userdata)
{
    Monitor *m = userdata;
    bool present = owner_is_present(m->owner);

    if (!present && m->present)
        print_absence(m, "has left");
    else if (present && !m->client->options.quiet)
        fprintf(stderr, "The service %s is there%s.\n", SERVICE, m->present ? " anew" : "");
    m->present = present;
}

int verb_monitor(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(monitor_done) Monitor m = {.client = c};

    int r = owner_new(c, on_owner, &m, &m.owner, error);
    if (r < 0)
        return r;
    r = sd_bus_add_match(c->bus, &m.signals,
                         "type='signal',sender='" SERVICE "',path_namespace='" PATH_VMS
                         "',interface='" INTERFACE_DISK "'",
                         on_signal, &m);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot follow the jobs: %s.",
                                       strerrordesc_np(-r));
    /* From here on nothing is missed. */
    if (!c->options.quiet)
        fputs("Jobs are shown as they become ready and finish. Ctrl-C ends this.\n", stderr);
    m.present = owner_is_present(m.owner);
    if (!m.present)
        print_absence(&m, "is not on");
    do
        r = client_turn(c, error);
    while (r >= 0);

    /* The way to end it. */
    if (r != -EINTR)
        return r;
    sd_bus_error_free(error);
    return EXIT_DONE;
}
