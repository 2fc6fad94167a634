/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "slowdown.h"

static uint64_t halve(uint64_t limit)
{
    return limit / 2 > SLOWDOWN_FLOOR ? limit / 2 : SLOWDOWN_FLOOR;
}

uint64_t slowdown_first(uint64_t rate)
{
    return rate > 0 ? halve(rate) : SLOWDOWN_START;
}

uint64_t slowdown_next(uint64_t limit, uint64_t before, uint64_t after)
{
    return after <= before - before / SLOWDOWN_PART && after < before ? limit : halve(limit);
}

bool slowdown_is_close(uint64_t remaining, uint64_t rate)
{
    return remaining <= rate / SLOWDOWN_BLINK;
}

uint64_t slowdown_operations(uint64_t limit)
{
    return limit > SLOWDOWN_CHUNK ? limit / SLOWDOWN_CHUNK : 1;
}
