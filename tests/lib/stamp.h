/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stamps: how the writers of the tests mark what they wrote, so that an image tells which instant
 * of a disk it holds.
 *
 * A writer has one write under way at a time. Write number n = 1, 2, 3, … goes to
 * slot n % slots and fills it with equal records of four little-endian 32-bit words: magic, n,
 * 512-byte sector where the slot begins, number of the writer. An image that holds one instant of
 * the disk therefore shows in every slot the newest n that is not above one k, the same k for all
 * slots. Anything else is a lost, torn, misplaced or reordered write.
 */
#pragma once

#include <stdint.h>

#define STAMP_RECORD_SIZE 16

typedef struct StampLayout {
    uint32_t writer;
    uint32_t slots;  /* how many there are */
    uint64_t offset; /* of slot 0, bytes */
    uint64_t stride; /* from slot to slot, bytes */
    uint32_t size;   /* of a slot, bytes */
} StampLayout;

/* Fills a slot of layout->size bytes with write number n. */
void stamp_fill(const StampLayout *layout, uint32_t n, void *slot);
/* Where write number n goes, bytes. */
uint64_t stamp_position(const StampLayout *layout, uint32_t n);
/* Length of the area that the slots lie in, bytes. */
uint64_t stamp_extent(const StampLayout *layout);

/* data holds stamp_extent() bytes from layout->offset on. Aborts the test, naming `what`, where
 * they are not one instant of the disk; slots not yet written at that instant have to be zero. The
 * k of that instant; 0 for an area that nothing was written to. */
uint32_t stamp_check(const StampLayout *layout, const uint8_t *data, const char *what);

/* The same for an image with its chain. */
uint32_t stamp_check_image(const StampLayout *layout, const char *file, const char *format);
