/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "listener.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "log.h"

/* Connections that wait to be accepted. */
#define LISTENER_BACKLOG 128
/* After a failure to accept (no descriptors left), the socket rests, or the loop would spin. */
#define LISTENER_REST_USEC UINT64_C(1000000)

struct Listener {
    int fd;
    Manager *manager;
    sd_event_source *source;
    sd_event_source *rest;
};

static int on_rested(sd_event_source *source, uint64_t usec, void *userdata)
{
    Listener *l = userdata;

    return sd_event_source_set_enabled(l->source, SD_EVENT_ON);
}

static void take_rest(Listener *l, int error)
{
    log_line(LOG_WARNING, NULL,
             "A QEMU that dials in cannot be taken: %s; trying again in a second", strerror(error));
    (void)sd_event_source_set_enabled(l->source, SD_EVENT_OFF);
    (void)sd_event_source_set_time_relative(l->rest, LISTENER_REST_USEC);
    (void)sd_event_source_set_enabled(l->rest, SD_EVENT_ONESHOT);
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
    Listener *l = userdata;

    int connection = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (connection < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            take_rest(l, errno);
        return 0;
    }

    int r = manager_accept(l->manager, connection);
    if (r < 0)
        log_line(LOG_WARNING, NULL, "A QEMU that dialled in is not taken: %s",
                 r == -EUSERS ? "there are too many VMs already" : strerror(-r));
    return 0;
}

int listener_new(sd_event *event, int fd, Manager *manager, Listener **ret)
{
    _cleanup_(closep) int socket = fd;
    _cleanup_(listener_freep) Listener *l = calloc(1, sizeof(Listener));
    if (!l)
        return -ENOMEM;

    *l = (Listener){.fd = TAKE_FD(socket), .manager = manager};
    int r = sd_event_add_io(event, &l->source, l->fd, EPOLLIN, on_connection, l);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &l->rest, CLOCK_MONOTONIC, LISTENER_REST_USEC,
                                   /* accuracy= */ 0, on_rested, l);
    if (r < 0)
        return r;

    (void)sd_event_source_set_description(l->source, "listener");
    (void)sd_event_source_set_description(l->rest, "listener-rest");
    (void)sd_event_source_set_enabled(l->rest, SD_EVENT_OFF);
    *ret = TAKE_PTR(l);
    return 0;
}

Listener *listener_free(Listener *l)
{
    if (!l)
        return NULL;

    sd_event_source_disable_unref(l->source);
    sd_event_source_disable_unref(l->rest);
    if (l->fd >= 0)
        close(l->fd);
    free(l);
    return NULL;
}

/* A socket file outlives its process: only a connection tells whether somebody listens. */
static bool is_alive(const struct sockaddr_un *address)
{
    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    return fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                       errno == EAGAIN);
}

static int make_parent(const char *path)
{
    _cleanup_(freep) char *parent = strdup(path);
    if (!parent)
        return -ENOMEM;

    char *slash = strrchr(parent, '/');
    if (!slash || slash == parent)
        return 0;
    *slash = '\0';
    return mkdir(parent, 0755) < 0 && errno != EEXIST ? -errno : 0;
}

int listener_open(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat st;

    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);

    int r = make_parent(path);
    if (r < 0)
        return r;
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return -EEXIST;
        if (is_alive(&address))
            return -EADDRINUSE;
        if (unlink(path) < 0)
            return -errno;
    }

    _cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;

    /* Owner and group may dial in, as with the socket unit. */
    mode_t old = umask(0117);
    r = bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
    umask(old);
    if (r < 0)
        return r;
    if (listen(fd, LISTENER_BACKLOG) < 0)
        return -errno;

    *ret_fd = TAKE_FD(fd);
    return 0;
}
