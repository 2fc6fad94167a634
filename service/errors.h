/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * errors answers a method call with a refusal. The one place where refusals become D-Bus errors.
 */
#pragma once

#include <systemd/sd-bus.h>

#include "refusal.h"

/* Sends the error reply (nothing where the caller wants no reply). 1, as sd-bus handlers return, or
 * a negative errno. */
int errors_reply(sd_bus_message *call, const Refusal *r);
int errors_replyf(sd_bus_message *call, RefusalKind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
