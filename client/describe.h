/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * describe puts states and results of jobs into words, the same ones wherever they are shown.
 */
#pragma once

#include "model.h"
#include "output.h"

/* How a job state is shown; NULL is no state. */
Tint describe_tint(const char *job_state);
/* "commit running 43%", "commit ready". The caller frees. */
char *describe_job(const Job *job, Look look);
/* Rounded down, at most 100; 0 while the length is not known. */
unsigned describe_percent(uint64_t offset, uint64_t length);
/* What a job does that is ready, from Job.OnReady: "pivots"; NULL where that is not chosen. */
const char *describe_on_ready(const char *on_ready);
/* What a good result means for the disk, as a sentence; two_phases: the active layer was committed.
 * NULL for a result that explains itself by its message. */
const char *describe_result(const char *result, bool two_phases);
