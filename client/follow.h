/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * follow is what watch and group-watch do alike: it hears the signals of an object, notices that
 * the service, the VM or the disk goes and comes back, and says when the published state is to be
 * looked at. What the signals and the state mean is not its business.
 */
#pragma once

#include "model.h"
#include "owner.h"
#include "progress.h"
#include "target.h"

typedef struct FollowHandler {
    /* A signal of the object, or of one below it, that came after follow_begin(). */
    void (*signal)(void *userdata, sd_bus_message *m);
    /* What is published now; NULL while the service is away, or the object goes. */
    int (*look)(void *userdata, const Model *m);
    /* What is followed is lost. */
    void (*lose)(void *userdata, const char *why);
    void (*show)(void *userdata);
} FollowHandler;

typedef struct Follow {
    Client *client;
    const Target *target;
    const FollowHandler *handler;
    void *userdata;
    Owner *owner;
    Progress *progress;
    sd_bus_slot *on_signal, *on_objects;
    sd_event_source *patience; /* while what is followed is away */
    bool begun;
    bool stale;     /* signals can have been missed, or objects have come or gone */
    bool restarted; /* the service was, so that the object may be away for a while */
    bool given_up;  /* it was away for too long */
} Follow;

/* The matches are in place. what: for people, in case they cannot be. */
int follow_init(Follow *f, Client *c, const Target *target, const char *what,
                const FollowHandler *handler, void *userdata, sd_bus_error *error);
void follow_done(Follow *f);

/* From here on signals count. Looks for the first time, and starts the time of --timeout. */
int follow_begin(Follow *f, sd_bus_error *error);
/* One step towards news: looks at what is stale, else shows and waits for an event. */
int follow_step(Follow *f, sd_bus_error *error);

/* From look: the object is not published. It is lost, or after a restart waited for. */
int follow_handle_absence(Follow *f, const char *why);
/* It is. */
void follow_handle_presence(Follow *f);
