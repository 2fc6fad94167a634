/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting in a test whose code runs on an event loop of the test's own.
 */
#pragma once

#include <systemd/sd-event.h>

#include "wait.h"

/* Runs the loop until the condition holds; aborts the test with `what` at the deadline. */
void event_wait_until(sd_event *event, const char *what, WaitFunc condition, gpointer data);
/* Runs the loop for as long as something in it is ready. */
void event_wait_idle(sd_event *event);
