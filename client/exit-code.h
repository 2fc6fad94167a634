/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * exit-code is the one place that knows what the process ends with. The manual and --help describe
 * the same codes.
 */
#pragma once

typedef enum ExitCode {
    EXIT_DONE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_DENIED = 3,
    EXIT_NOT_FOUND = 4,
    EXIT_BUSY = 5,
    EXIT_TIMED_OUT = 6,
    EXIT_INTERRUPTED = 130, /* as a shell shows SIGINT */
} ExitCode;

/* From the name of a D-Bus error; EXIT_FAILED for one that is not in the table. */
ExitCode exit_code_from_error(const char *name);
