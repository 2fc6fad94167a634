/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lapse.h"

#include <time.h>

#include "qmp.h"

/* More than the longest time-out. */
#define LAPSE_SEC ((time_t)(2 * QMP_DRAIN_USEC / QMP_USEC_PER_SEC))

static time_t behind;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r = __real_clock_gettime(clock, ret);

    if (clock == CLOCK_MONOTONIC)
        ret->tv_sec -= behind;
    return r;
}

void lapse_begin(void)
{
    behind = LAPSE_SEC;
}

void lapse_end(void)
{
    behind = 0;
}
