/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting in tests: always for a condition, always with a deadline. Nothing here is a pause.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* How long anything may take before a test gives up. Generous: it guards against hanging, it
 * measures nothing. VMDISK_TEST_PATIENCE in the environment multiplies it (valgrind). */
#define WAIT_SECONDS 60

/* CLOCK_MONOTONIC, microseconds. */
gint64 wait_deadline(void);

typedef bool (*WaitFunc)(gpointer data);

/* Looks again every millisecond: for things without a file descriptor to wait for, such as a
 * growing file. Aborts the test with `what` when the deadline passes. */
void wait_until(const char *what, WaitFunc condition, gpointer data);
