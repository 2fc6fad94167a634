/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What systemd's file-descriptor store does for a service (sd_pid_notify_with_fds(3), FDSTORE=1),
 * for a daemon that a test starts: descriptors that are sent are kept, given to the next process,
 * and dropped when their peer hangs up.
 */
#pragma once

#include <glib.h>

typedef struct FdStore FdStore;

/* Listens on DIR/notify. */
FdStore *fd_store_new(const char *dir);
void fd_store_free(FdStore *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FdStore, fd_store_free)

/* For NOTIFY_SOCKET. */
const char *fd_store_address(const FdStore *s);
/* Takes what has been sent until now; the descriptors that are kept, ended by -1, borrowed. */
const int *fd_store_fds(FdStore *s);
/* Their names, for LISTEN_FDNAMES; borrowed until the next call. */
const char *fd_store_names(FdStore *s);
