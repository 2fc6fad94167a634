/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * group: the verbs on jobs where a whole VM is named instead of one disk.
 */
#pragma once

#include "target.h"

int group_commit(Client *c, const Target *target, sd_bus_error *error);
/* Pivot or Abort. expected: results to be content with (ResultBit). */
int group_end(Client *c, const Target *target, const char *method, unsigned expected,
              sd_bus_error *error);
int group_wait(Client *c, const Target *target, sd_bus_error *error);
