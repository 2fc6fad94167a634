/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The shapes of QMP messages: how a command is written, what a greeting and a reply hold. It knows
 * no connection.
 */
#pragma once

#include "json.h"
#include "qmp.h"

/* args is an object or NULL, and borrowed. -ENOMEM. */
int qmp_message_new_command(const char *command, json_object *args, uint64_t id, json_object **ret);
/* From the answer to query-version, QAPI type VersionInfo. The package is borrowed from it. */
int qmp_message_parse_version(json_object *version, QmpGreeting *ret);
/* From the first message of a connection. */
int qmp_message_parse_greeting(json_object *message, QmpGreeting *ret);
/* A malformed reply has the error -EBADMSG. All is borrowed from the message. */
QmpReply qmp_message_parse_reply(json_object *message);
