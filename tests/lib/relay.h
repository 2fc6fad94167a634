/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands between a QEMU's monitor and the daemon, in a thread of its own, and hands on what QEMU
 * says a byte at a time: each byte is read before the next one is sent. It keeps what the daemon
 * says.
 */
#pragma once

#include <glib.h>

typedef struct Relay Relay;

/* path: a socket on which QEMU listens. *ret_fd is for the daemon, and the caller closes it
 * when the daemon has it. */
Relay *relay_start(const char *path, int *ret_fd);
/* Ends when both sides have hung up, or at once. */
void relay_free(Relay *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Relay, relay_free)

/* All that the daemon has said so far. The caller frees it. */
char *relay_said(Relay *r);
