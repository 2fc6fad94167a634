/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes, sent to a stream in pieces that the first bytes of the input choose: it has to see the
 * same messages as a frame that gets all at once.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fuzz.h"
#include "stream.h"

/* Bytes of the input that choose the pieces. */
#define SEED_SIZE 2
/* More would not fit into the socket at once. */
#define INPUT_MAX 16384

typedef struct Record {
    char *text; /* every message, a line each */
    size_t size;
    FILE *file;
    unsigned closed;
    int error;
} Record;

static void record_init(Record *r)
{
    *r = (Record){0};
    r->file = open_memstream(&r->text, &r->size);
    if (!r->file)
        abort();
}

static void record_done(Record *r)
{
    fclose(r->file);
    free(r->text);
}

static void record_message(Record *r, json_object *message)
{
    fprintf(r->file, "%s\n", json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN));
}

static void on_message(Stream *s, json_object *message, void *userdata)
{
    record_message(userdata, message);
}

static void on_closed(Stream *s, int error, void *userdata)
{
    Record *r = userdata;

    r->closed++;
    r->error = error;
}

static const StreamObserver observer = {.message = on_message, .closed = on_closed};

static void feed_at_once(Record *record, const char *bytes, size_t n)
{
    Frame f;
    int r = frame_init(&f, false);

    while (n > 0 && r == 0) {
        size_t used;
        json_object *message;

        r = frame_feed(&f, bytes, n, &used, &message);
        if (r < 0)
            break;
        if (used == 0 || used > n)
            abort();
        bytes += used;
        n -= used;
        if (message)
            record_message(record, message);
        json_object_put(message);
    }
    record->error = r;
    frame_done(&f);
}

static void run_loop(sd_event *event)
{
    int r;

    do
        r = sd_event_run(event, 0);
    while (r > 0);
    if (r < 0)
        abort();
}

static void feed_pieces(Record *record, uint32_t seed, const char *bytes, size_t n)
{
    static sd_event *event; /* kept: setting one up costs more than a run */
    _cleanup_(stream_freep) Stream *s = NULL;
    int fds[2];

    if (!event && sd_event_new(&event) < 0)
        abort();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        abort();
    if (stream_new(event, fds[1], false, &observer, record, &s) < 0)
        abort();

    while (n > 0 && record->closed == 0) {
        seed = seed * 1664525 + 1013904223;
        size_t size = 1 + (seed >> 16) % 16;
        if (size > n)
            size = n;
        if (send(fds[0], bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size)
            abort();
        bytes += size;
        n -= size;
        run_loop(event);
    }
    close(fds[0]);
    run_loop(event);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    Record whole, pieces;

    if (n < SEED_SIZE || n > INPUT_MAX)
        return 0;

    /* A NUL at the end: what is not over by then is an error, both ways. */
    char *bytes = calloc(1, n - SEED_SIZE + 1);
    if (!bytes)
        abort();
    memcpy(bytes, data + SEED_SIZE, n - SEED_SIZE);

    record_init(&whole);
    record_init(&pieces);
    feed_at_once(&whole, bytes, n - SEED_SIZE + 1);
    feed_pieces(&pieces, (uint32_t)(data[0] << 8 | data[1]), bytes, n - SEED_SIZE + 1);

    fflush(whole.file);
    fflush(pieces.file);
    if (strcmp(whole.text, pieces.text) != 0)
        abort();
    if (whole.error >= 0 || pieces.error >= 0 || pieces.closed != 1)
        abort();

    record_done(&whole);
    record_done(&pieces);
    free(bytes);
    return 0;
}
