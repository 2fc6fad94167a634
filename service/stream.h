/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream owns a connected stream socket and turns its bytes into JSON objects and back: bounded
 * framing, nothing more. It knows no QMP word.
 *
 * Reading is limited per turn of the event loop, so that a peer that floods shares the loop.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-event.h>

#include "cleanup.h"
#include "frame.h"

/* Bytes taken from the socket in one turn of the event loop. */
#define STREAM_READ_TURN_MAX (256U * 1024U)
/* Bytes waiting to be written to a peer that does not read. */
#define STREAM_WRITE_MAX (1024U * 1024U)

typedef struct Stream Stream;

typedef struct StreamObserver {
    /* A whole JSON object has arrived. The object is borrowed: take a reference to keep it. The
     * observer may free the stream in here. */
    void (*message)(Stream *s, json_object *message, void *userdata);
    /* The connection is over, last call. 0: end of file; -EBADMSG, -EMSGSIZE, -ELOOP, -ENOMEM: as
     * frame_feed(); else a negative errno of the socket. The observer may free the stream in
     * here. */
    void (*closed)(Stream *s, int error, void *userdata);
} StreamObserver;

/* Takes fd (also on failure) and makes it non-blocking. resync as frame_init(). -EPROTOTYPE or
 * -ENOTSOCK: not a stream socket. */
int stream_new(sd_event *event, int fd, bool resync, const StreamObserver *observer, void *userdata,
               Stream **ret);
Stream *stream_free(Stream *s);
DEFINE_CLEANUP(Stream, stream_free)

/* Queues one message, ended by a newline, and writes what the socket takes. -ENOBUFS beyond
 * STREAM_WRITE_MAX: nothing was queued, the connection stays. -ENOTCONN when the peer has gone;
 * closed() follows, if it was not called already. Never calls the observer. */
int stream_send(Stream *s, json_object *message);
/* The same with bytes that are no message. */
int stream_send_bytes(Stream *s, const char *bytes, size_t n);

/* While it is held, what is sent waits; it is written when the hold ends. */
void stream_hold(Stream *s, bool hold);

/* Lower number, earlier turn, as sd_event_source_set_priority(). */
int stream_set_priority(Stream *s, int64_t priority);

int stream_get_fd(const Stream *s);
