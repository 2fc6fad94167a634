/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pace is how fast a job copies, smoothed over the last seconds.
 */
#pragma once

#include <stdint.h>

#define PACE_WINDOW_USEC UINT64_C(4000000)
/* Looks at the job that come closer to each other say nothing new. */
#define PACE_GAP_USEC UINT64_C(250000)
#define PACE_SAMPLES 16

typedef struct Pace {
    struct {
        uint64_t usec, offset;
    } samples[PACE_SAMPLES]; /* oldest first */
    unsigned n;
} Pace;

/* The job has done offset bytes. An offset that goes back begins anew. */
void pace_add(Pace *p, uint64_t usec, uint64_t offset);
/* Bytes per second; 0 while that is not known. */
uint64_t pace_rate(const Pace *p);
