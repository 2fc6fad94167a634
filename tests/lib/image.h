/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disk images of a test: made and read with qemu-img, never by hand.
 */
#pragma once

#include <glib.h>
#include <stdint.h>

#define IMAGE_MIB (UINT64_C(1024) * 1024)

/* DIR/NAME; the caller frees it. */
char *image_create(const char *dir, const char *name, const char *format, uint64_t size);
/* A qcow2 image over another one. size 0: that of the backing image. */
char *image_overlay(const char *dir, const char *name, const char *backing,
                    const char *backing_format, uint64_t size);
/* A chain of `depth` images, "NAME.0" (base, in base_format) to "NAME.(depth-1)" (active, qcow2).
 * Ended by NULL; g_strfreev(). */
char **image_chain(const char *dir, const char *name, const char *base_format, unsigned depth,
                   uint64_t size);

/* Writes the byte to the range with qemu-io, for data that a test has to find again. */
void image_fill(const char *file, const char *format, uint8_t byte, uint64_t offset,
                uint64_t length);
/* What a reader of the image with its chain sees, also while QEMU has it open. Both numbers are
 * multiples of 512. */
uint8_t *image_read(const char *file, const char *format, uint64_t offset, size_t length);
void image_check_filled(const char *file, const char *format, uint8_t byte, uint64_t offset,
                        size_t length);
/* Same content over the whole of both, chain included. */
void image_check_same(const char *a, const char *a_format, const char *b, const char *b_format);
/* qemu-img check: no error and no leak. */
void image_check_clean(const char *file);
/* The backing file that the image records; NULL for none. */
char *image_backing_file(const char *file);
