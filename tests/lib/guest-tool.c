/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 512-byte guest for shell scripts:
 *
 *   guest-tool boot DIR NAME                 makes its boot disk, DIR/NAME.boot
 *   guest-tool wait DIR NAME MORE            until it has made MORE further writes; prints the
 * newest guest-tool check DIR NAME IMAGE FORMAT   the image holds one instant of its disk; prints
 * which guest-tool final DIR NAME IMAGE FORMAT   … and, its QEMU being gone, no acknowledged write
 * is lost
 *
 * Its serial port writes to DIR/NAME.serial. VMDISK_TEST_GUEST names the boot sector.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "guest.h"

static int usage(void)
{
    g_printerr("usage: guest-tool boot|wait|check|final DIR NAME [ARGUMENT...]\n");
    return 2;
}

int main(int argc, char *argv[])
{
    g_autoptr(Guest) guest = NULL;
    const char *verb = argc > 3 ? argv[1] : "";
    const bool image = strcmp(verb, "check") == 0 || strcmp(verb, "final") == 0;
    const bool wait = strcmp(verb, "wait") == 0;

    if (argc != (image ? 6 : wait ? 5 : 4) || (!image && !wait && strcmp(verb, "boot") != 0))
        return usage();

    guest = strcmp(verb, "boot") == 0 ? guest_new(argv[2], argv[3], /* options= */ NULL)
                                      : guest_open(argv[2], argv[3]);
    if (wait)
        g_print("%" PRIu32 "\n", guest_wait_more(guest, 0, (uint32_t)strtoul(argv[4], NULL, 10)));
    if (strcmp(verb, "final") == 0)
        guest_check_nothing_lost(guest, 0, argv[4], argv[5]);
    if (image)
        g_print("%" PRIu32 "\n", guest_check_image(guest, 0, argv[4], argv[5]));
    return 0;
}
