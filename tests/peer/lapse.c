/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lapse.h"

#include <time.h>

#include "qmp.h"

/* More than the longest time-out. */
#define LAPSE_SEC ((time_t)(QMP_DRAIN_USEC / QMP_USEC_PER_SEC + 1))

static time_t behind;

int __real_clock_gettime(clockid_t clock, struct timespec *ret);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int r = __real_clock_gettime(clock, ret);

    if (clock == CLOCK_MONOTONIC)
        /* A machine that has just booted has no earlier time: there the rest is waited for. */
        ret->tv_sec = ret->tv_sec > behind ? ret->tv_sec - behind : 0;
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
