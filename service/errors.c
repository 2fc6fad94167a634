/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "errors.h"

#include <stdarg.h>
#include <stdio.h>

int errors_reply(sd_bus_message *call, const Refusal *r)
{
    int k = sd_bus_reply_method_errorf(call, refusal_kind_to_string(r->kind), "%s",
                                       r->text ? r->text : "Out of memory; try again.");
    return k < 0 ? k : 1;
}

int errors_replyf(sd_bus_message *call, RefusalKind kind, const char *format, ...)
{
    _cleanup_(freep) char *text = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);

    if (n < 0)
        text = NULL;
    return errors_reply(call, &(Refusal){n < 0 ? REFUSAL_NO_MEMORY : kind, text});
}
