/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's side of the 512-byte guest (guest.S): its boot disk, its report of acknowledged
 * writes, and the check that an image holds an instant of its disks.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "stamp.h"

typedef struct GuestOptions {
    unsigned disks;   /* data disks, BIOS drives 0x81 and up; 0 means 1 */
    unsigned slots;   /* a power of two; 0 means 256 */
    unsigned shift;   /* a slot every 2^shift sectors */
    bool read_back;   /* the guest checks each slot before it writes it again */
    uint32_t already; /* number of the newest write that an earlier guest left on the disks */
} GuestOptions;

typedef struct Guest Guest;

/* Makes DIR/NAME.boot and, when it runs, DIR/NAME.serial. options may be NULL. */
Guest *guest_new(const char *dir, const char *name, const GuestOptions *options);
/* One that guest_new(…, NULL) made, perhaps in another process. */
Guest *guest_open(const char *dir, const char *name);
void guest_free(Guest *g);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Guest, guest_free)

/* Arguments for QEMU: boot disk and serial port. The data disks come from the caller: they have to
 * be virtio-blk with a write-through cache, or "acknowledged" does not mean on disk. */
void guest_add_arguments(const Guest *g, GPtrArray *argv);

/* Number of the last write on that disk that the guest has reported, `already` before the first.
 * Aborts when the guest reports an error. */
uint32_t guest_acknowledged(Guest *g, unsigned disk);
/* Until write number n is reported; then as guest_acknowledged(). */
uint32_t guest_wait(Guest *g, unsigned disk, uint32_t n);
/* Until the guest has made `more` further writes: it lives and its disk answers. */
uint32_t guest_wait_more(Guest *g, unsigned disk, uint32_t more);

StampLayout guest_layout(const Guest *g, unsigned disk);
/* stamp_check_image() of that disk's layout. */
uint32_t guest_check_image(const Guest *g, unsigned disk, const char *file, const char *format);
/* After QEMU is gone: the image holds every acknowledged write, and at most the one write more that
 * was under way. */
void guest_check_nothing_lost(Guest *g, unsigned disk, const char *file, const char *format);
