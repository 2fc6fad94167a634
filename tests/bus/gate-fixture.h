/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small service behind the gate, its callers, and a polkit, on a private bus and one event loop.
 *
 * It has the VM "web1" with the disk "vda", which has a job, and the VM "other" with the disk "vda"
 * without a job. Its handlers do nothing but write down that they were reached.
 *
 * Here the tests are root, and the daemon and its callers play other users.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "test-bus.h"
#include "gate.h"
#include "polkit.h"

/* dbus-daemon admits users with an entry in passwd only; these have one everywhere. */
#define UID_DAEMON 1
#define UID_OWNER 2 /* of the process of web1 */
#define UID_USER 3
#define UID_SOMEBODY 4 /* of the process of other */
#define UID_LAST 65534

#define PATH_ROOT "/org/vmdisk1"
#define PATH_WEB1 "/org/vmdisk1/vm/web1"
#define PATH_WEB1_VDA "/org/vmdisk1/vm/web1/vda"
#define PATH_OTHER "/org/vmdisk1/vm/other"
#define PATH_OTHER_VDA "/org/vmdisk1/vm/other/vda"

typedef struct Fixture {
    TestBus *bus;
    sd_event *event;
    sd_bus *service;
    Gate *gate;
    MockPolkit *polkit;
    GPtrArray *connections; /* sd_bus, of callers */
    GPtrArray *calls;       /* Call */
    GPtrArray *reached;     /* "Commit", "Get JobState": what handlers saw, in their order */
    uid_t owner;            /* of web1's process */
    bool web1_is_gone, vda_is_gone, job_is_gone;
} Fixture;

/* One call of a client and its answer. */
typedef struct Call {
    sd_bus_slot *slot;
    sd_bus_message *reply;
} Call;

typedef struct Method {
    const char *path, *interface, *member;
    const char *action; /* NULL: not in the gate's table */
    const char
        *reached; /* what a handler of the fixture writes down; NULL: sd-bus answers itself */
    /* Of its arguments: "", "b", "t", "s", "ss", "ssv", "sha{sv}", "a{sv}", or "override": options
     * with that one set. */
    const char *types;
} Method;

/* Every method that the gate lets through to somebody, on objects that are there. */
extern const Method fixture_methods[];
extern const size_t fixture_n_methods;

typedef struct FixtureConfig {
    GateMode mode;
    const char *policy; /* more elements for the configuration of the bus */
} FixtureConfig;

extern const FixtureConfig fixture_system, fixture_user;

typedef void (*FixtureFunc)(Fixture *f, gconstpointer config);

/* With a polkit that says yes. */
void fixture_set_up(Fixture *f, gconstpointer data);
void fixture_tear_down(Fixture *f, gconstpointer data);
/* Adds a test that is skipped, and says so, where it cannot play other users. */
void fixture_add_test(const char *path, const FixtureConfig *config, FixtureFunc test);

void fixture_start_polkit(Fixture *f);
void fixture_stop_polkit(Fixture *f);

sd_bus *fixture_client(Fixture *f, uid_t uid);
void fixture_client_leaves(Fixture *f, sd_bus *client);

/* A message with arguments that fit m->types. The caller unrefs. */
sd_bus_message *fixture_message(sd_bus *client, const Method *m);
/* Sends and does not wait. */
Call *fixture_send(Fixture *f, sd_bus *client, sd_bus_message *message);
Call *fixture_call(Fixture *f, sd_bus *client, const Method *m);
/* Runs the loop until the call is answered. NULL for success, else the error. */
const sd_bus_error *fixture_wait(Fixture *f, Call *call);
/* fixture_call() and fixture_wait(). */
const sd_bus_error *fixture_ask(Fixture *f, sd_bus *client, const Method *m);

/* Runs the loop until polkit has been asked n times in all. */
void fixture_wait_for_checks(Fixture *f, guint n);
/* Runs the loop until polkit has heard that a check is cancelled. */
void fixture_wait_for_cancellation(Fixture *f, guint index);
/* Waits until the bus has passed on to the service what callers have sent; the loop does not run
 * meanwhile. The bus keeps the order of one connection, so that its own answer to each tells. */
void fixture_wait_for_bus(Fixture *f);
/* Runs the loop until the gate has seen all that its callers have sent up to now. */
void fixture_settle(Fixture *f);

/* The handlers reached since the last time, as "Commit, Pivot"; to be freed. */
char *fixture_take_reached(Fixture *f);
/* Aborts the test unless the handlers reached since the last time are these. */
void fixture_assert_reached(Fixture *f, const char *expected);
void fixture_assert_error(const sd_bus_error *error, const char *name);
