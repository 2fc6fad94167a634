/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * client is the root object of vmdiskctl: what was asked for on the command line, the connection,
 * and the loop in which every wait of the program takes place.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "agent.h"
#include "options.h"

typedef struct Client {
    Options options;
    sd_event *event;
    sd_bus *bus;
    Agent *agent;     /* NULL until an authorization has to be typed in */
    bool interrupted; /* SIGINT or SIGTERM was seen */
    bool expired;     /* --timeout has passed */
} Client;

/* Blocks SIGINT and SIGTERM for the loop, and connects. The first call finds out whether the bus
 * lets us in. */
int client_connect(Client *c, sd_bus_error *error);
void client_done(Client *c);

/* Starts the time of --timeout, if it was given. */
int client_start_deadline(Client *c);

/* One turn of the loop: waits for an event and handles it. -EINTR, -ETIMEDOUT or -ECONNRESET, with
 * the error set, when there is nothing more to wait for. */
int client_turn(Client *c, sd_bus_error *error);

/* Calls a method of the service and waits for the answer in the loop, so that signals of the bus
 * and of people are seen meanwhile. Asks for a password where the service wants one, somebody is at
 * the terminal and the options allow it. ret_reply may be NULL. */
int client_call(Client *c, const char *path, const char *interface, const char *member,
                sd_bus_message **ret_reply, sd_bus_error *error, const char *types, ...);

/* The same, with arguments that a function appends; it returns a negative errno on failure. */
typedef int (*ClientAppend)(sd_bus_message *m, const void *userdata);
int client_call_with(Client *c, const char *path, const char *interface, const char *member,
                     sd_bus_message **ret_reply, sd_bus_error *error, ClientAppend append,
                     const void *userdata);

/* Whether a call failed because there is no service (any more) that could answer. */
bool client_error_is_absence(const sd_bus_error *error);

/* "the system bus", for people. The caller frees. */
char *client_bus(const Client *c);
/* "systemctl start vmdiskd", for people to copy: starts the service where it is installed. The
 * caller frees. */
char *client_start_command(const Client *c);
/* A command for people to copy: "vmdiskctl --user pivot 'my vm/vda'". The caller frees. */
char *client_command(const Client *c, const char *verb, const char *name, const char *path);
