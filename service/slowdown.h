/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * slowdown says how fast a guest may write, step by step, so that a commit which cannot keep up
 * with it becomes ready. Pure: who drives it measures, and sets the limits.
 *
 * A commit copies whole chunks: a guest that writes a sector here and there makes it copy 128 times
 * as much. So a limit of bytes is one of operations as well, a chunk each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How long a limit is tried. */
#define SLOWDOWN_STEP_USEC UINT64_C(2000000)
/* A guest is not slowed down further: one write a second gets through. */
#define SLOWDOWN_FLOOR UINT64_C(65536)
/* The first limit where it is not known how fast the job copies. */
#define SLOWDOWN_START (UINT64_C(4) * 1024 * 1024)
/* What a commit copies at least for a write (the granularity of mirror.c for common images). */
#define SLOWDOWN_CHUNK UINT64_C(65536)
/* A step has helped if what remains has shrunk by this part of it. */
#define SLOWDOWN_PART 8
/* What is copied in this part of a second is a blink. */
#define SLOWDOWN_BLINK 4

/* Bytes per second for the first step: half of what the job copies. */
uint64_t slowdown_first(uint64_t rate);
/* Bytes per second for the next step, from what remained to be copied before and after this one. */
uint64_t slowdown_next(uint64_t limit, uint64_t before, uint64_t after);
/* Whether what remains is copied in a blink, for which a guest may be stopped. rate: of the job,
 * bytes per second. */
bool slowdown_is_close(uint64_t remaining, uint64_t rate);
/* Operations per second that belong to a limit. */
uint64_t slowdown_operations(uint64_t limit);
