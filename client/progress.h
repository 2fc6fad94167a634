/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * progress shows how far a job is, on stderr: a bar that is drawn over and over on a terminal, a
 * line now and then elsewhere.
 */
#pragma once

#include "cleanup.h"
#include "model.h"

typedef struct Progress Progress;

/* label: what the job runs on, for people; it is copied. quiet: nothing is shown. */
Progress *progress_new(const char *label, bool quiet);
/* Removes the bar. */
Progress *progress_free(Progress *p);
DEFINE_CLEANUP(Progress, progress_free)

void progress_show(Progress *p, const Job *job);
/* Removes the bar, so that something else can be written to the terminal. The next progress_show()
 * draws it again. */
void progress_hide(Progress *p);
