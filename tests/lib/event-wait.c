/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One turn of the loop, one look at the condition.
 */
#include "event-wait.h"

void event_wait_until(sd_event *event, const char *what, WaitFunc condition, gpointer data)
{
    gint64 deadline = wait_deadline();

    while (!condition(data)) {
        gint64 left = deadline - g_get_monotonic_time();
        if (left <= 0)
            g_error("Waited too long: %s", what);
        g_assert_cmpint(sd_event_run(event, (uint64_t)left), >=, 0);
    }
}

void event_wait_idle(sd_event *event)
{
    gint64 deadline = wait_deadline();

    while (sd_event_run(event, 0) > 0) {
        if (g_get_monotonic_time() > deadline)
            g_error("Waited too long: the event loop does not become idle");
    }
}
