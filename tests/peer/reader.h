/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The real block_read() on the answers of a scripted QEMU.
 */
#pragma once

#include <glib.h>

#include "block.h"
#include "qmp-peer.h"

typedef struct Reader {
    sd_event *event;
    QmpPeer *peer;
    Qmp *qmp;
    bool greeted;
    /* Of the last reading. */
    unsigned n_answers;
    int error;
    char *text;
    Graph *graph; /* NULL after a failure */
} Reader;

/* A QEMU without disks, exports and jobs, greeted. */
Reader *reader_new(void);
void reader_free(Reader *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Reader, reader_free)

/* Answers as in tests/data/graphs/FILE. */
void reader_load(Reader *r, const char *file);
/* Begins a reading; waits for its end; both. */
void reader_start(Reader *r);
void reader_finish(Reader *r);
void reader_read(Reader *r);
