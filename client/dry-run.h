/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * dry-run asks the service what a commit would do, and shows it.
 */
#pragma once

#include "target.h"

/* What the process ends with: EXIT_DONE where the commit is possible, else what the commit would
 * end with; or a negative errno with the error set. */
int dry_run(Client *c, const Target *target, sd_bus_error *error);
/* The same for the disks of a VM that would be committed together: what the commit ends with where
 * the first of them is refused. */
int dry_run_vm(Client *c, const Model *m, const Target *target, sd_bus_error *error);
