/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "refusal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME(x) "org.vmdisk1.Error." x
#define STANDARD(x) "org.freedesktop.DBus.Error." x

static const char *const names[] = {
    [REFUSAL_NONE] = "",
    [REFUSAL_ACTIVE_LAYER] = NAME("ActiveLayer"),
    [REFUSAL_NOT_ACTIVE_LAYER] = NAME("NotActiveLayer"),
    [REFUSAL_NO_SUCH_VM] = NAME("NoSuchVM"),
    [REFUSAL_NO_SUCH_DISK] = NAME("NoSuchDisk"),
    [REFUSAL_NO_SUCH_IMAGE] = NAME("NoSuchImage"),
    [REFUSAL_NO_JOB] = NAME("NoJob"),
    [REFUSAL_JOB_EXISTS] = NAME("JobExists"),
    [REFUSAL_NOT_READY] = NAME("NotReady"),
    [REFUSAL_NOTHING_TO_COMMIT] = NAME("NothingToCommit"),
    [REFUSAL_READ_ONLY] = NAME("ReadOnly"),
    [REFUSAL_IMAGE_IN_USE] = NAME("ImageInUse"),
    [REFUSAL_STALE_IMAGE] = NAME("StaleImage"),
    [REFUSAL_MONITOR_BUSY] = NAME("MonitorBusy"),
    [REFUSAL_DISCONNECTED] = NAME("Disconnected"),
    [REFUSAL_TIMED_OUT] = NAME("TimedOut"),
    [REFUSAL_NOT_SUPPORTED] = NAME("NotSupported"),
    [REFUSAL_LIMIT_EXCEEDED] = NAME("LimitExceeded"),
    [REFUSAL_QMP] = NAME("QMP"),
    [REFUSAL_INVALID_ARGS] = STANDARD("InvalidArgs"),
    [REFUSAL_ACCESS_DENIED] = STANDARD("AccessDenied"),
    [REFUSAL_INTERACTIVE_AUTHORIZATION_REQUIRED] = STANDARD("InteractiveAuthorizationRequired"),
    [REFUSAL_UNKNOWN_METHOD] = STANDARD("UnknownMethod"),
    [REFUSAL_NO_MEMORY] = STANDARD("NoMemory"),
};
static_assert(ELEMENTSOF(names) == REFUSAL_KIND_MAX_, "each refusal has a name");

const char *refusal_kind_to_string(RefusalKind kind)
{
    assert(kind < REFUSAL_KIND_MAX_);
    return names[kind];
}

RefusalKind refusal_kind_from_string(const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(names); i++)
        if (strcmp(names[i], name) == 0)
            return (RefusalKind)i;
    return REFUSAL_NONE;
}

void refusal_set(Refusal *r, RefusalKind kind, const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);

    refusal_done(r);
    if (n < 0) {
        r->kind = REFUSAL_NO_MEMORY;
        return;
    }
    r->kind = kind;
    r->text = text;
}

void refusal_done(Refusal *r)
{
    free(r->text);
    *r = (Refusal){REFUSAL_NONE, NULL};
}
