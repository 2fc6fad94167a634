/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One line to the journal with its fields, or to standard error where there is no journal.
 */
#pragma once

#include <syslog.h>

typedef struct LogContext {
    const char *message_id; /* a macro of message-ids.h; NULL for none */
    const char *vm;         /* the others may be NULL too */
    const char *disk;
    const char *job;
    const char *result;
    const char *error; /* name of a D-Bus error */
    const char *detail;
    const char *peer_pid;
    const char *peer_uid;
} LogContext;

void log_line(int priority, const LogContext *context, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
