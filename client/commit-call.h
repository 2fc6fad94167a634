/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit-call makes the options of CommitWith and Check of those on the command line. What they
 * mean, and whether they fit together, is the service's business.
 */
#pragma once

#include "client.h"

/* Whether Commit(), which only knows whether the active layer is meant, is not enough. */
bool commit_call_has_options(const Options *o);
/* ClientAppend: a{sv}. options: an Options. */
int commit_call_append(sd_bus_message *m, const void *options);
