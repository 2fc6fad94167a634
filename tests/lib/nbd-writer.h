/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An NBD client that stamps blocks of 4 KiB on an export, in a thread of its own, from its start to
 * its stop. The second kind of writer beside the guest: what qemu-storage-daemon's exports carry,
 * and what can connect at the worst moment.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "stamp.h"

typedef enum NbdWriterMode {
    NBD_WRITER_FUA,     /* one connection; each write with FUA */
    NBD_WRITER_FLUSH,   /* one connection; each write followed by a flush */
    NBD_WRITER_CONNECT, /* connect, one write with FUA, disconnect, for ever */
} NbdWriterMode;

typedef struct NbdWriter NbdWriter;

/* socket: unix socket of the server. slots blocks of 4 KiB from offset on. */
NbdWriter *nbd_writer_start(const char *socket, const char *export_name, NbdWriterMode mode,
                            uint32_t writer, uint64_t offset, uint32_t slots);
/* Stops it where it still runs. */
void nbd_writer_free(NbdWriter *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(NbdWriter, nbd_writer_free)

/* Number of the newest acknowledged write; 0 before the first. */
uint32_t nbd_writer_acknowledged(NbdWriter *w);
/* Until `more` further writes are acknowledged. */
uint32_t nbd_writer_wait_more(NbdWriter *w, uint32_t more);
/* Ends after the write that is under way. An error on the way is fatal to the test; the end of the
 * server is one only where server_may_end is false. */
void nbd_writer_stop(NbdWriter *w, bool server_may_end);

StampLayout nbd_writer_layout(const NbdWriter *w);
/* After stop: the image holds every acknowledged write, and at most the one more under way. */
void nbd_writer_check_nothing_lost(NbdWriter *w, const char *file, const char *format);
