/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A refusal: why an operation was not done, in the words of the interface, with a text for people
 * that names VM and disk and says what to do next. The bus ring turns it into a D-Bus error; it
 * knows no bus itself.
 */
#pragma once

#include "cleanup.h"

typedef enum RefusalKind {
    REFUSAL_NONE,
    REFUSAL_ACTIVE_LAYER,
    REFUSAL_NOT_ACTIVE_LAYER,
    REFUSAL_NO_SUCH_VM,
    REFUSAL_NO_SUCH_DISK,
    REFUSAL_NO_SUCH_IMAGE,
    REFUSAL_NO_JOB,
    REFUSAL_JOB_EXISTS,
    REFUSAL_NOT_READY,
    REFUSAL_NOTHING_TO_COMMIT,
    REFUSAL_READ_ONLY,
    REFUSAL_IMAGE_IN_USE,
    REFUSAL_STALE_IMAGE,
    REFUSAL_MONITOR_BUSY,
    REFUSAL_DISCONNECTED,
    REFUSAL_TIMED_OUT,
    REFUSAL_NOT_SUPPORTED,
    REFUSAL_LIMIT_EXCEEDED,
    REFUSAL_QMP,
    REFUSAL_INVALID_ARGS,
    REFUSAL_ACCESS_DENIED,
    REFUSAL_INTERACTIVE_AUTHORIZATION_REQUIRED,
    REFUSAL_UNKNOWN_METHOD,
    REFUSAL_NO_MEMORY,
    REFUSAL_KIND_MAX_,
} RefusalKind;

typedef struct Refusal {
    RefusalKind kind;
    char *text; /* may be NULL only with REFUSAL_NONE and REFUSAL_NO_MEMORY */
} Refusal;

/* D-Bus error name: "org.vmdisk1.Error.ActiveLayer" or a standard one; "" for REFUSAL_NONE. */
const char *refusal_kind_to_string(RefusalKind kind);
/* REFUSAL_NONE for an unknown name. */
RefusalKind refusal_kind_from_string(const char *name);

/* Replaces what r holds. Falls to REFUSAL_NO_MEMORY when the text cannot be made. */
void refusal_set(Refusal *r, RefusalKind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void refusal_done(Refusal *r);
