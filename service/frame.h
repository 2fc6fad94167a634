/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * frame finds JSON objects in bytes that arrive in pieces of any size, and bounds what one object
 * may cost. It does no I/O.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* One message, bytes. QEMU's largest seen is 13.5 MB (200 nested images, 7.2). */
#define FRAME_LENGTH_MAX (16U * 1024U * 1024U)
/* Nesting of one message, the innermost value included; json-c's own default of 32 fails at 26
 * images. */
#define FRAME_DEPTH_MAX 512
/* Objects and arrays in one message. An empty object takes 800 bytes of memory: 16 MiB of them
 * would be 4 GiB. */
#define FRAME_CONTAINERS_MAX (128U * 1024U)
/* Values in one message, each up to 180 bytes of memory with its key. */
#define FRAME_VALUES_MAX (1024U * 1024U)
/* Characters of one number. With each piece that arrives, json-c looks at all of them again. */
#define FRAME_NUMBER_MAX 256

typedef struct Frame {
    json_tokener *tokener;
    bool resync;
    /* The message so far. */
    size_t length;
    size_t containers, values;
    bool in_string, escaped;
    char token[FRAME_NUMBER_MAX + 1]; /* a number, or true, false, null */
    size_t token_length;
} Frame;

/* With resync, everything up to and including the first newline is dropped: the rest of a message
 * that an earlier process had half read. */
int frame_init(Frame *f, bool resync);
void frame_done(Frame *f);

/* Takes bytes, up to the end of one message at most. ret_used is how many; ret_message is the
 * object, owned by the caller, or NULL when more bytes are needed. -EBADMSG: not JSON, or not an
 * object; -EMSGSIZE: too long, or too many values; -ELOOP: nested too deep; -ENOMEM. After an error
 * only frame_done() is left. */
int frame_feed(Frame *f, const char *bytes, size_t n, size_t *ret_used, json_object **ret_message);
