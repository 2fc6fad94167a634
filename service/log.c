/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-journal.h>
#include <sys/uio.h>

#include "cleanup.h"
#include "text.h"

#define LOG_FIELDS_MAX 11

static void add_field(struct iovec *fields, int *n, const char *name, const char *value)
{
    char *field = value ? text_format("%s=%s", name, value) : NULL;

    if (field)
        fields[(*n)++] = (struct iovec){field, strlen(field)};
}

void log_line(int priority, const LogContext *context, const char *format, ...)
{
    _cleanup_(freep) char *text = NULL;
    struct iovec fields[LOG_FIELDS_MAX];
    int n_fields = 0;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);
    if (n < 0)
        return;

    /* systemd sets JOURNAL_STREAM when standard error goes to the journal. */
    if (!getenv("JOURNAL_STREAM")) {
        fprintf(stderr, "%s\n", text);
        return;
    }

    _cleanup_(freep) char *level = text_format("%d", priority);
    add_field(fields, &n_fields, "MESSAGE", text);
    add_field(fields, &n_fields, "PRIORITY", level);
    if (context) {
        add_field(fields, &n_fields, "MESSAGE_ID", context->message_id);
        add_field(fields, &n_fields, "VM", context->vm);
        add_field(fields, &n_fields, "DISK", context->disk);
        add_field(fields, &n_fields, "JOB", context->job);
        add_field(fields, &n_fields, "RESULT", context->result);
        add_field(fields, &n_fields, "ERROR", context->error);
        add_field(fields, &n_fields, "DETAIL", context->detail);
        add_field(fields, &n_fields, "PEER_PID", context->peer_pid);
        add_field(fields, &n_fields, "PEER_UID", context->peer_uid);
    }
    (void)sd_journal_sendv(fields, n_fields);
    for (int i = 0; i < n_fields; i++)
        free(fields[i].iov_base);
}
