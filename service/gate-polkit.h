/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate-polkit asks polkit one question, asynchronously. It knows the D-Bus interface of polkit
 * (org.freedesktop.PolicyKit1.Authority) and nothing of ours.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"

typedef struct PolkitCheck PolkitCheck;

typedef enum PolkitAnswer {
    POLKIT_YES,
    POLKIT_NO,
    POLKIT_CHALLENGE, /* a person could authorise, but nobody could be asked */
    POLKIT_ABSENT,    /* no polkit on this bus */
    POLKIT_NO_ANSWER, /* the time is up, or polkit went away */
    POLKIT_FAILED,
} PolkitAnswer;

typedef struct PolkitDetail {
    const char *key, *value;
} PolkitDetail;

typedef struct PolkitQuestion {
    const char *sender; /* unique name of the connection that wants to do it */
    const char *action;
    const PolkitDetail *details;
    size_t n_details;
    bool interactive; /* polkit may ask a person */
    uint64_t timeout_usec;
} PolkitQuestion;

/* Called once, never from inside polkit_check_new(); it may free the check. text is for people and
 * the log: the error of POLKIT_ABSENT, POLKIT_NO_ANSWER and POLKIT_FAILED, else NULL. */
typedef void (*PolkitFunc)(PolkitCheck *c, PolkitAnswer answer, const char *text, void *userdata);

/* -EINVAL: a string is not UTF-8. */
int polkit_check_new(sd_bus *bus, const PolkitQuestion *q, PolkitFunc callback, void *userdata,
                     PolkitCheck **ret);
/* An open check is cancelled, so that no dialogue is left behind. */
PolkitCheck *polkit_check_free(PolkitCheck *c);
DEFINE_CLEANUP(PolkitCheck, polkit_check_free)
