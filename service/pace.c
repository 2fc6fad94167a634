/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pace.h"

#include <string.h>

static void drop_oldest(Pace *p)
{
    p->n--;
    memmove(&p->samples[0], &p->samples[1], p->n * sizeof(p->samples[0]));
}

void pace_add(Pace *p, uint64_t usec, uint64_t offset)
{
    if (p->n > 0 && offset < p->samples[p->n - 1].offset)
        p->n = 0;
    if (p->n > 0 && usec < p->samples[p->n - 1].usec + PACE_GAP_USEC)
        return;

    if (p->n == PACE_SAMPLES)
        drop_oldest(p);
    while (p->n > 1 && p->samples[0].usec + PACE_WINDOW_USEC < usec)
        drop_oldest(p);
    p->samples[p->n].usec = usec;
    p->samples[p->n++].offset = offset;
}

uint64_t pace_rate(const Pace *p)
{
    if (p->n < 2)
        return 0;

    uint64_t usec = p->samples[p->n - 1].usec - p->samples[0].usec;
    uint64_t bytes = p->samples[p->n - 1].offset - p->samples[0].offset;
    return (uint64_t)((double)bytes * 1e6 / (double)usec);
}
