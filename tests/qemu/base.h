/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the deepest image of a chain lies: in a file, on a block device, behind an NBD server. The
 * bytes are in a file of the test's directory in each case.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

typedef enum BasePlace {
    BASE_FILE,
    BASE_DEVICE, /* a loop device; where there is none for us, as BASE_NBD: of fixed size, too */
    BASE_NBD,    /* qemu-storage-daemon; the image is raw */
} BasePlace;

typedef struct Base Base;

/* DIR/NAME, in that format and of that size. */
Base *base_new(BasePlace place, const char *dir, const char *name, const char *format,
               uint64_t size);
/* The device and the server go with it. */
void base_free(Base *b);

/* What QEMU calls it. */
const char *base_name(const Base *b);
/* The file that holds its bytes. */
const char *base_file(const Base *b);
/* NBD: kills the server, as if it had vanished from the network. */
void base_vanish(Base *b);
