/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskd under test.
 */
#include "daemon.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>

#include "fd-store.h"
#include "process.h"

/* Where VMDISK_TEST_VALGRIND is set: the exit status, which daemon_wait() looks at, tells. */
#define VALGRIND                                                                                   \
    "valgrind -q --error-exitcode=9 --leak-check=full --show-leak-kinds=definite "                 \
    "--errors-for-leak-kinds=definite "

struct Daemon {
    char *dir, *bus_address, *state, *socket;
    char **environment; /* of the next start */
    FdStore *store;     /* NULL for none */
    Process *process;
};

Daemon *daemon_new(const char *dir, const char *bus_address)
{
    Daemon *d = g_new0(Daemon, 1);

    d->dir = g_strdup(dir);
    d->bus_address = g_strdup(bus_address);
    d->state = g_build_filename(dir, "state", NULL);
    d->socket = g_build_filename(dir, "monitor", NULL);
    g_assert_cmpint(g_mkdir(d->state, 0700), ==, 0);

    d->environment = g_get_environ();
    daemon_set_environment(d, "DBUS_SYSTEM_BUS_ADDRESS", d->bus_address);
    daemon_set_environment(d, "STATE_DIRECTORY", d->state);
    /* Whatever started the test is not the daemon's service manager. */
    daemon_set_environment(d, "NOTIFY_SOCKET", NULL);
    daemon_set_environment(d, "LISTEN_FDS", NULL);
    daemon_set_environment(d, "LISTEN_PID", NULL);
    daemon_set_environment(d, "WATCHDOG_USEC", NULL);
    return d;
}

void daemon_free(Daemon *d)
{
    if (!d)
        return;
    process_free(d->process);
    fd_store_free(d->store);
    g_strfreev(d->environment);
    g_free(d->dir);
    g_free(d->bus_address);
    g_free(d->state);
    g_free(d->socket);
    g_free(d);
}

void daemon_set_environment(Daemon *d, const char *name, const char *value)
{
    d->environment = value ? g_environ_setenv(d->environment, name, value, TRUE)
                           : g_environ_unsetenv(d->environment, name);
}

void daemon_use_store(Daemon *d)
{
    d->store = fd_store_new(d->dir);
    daemon_set_environment(d, "NOTIFY_SOCKET", fd_store_address(d->store));
}

unsigned daemon_count_kept(Daemon *d)
{
    unsigned n = 0;

    for (const int *fd = fd_store_fds(d->store); *fd >= 0; fd++)
        n++;
    return n;
}

void daemon_start(Daemon *d)
{
    const char *program = g_getenv("VMDISKD");
    g_autofree char *command = g_strdup_printf(
        "%s%s --listen %s", g_getenv("VMDISK_TEST_VALGRIND") ? VALGRIND : "", program, d->socket);
    g_auto(GStrv) argv = g_strsplit(command, " ", -1);
    const int *fds;

    g_assert_nonnull(program);
    g_assert_false(daemon_is_running(d));
    g_clear_pointer(&d->process, process_free);
    fds = d->store ? fd_store_fds(d->store) : NULL;
    if (fds && *fds >= 0)
        d->process = process_start_passing(argv, d->environment, fds, fd_store_names(d->store));
    else
        d->process = process_start(argv, d->environment, NULL);
}

void daemon_stop(Daemon *d)
{
    g_assert_true(daemon_is_running(d));
    process_signal(d->process, SIGTERM);
    daemon_wait(d);
}

void daemon_kill(Daemon *d)
{
    process_end(d->process, SIGKILL);
}

void daemon_signal(Daemon *d, int signal_number)
{
    process_signal(d->process, signal_number);
}

void daemon_wait(Daemon *d)
{
    g_assert_cmpint(process_wait(d->process), ==, 0);
}

bool daemon_is_running(Daemon *d)
{
    return d->process && process_is_running(d->process);
}

bool daemon_is_stopped(Daemon *d)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)daemon_pid(d));
    g_autofree char *text = NULL;

    /* proc(5): the state follows the name, which ends at the last parenthesis. */
    return g_file_get_contents(path, &text, NULL, NULL) && strrchr(text, ')') &&
           strrchr(text, ')')[2] == 'T';
}

const char *daemon_socket(const Daemon *d)
{
    return d->socket;
}

const char *daemon_state(const Daemon *d)
{
    return d->state;
}

pid_t daemon_pid(const Daemon *d)
{
    return process_pid(d->process);
}
