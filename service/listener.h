/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * listener is the socket on which QEMU dials in: passed by systemd, or made by hand.
 */
#pragma once

#include <systemd/sd-event.h>

#include "cleanup.h"
#include "manager.h"

typedef struct Listener Listener;

/* Takes fd, a listening stream socket. */
int listener_new(sd_event *event, int fd, Manager *manager, Listener **ret);
/* Makes the socket at path and its directory; a stale socket there is replaced. -EADDRINUSE:
 * another process listens on it. */
int listener_open(const char *path, int *ret_fd);
Listener *listener_free(Listener *l);
DEFINE_CLEANUP(Listener, listener_free)
