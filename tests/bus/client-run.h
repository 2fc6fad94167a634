/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run of vmdiskctl: what it prints is read on the test's event loop, so that a service on the
 * same loop can answer it.
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct ClientRun ClientRun;

typedef struct ClientWorld {
    sd_event *event;
    const char *bus_address;
    bool terminal;      /* stdin and stderr are a terminal, 100 columns wide */
    bool all_terminal;  /* with terminal: stdout is that terminal too */
    const char *path;   /* PATH; NULL for our own */
    const char *output; /* a file for stdout, of which the test sees nothing; NULL for none */
} ClientWorld;

/* The arguments end with NULL. */
ClientRun *client_run_new(const ClientWorld *world, const char *const arguments[]);
/* SIGKILL where it still runs. */
void client_run_free(ClientRun *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ClientRun, client_run_free)

void client_run_signal(ClientRun *r, int signal_number);
/* Runs the loop until it has written the text to stderr. */
void client_run_wait_for(ClientRun *r, const char *text);
/* The same, to stdout. */
void client_run_wait_for_output(ClientRun *r, const char *text);
/* Runs the loop until it ends; aborts the test unless it ends with that code. */
void client_run_end(ClientRun *r, int code);

/* What it has written so far, borrowed. */
const char *client_run_output(const ClientRun *r);
const char *client_run_errors(const ClientRun *r);
/* What it has written to stdout, which has to be one JSON value. The caller puts it. */
json_object *client_run_json(const ClientRun *r);

void client_run_assert_says(const ClientRun *r, const char *text);
void client_run_assert_complains(const ClientRun *r, const char *text);
