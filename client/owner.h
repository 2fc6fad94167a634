/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * owner follows which connection is the service. Anybody on a bus can send anybody a signal that
 * looks like the service's; a caller who believed a forged JobFinished would delete an overlay that
 * is in use. So each signal's sender is compared with the owner of the name.
 */
#pragma once

#include "client.h"
#include "cleanup.h"

typedef struct Owner Owner;

/* The service has left the bus, or another process has taken its place. */
typedef void (*OwnerFunc)(void *userdata);

/* Asks the bus, and is told of changes from then on. `changed` may be NULL. */
int owner_new(Client *c, OwnerFunc changed, void *userdata, Owner **ret, sd_bus_error *error);
Owner *owner_free(Owner *o);
DEFINE_CLEANUP(Owner, owner_free)

bool owner_sent(const Owner *o, sd_bus_message *m);
bool owner_is_present(const Owner *o);
