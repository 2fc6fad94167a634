/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * conclude ends a job that is watched and tells how it went: the part that commit, pivot, abort and
 * wait have in common.
 */
#pragma once

#include "watch.h"

/* Results of a job that a verb can be content with. */
typedef enum ResultBit {
    RESULT_COMPLETED = 1 << 0,
    RESULT_KEPT = 1 << 1,
    RESULT_CANCELLED = 1 << 2,
} ResultBit;

/* Calls Pivot or Abort and waits for the end. The call is repeated where the service was restarted
 * before it answered. 0 when the job has finished, whatever the result. */
int conclude(Client *c, Watch *w, const char *method, sd_bus_error *error);

/* Waits until somebody has to decide, or nobody has any more, and reports it. */
int conclude_wait(Client *c, Watch *w, sd_bus_error *error);

/* ResultBit, 0 for a result with which nobody is content. */
unsigned conclude_result_bit(const char *result);
/* Whether results are told in words: not with --quiet, and not with --json. */
bool conclude_talks(const Client *c);

/* What --json prints at the end of a verb on a job. */
void conclude_print_json(const Client *c, const Target *target, const char *job, const char *type,
                         const Outcome *outcome);

/* A command that ends the target's job, or those of its VM where these end together. The caller
 * frees. */
char *conclude_command(const Client *c, const char *verb, const Target *target);
/* The two commands that end a job which is ready; those of the VM where a VM is the target, or its
 * disks are committed together. */
void conclude_print_ways(const Client *c, const Target *target);

/* Prints the result. EXIT_DONE where it is one of those that are expected (ResultBit). */
int conclude_report(const Client *c, const Watch *w, unsigned expected);
/* The same for the last job of a disk that has none now. */
int conclude_report_last(const Client *c, const Target *target, unsigned expected);

/* The job goes on without us: completes the error by how to come back to it, and returns r. */
int conclude_leave(const Client *c, const Watch *w, int r, sd_bus_error *error);
