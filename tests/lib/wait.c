/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting in tests: always for a condition, always with a deadline.
 */
#include "wait.h"

#include <stdlib.h>

#define LOOK_AGAIN_USEC 1000

static gint64 patience(void)
{
    const char *text = g_getenv("VMDISK_TEST_PATIENCE");

    return text ? MAX(1, strtol(text, NULL, 10)) : 1;
}

gint64 wait_deadline(void)
{
    return g_get_monotonic_time() + patience() * WAIT_SECONDS * G_USEC_PER_SEC;
}

void wait_until(const char *what, WaitFunc condition, gpointer data)
{
    gint64 deadline = wait_deadline();

    while (!condition(data)) {
        if (g_get_monotonic_time() > deadline)
            g_error("Waited too long: %s", what);
        g_usleep(LOOK_AGAIN_USEC);
    }
}
