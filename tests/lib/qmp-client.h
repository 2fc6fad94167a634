/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A synchronous QMP client: the test's own hand on a QEMU, beside the daemon's monitor.
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>

typedef struct QmpClient QmpClient;

/* Takes fd, a connected socket. Waits for the greeting and negotiates. */
QmpClient *qmp_client_new(int fd);
void qmp_client_free(QmpClient *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpClient, qmp_client_free)

/* Runs a command that has to succeed. arguments: the JSON object as printf format, NULL for none;
 * single quotes stand for double ones. The value belongs to the caller. */
json_object *qmp_client_command(QmpClient *c, const char *command, const char *arguments, ...)
    G_GNUC_PRINTF(3, 4);
/* The same without a value. */
void qmp_client_do(QmpClient *c, const char *command, const char *arguments, ...)
    G_GNUC_PRINTF(3, 4);
/* Runs a command that has to be refused; QEMU's text. */
char *qmp_client_refused(QmpClient *c, const char *command, const char *arguments, ...)
    G_GNUC_PRINTF(3, 4);

/* Waits for the next event of that name, in the order of arrival; earlier other ones are dropped.
 * Its data belongs to the caller. */
json_object *qmp_client_wait_event(QmpClient *c, const char *name);
/* Whether such an event has come since the last wait. */
bool qmp_client_has_event(QmpClient *c, const char *name);

/* Text member of an object; aborts when it is missing. */
const char *qmp_text(json_object *o, const char *key);
json_object *qmp_member(json_object *o, const char *key);
