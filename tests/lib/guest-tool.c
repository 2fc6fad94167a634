/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The 512-byte guest for shell scripts: guest-tool VERB DIR NAME [ARGUMENT...]
 *
 *   boot                 makes its boot disk, DIR/NAME.boot
 *   wait MORE            until it has made MORE further writes; prints the newest
 *   check IMAGE FORMAT   the image holds one instant of its disk; prints which
 *   final IMAGE FORMAT   … and, its QEMU being gone, no acknowledged write is lost
 *   stalls               at each line on stdin, prints the longest time without a write since the
 * line before, in microseconds
 *
 * Its serial port writes to DIR/NAME.serial. VMDISK_TEST_GUEST names the boot sector.
 */
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

typedef enum Verb {
    VERB_BOOT,
    VERB_WAIT,
    VERB_CHECK,
    VERB_FINAL,
    VERB_STALLS,
    VERB_MAX_,
} Verb;

static const struct {
    const char *name;
    int arguments;
} verbs[] = {
    [VERB_BOOT] = {"boot", 0},   [VERB_WAIT] = {"wait", 1},     [VERB_CHECK] = {"check", 2},
    [VERB_FINAL] = {"final", 2}, [VERB_STALLS] = {"stalls", 0},
};

G_STATIC_ASSERT(G_N_ELEMENTS(verbs) == VERB_MAX_);

static int print_stalls(Guest *guest)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    uint32_t newest = guest_acknowledged(guest, 0);
    gint64 since = g_get_monotonic_time(), longest = 0;

    for (;;) {
        const int lines = poll(&input, 1, /* timeout= */ 1);
        const uint32_t n = guest_acknowledged(guest, 0);
        const gint64 now = g_get_monotonic_time();
        char line;

        longest = MAX(longest, now - since);
        if (n != newest)
            since = now;
        newest = n;
        if (lines == 0)
            continue;
        if (read(STDIN_FILENO, &line, 1) <= 0)
            return 0;
        if (line != '\n')
            continue;
        g_print("%" PRId64 "\n", longest);
        since = now;
        longest = 0;
    }
}

static int run(Verb verb, char *argv[])
{
    g_autoptr(Guest) guest = verb == VERB_BOOT ? guest_new(argv[0], argv[1], /* options= */ NULL)
                                               : guest_open(argv[0], argv[1]);

    switch (verb) {
    case VERB_BOOT:
        return 0;
    case VERB_WAIT:
        g_print("%" PRIu32 "\n", guest_wait_more(guest, 0, (uint32_t)strtoul(argv[2], NULL, 10)));
        return 0;
    case VERB_FINAL:
        guest_check_nothing_lost(guest, 0, argv[2], argv[3]);
        __attribute__((fallthrough));
    case VERB_CHECK:
        g_print("%" PRIu32 "\n", guest_check_image(guest, 0, argv[2], argv[3]));
        return 0;
    case VERB_STALLS:
        return print_stalls(guest);
    case VERB_MAX_:
        break;
    }
    return 2;
}

int main(int argc, char *argv[])
{
    for (Verb verb = 0; argc > 3 && verb < VERB_MAX_; verb++)
        if (strcmp(argv[1], verbs[verb].name) == 0 && argc == 4 + verbs[verb].arguments)
            return run(verb, argv + 2);
    g_printerr("usage: guest-tool boot|wait|check|final|stalls DIR NAME [ARGUMENT...]\n");
    return 2;
}
