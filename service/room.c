/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "room.h"

#include "chain.h"
#include "cleanup.h"
#include "text.h"

/* Formats and protocols that have one size for ever: QEMU's drivers without a bdrv_co_truncate, and
 * those whose refuses to grow (7.2 to 10.0). */
static bool is_fixed_driver(const char *driver)
{
    static const char *const fixed[] = {
        "bochs", "cloop",     "dmg",  "host_cdrom", "host_device", "http", "https", "iscsi", "nbd",
        "nvme",  "parallels", "qcow", "vdi",        "vhdx",        "vmdk", "vpc",   "vvfat",
    };

    for (size_t i = 0; i < ELEMENTSOF(fixed); i++)
        if (text_equal(driver, fixed[i]))
            return true;
    return false;
}

/* What an image is stored on; NULL where the graph does not tell. */
static const GraphVertex *storage_of(const Graph *g, const GraphVertex *image)
{
    const GraphVertex *data = graph_child(g, image, "data-file");

    return chain_skip_filters(g, data ? data : graph_child(g, image, "file"));
}

uint64_t room_of_image(const Graph *g, const GraphVertex *image)
{
    const GraphVertex *storage = storage_of(g, image);

    return storage && is_fixed_driver(storage->driver) ? storage->size : 0;
}

bool room_is_fixed(const Graph *g, const GraphVertex *image)
{
    const GraphVertex *storage = storage_of(g, image);
    bool transparent = text_equal(image->driver, "raw") || text_equal(image->driver, "luks");

    return is_fixed_driver(image->driver) ||
           (transparent && storage && is_fixed_driver(storage->driver));
}
