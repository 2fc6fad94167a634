/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A child process of a test. It dies with the test, whatever way that ends.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct Process Process;

/* Starts argv[0], found in PATH; what it prints goes to our stderr, away from the test's protocol.
 * `fds` (may be NULL) are file descriptors that the child keeps under their own numbers, ended by
 * -1. environment: NULL for our own. */
Process *process_start(char *const argv[], char *const environment[], const int *fds);
/* The same for a program that systemd would have passed the descriptors to: they are its 3, 4, …,
 * and LISTEN_FDS and LISTEN_PID say so. names: for LISTEN_FDNAMES. */
Process *process_start_passing(char *const argv[], char *const environment[], const int *fds,
                               const char *names);
/* SIGKILL where it still runs, and waits for the end. */
void process_free(Process *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Process, process_free)

pid_t process_pid(const Process *p);
bool process_is_running(Process *p);
void process_signal(Process *p, int signal_number);
/* Waits for the end; the status as waitpid() gives it. May be called again. */
int process_wait(Process *p);
/* process_signal() and process_wait(). */
int process_end(Process *p, int signal_number);

/* Runs a command to its end, which has to be success. Returns its stdout. The arguments end with
 * NULL. */
char *process_run(const char *program, ...) G_GNUC_NULL_TERMINATED;
char *process_runv(char *const argv[]);
