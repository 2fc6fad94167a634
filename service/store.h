/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * store keeps the monitors' connections in systemd's file-descriptor store, from the moment on that
 * a QEMU has dialled in, so that a process that follows this one, after a restart or a crash, gets
 * them with what came meanwhile. The name of a descriptor says whose it is: nothing else is written
 * down.
 */
#pragma once

#include <stdbool.h>

#include "manager.h"

/* Of systemd, for the name of a descriptor. */
#define STORE_NAME_MAX 255

extern const ManagerKeeper store_keeper;

/* Whether a descriptor that systemd has passed is one of ours. */
bool store_is_ours(const char *name);
/* Gives such a descriptor to the manager. Takes fd. */
void store_resume(Manager *m, int fd, const char *name);
