/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stamps: how the writers of the tests mark what they wrote.
 */
#include "stamp.h"

#include <glib.h>
#include <inttypes.h>
#include <string.h>

#include "image.h"

#define MAGIC 0x4b534456u /* "VDSK", as in guest.S */

typedef struct Record {
    uint32_t magic, n, sector, writer;
} Record;

G_STATIC_ASSERT(sizeof(Record) == STAMP_RECORD_SIZE);

static Record record_make(const StampLayout *layout, uint32_t n)
{
    return (Record){
        .magic = GUINT32_TO_LE(MAGIC),
        .n = GUINT32_TO_LE(n),
        .sector = GUINT32_TO_LE((uint32_t)(stamp_position(layout, n) / 512)),
        .writer = GUINT32_TO_LE(layout->writer),
    };
}

void stamp_fill(const StampLayout *layout, uint32_t n, void *slot)
{
    const Record record = record_make(layout, n);

    for (uint32_t at = 0; at < layout->size; at += sizeof(record))
        memcpy((uint8_t *)slot + at, &record, sizeof(record));
}

uint64_t stamp_position(const StampLayout *layout, uint32_t n)
{
    return layout->offset + (n % layout->slots) * layout->stride;
}

uint64_t stamp_extent(const StampLayout *layout)
{
    return (layout->slots - 1) * layout->stride + layout->size;
}

static const uint8_t *slot_of(const StampLayout *layout, const uint8_t *data, uint32_t n)
{
    return data + (stamp_position(layout, n) - layout->offset);
}

static uint32_t newest(const StampLayout *layout, const uint8_t *data)
{
    uint32_t k = 0;

    for (uint32_t i = 0; i < layout->slots; i++) {
        Record record;

        memcpy(&record, slot_of(layout, data, i), sizeof(record));
        if (GUINT32_FROM_LE(record.magic) == MAGIC)
            k = MAX(k, GUINT32_FROM_LE(record.n));
    }
    return k;
}

static void check_slot(const StampLayout *layout, const uint8_t *data, uint32_t slot,
                       uint32_t expected, uint32_t k, const char *what)
{
    const Record want = expected > 0 ? record_make(layout, expected) : (Record){0};

    for (uint32_t at = 0; at < layout->size; at += sizeof(want)) {
        Record found;

        memcpy(&found, data + at, sizeof(found));
        if (memcmp(&found, &want, sizeof(want)) != 0)
            g_error("%s: not one instant: the newest write is %" PRIu32 ", so slot %" PRIu32
                    " must hold %" PRIu32 ", but at byte %" PRIu32 " it has magic %08" PRIx32
                    " write %" PRIu32 " sector %" PRIu32 " writer %" PRIu32,
                    what, k, slot, expected, at, GUINT32_FROM_LE(found.magic),
                    GUINT32_FROM_LE(found.n), GUINT32_FROM_LE(found.sector),
                    GUINT32_FROM_LE(found.writer));
    }
}

uint32_t stamp_check(const StampLayout *layout, const uint8_t *data, const char *what)
{
    const uint32_t k = newest(layout, data);

    /* The newest `slots` numbers up to k are one for each slot. */
    for (uint32_t slot = 0; slot < layout->slots; slot++) {
        const uint32_t age = (k % layout->slots + layout->slots - slot) % layout->slots;
        const uint32_t expected = k > age ? k - age : 0;

        check_slot(layout, slot_of(layout, data, slot), slot, expected, k, what);
    }
    return k;
}

uint32_t stamp_check_image(const StampLayout *layout, const char *file, const char *format)
{
    const uint64_t length = (stamp_extent(layout) + 511) / 512 * 512;
    g_autofree uint8_t *data = image_read(file, format, layout->offset, length);

    return stamp_check(layout, data, file);
}
