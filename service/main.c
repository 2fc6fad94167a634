/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskd: options, and the order in which the parts come up and go down.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "bus.h"
#include "listener.h"
#include "log.h"
#include "loop.h"
#include "store.h"
#include "text.h"

/* How long the bus name waits for the VMs of the store. */
#define IN_STEP_USEC (UINT64_C(2) * 1000000)

typedef struct Options {
    bool user;
    const char *listen;
} Options;

/* The process's one root object. */
typedef struct Daemon {
    sd_event *event;
    sd_bus *connection;
    Bus *bus;
    Ledger *ledger;
    Manager *manager;
    Listener *listener;
    Loop *loop;
} Daemon;

static void print_help(void)
{
    printf(
        "vmdiskd [OPTION…]\n\n"
        "Live disk operations on virtual machines, as a D-Bus service.\n\n"
        "  -h --help         Show this help and exit\n"
        "     --version      Show the version and exit\n"
        "     --user         Serve this user's own VMs on the session bus\n"
        "     --listen PATH  Make the socket on which QEMU dials in, where systemd passes none\n\n"
        "Normally started by systemd; see vmdiskd(8).\n");
}

/* 1: go on; else the exit status is in ret_status. */
static int parse_options(int argc, char **argv, Options *ret, int *ret_status)
{
    enum { OPTION_VERSION = 256, OPTION_USER, OPTION_LISTEN };
    static const struct option table[] = {
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPTION_VERSION},
        {"user", no_argument, NULL, OPTION_USER},
        {"listen", required_argument, NULL, OPTION_LISTEN},
        {},
    };
    Options o = {};
    int c;

    while ((c = getopt_long(argc, argv, "h", table, NULL)) >= 0) {
        switch (c) {
        case 'h':
            print_help();
            *ret_status = EXIT_SUCCESS;
            return 0;
        case OPTION_VERSION:
            printf("vmdiskd %s\n", VMDISK_VERSION);
            *ret_status = EXIT_SUCCESS;
            return 0;
        case OPTION_USER:
            o.user = true;
            break;
        case OPTION_LISTEN:
            o.listen = optarg;
            break;
        default:
            *ret_status = 2;
            return 0;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "vmdiskd: '%s' is not an option. \"vmdiskd --help\" lists them.\n",
                argv[optind]);
        *ret_status = 2;
        return 0;
    }
    *ret = o;
    return 1;
}

/* The directory of the image record; the caller frees. NULL without memory or without a home. */
static char *state_path(bool user)
{
    const char *passed = getenv("STATE_DIRECTORY"), *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");

    if (passed)
        return strdup(passed);
    if (!user)
        return strdup("/var/lib/vmdisk");
    if (state && *state)
        return text_format("%s/vmdisk", state);
    return home ? text_format("%s/.local/state/vmdisk", home) : NULL;
}

/* Makes the directory and those above it that are missing. */
static int make_directory(const char *path)
{
    _cleanup_(freep) char *copy = strdup(path);
    if (!copy)
        return -ENOMEM;

    for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(copy, 0700); /* the last one tells */
        *slash = '/';
    }
    return mkdir(copy, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int open_ledger(Daemon *d, bool user)
{
    _cleanup_(freep) char *path = state_path(user);

    int r = path ? make_directory(path) : -ENOENT;
    if (r >= 0)
        r = ledger_new(path, &d->ledger);
    if (r < 0)
        log_line(LOG_ERR, NULL,
                 "The state directory %s cannot be used: %s. Set STATE_DIRECTORY to one that can",
                 path ? path : "", strerror(-r));
    return r;
}

static int open_bus(Daemon *d, bool user)
{
    int r = user ? sd_bus_open_user_with_description(&d->connection, "vmdiskd")
                 : sd_bus_open_system_with_description(&d->connection, "vmdiskd");
    if (r < 0) {
        log_line(LOG_ERR, NULL, "The %s bus cannot be reached: %s", user ? "session" : "system",
                 strerror(-r));
        return r;
    }
    (void)sd_bus_set_exit_on_disconnect(d->connection, true);
    r = bus_new(d->connection, user ? GATE_USER : GATE_SYSTEM, &d->bus);
    if (r >= 0)
        r = manager_new(d->event, d->ledger, &bus_observer, d->bus, &d->manager);
    if (r >= 0)
        r = bus_publish(d->bus, d->manager);
    if (r >= 0)
        r = sd_bus_attach_event(d->connection, d->event, SD_EVENT_PRIORITY_NORMAL);
    if (r < 0)
        log_line(LOG_ERR, NULL, "The objects cannot be published: %s", strerror(-r));
    return r;
}

/* The one call that waits for the bus: nothing is served before the answer. */
static int take_name(Daemon *d)
{
    int r = sd_bus_request_name(d->connection, BUS_NAME, /* flags= */ 0);
    if (r == -EEXIST)
        log_line(LOG_ERR, NULL, "Another vmdiskd is on this bus already (it owns " BUS_NAME ").");
    else if (r < 0)
        log_line(LOG_ERR, NULL, "The bus name " BUS_NAME " cannot be taken: %s", strerror(-r));
    return r;
}

/* The path to listen on: the option, or a user's default; NULL for none. The caller frees. */
static char *listen_path(const Options *o)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (o->listen)
        return strdup(o->listen);
    return o->user && runtime ? text_format("%s/vmdisk/monitor", runtime) : NULL;
}

/* What systemd passes: connections that a process before this one has kept, and the socket. */
static int take_passed(Daemon *d, int *ret_listener)
{
    char **names = NULL;

    int n = sd_listen_fds_with_names(/* unset_environment= */ 1, &names);
    for (int i = 0; i < n; i++) {
        int fd = SD_LISTEN_FDS_START + i;

        if (store_is_ours(names[i]))
            store_resume(d->manager, fd, names[i]);
        else if (*ret_listener < 0 &&
                 sd_is_socket(fd, AF_UNIX, SOCK_STREAM, /* listening= */ 1) > 0)
            *ret_listener = fd;
        else
            close(fd);
        free(names[i]);
    }
    free(names);
    return n < 0 ? n : 0;
}

/* Nobody is to meet a host that is half known. */
static void wait_until_in_step(Daemon *d)
{
    uint64_t now, end;

    if (sd_event_now(d->event, CLOCK_MONOTONIC, &now) < 0)
        return;
    end = now + IN_STEP_USEC;
    while (!manager_is_in_step(d->manager) && now < end) {
        if (sd_event_run(d->event, end - now) < 0 ||
            sd_event_now(d->event, CLOCK_MONOTONIC, &now) < 0)
            return;
    }
}

static int open_listener(Daemon *d, const Options *o, int passed)
{
    _cleanup_(freep) char *path = listen_path(o);
    int fd = passed, r;

    if (fd < 0 && path) {
        r = listener_open(path, &fd);
        if (r < 0) {
            log_line(LOG_ERR, NULL, "The socket %s cannot be made: %s", path,
                     r == -EADDRINUSE ? "another process listens on it" : strerror(-r));
            return r;
        }
    }
    if (fd < 0) {
        log_line(LOG_NOTICE, NULL,
                 "No socket for QEMU to dial in: systemd passed none and --listen is not given");
        return 0;
    }

    r = listener_new(d->event, fd, d->manager, &d->listener);
    if (r < 0)
        log_line(LOG_ERR, NULL, "The socket for QEMU cannot be used: %s", strerror(-r));
    return r;
}

static int daemon_start(Daemon *d, const Options *o)
{
    int passed = -1;

    int r = sd_event_default(&d->event);
    if (r < 0)
        return r;
    r = open_ledger(d, o->user);
    if (r < 0)
        return r;
    r = open_bus(d, o->user);
    if (r < 0)
        return r;
    manager_set_keeper(d->manager, &store_keeper, /* userdata= */ NULL);
    r = take_passed(d, &passed);
    if (r < 0)
        return r;
    wait_until_in_step(d);
    /* Whoever sees the name may tell us to stop, and finds signals minded. */
    r = loop_new(d->event, d->connection, d->manager, passed >= 0, &d->loop);
    if (r < 0)
        return r;
    r = take_name(d);
    if (r < 0)
        return r;
    return open_listener(d, o, passed);
}

/* The bus outlives the manager, whose last answers still go out; without a word to the rest. */
static void daemon_stop(Daemon *d)
{
    loop_free(d->loop);
    listener_free(d->listener);
    manager_free(d->manager);
    ledger_free(d->ledger);
    if (d->connection)
        (void)sd_bus_flush(d->connection);
    bus_free(d->bus);
    sd_bus_flush_close_unref(d->connection);
    sd_event_unref(d->event);
}

int main(int argc, char **argv)
{
    Options options;
    Daemon d = {};
    int status;

    if (parse_options(argc, argv, &options, &status) <= 0)
        return status;

    int r = daemon_start(&d, &options);
    if (r >= 0)
        r = loop_run(d.loop);
    daemon_stop(&d);
    /* sd-bus ends the loop with an exit code of its own when the bus goes away. */
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
