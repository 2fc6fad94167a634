/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * commit-call asks for a commit, and makes the options of CommitWith and Check of those on the
 * command line. What they mean, and whether they fit together, is the service's business.
 */
#pragma once

#include "target.h"

/* Commit() where it is enough, else CommitWith(), on a disk or a VM. ret_reply may be NULL. */
int commit_call(Client *c, const Target *target, sd_bus_message **ret_reply, sd_bus_error *error);
/* ClientAppend: a{sv}. options: an Options. */
int commit_call_append(sd_bus_message *m, const void *options);
