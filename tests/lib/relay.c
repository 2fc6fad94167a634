/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Stands between a QEMU's monitor and the daemon.
 */
#include "relay.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct Relay {
    int monitor, daemon;
    GThread *thread;
    gint stop; /* atomic */
    GMutex lock;
    GString *said; /* by the daemon */
};

/* The other side has not read what was sent. */
static bool is_unread(int fd)
{
    int unread = 0;

    return ioctl(fd, SIOCOUTQ, &unread) == 0 && unread > 0;
}

static bool send_all(int fd, const char *bytes, ssize_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, bytes, (size_t)n, MSG_NOSIGNAL);

        if (sent < 0)
            return false;
        bytes += sent;
        n -= sent;
    }
    return true;
}

static bool send_one_by_one(Relay *r, const char *bytes, ssize_t n)
{
    for (ssize_t i = 0; i < n; i++) {
        if (!send_all(r->daemon, &bytes[i], 1))
            return false;
        while (is_unread(r->daemon) && !g_atomic_int_get(&r->stop))
            g_thread_yield();
    }
    return true;
}

static bool hand_on(Relay *r, const char *bytes, ssize_t n)
{
    g_mutex_lock(&r->lock);
    g_string_append_len(r->said, bytes, n);
    g_mutex_unlock(&r->lock);
    return send_all(r->monitor, bytes, n);
}

static gpointer run(gpointer data)
{
    Relay *r = data;
    char bytes[4096];

    while (!g_atomic_int_get(&r->stop)) {
        struct pollfd fds[] = {{r->monitor, POLLIN, 0}, {r->daemon, POLLIN, 0}};
        bool open = true;

        /* Looks at `stop` again from time to time. */
        if (poll(fds, G_N_ELEMENTS(fds), /* timeout= */ 100) < 0 && errno != EINTR)
            break;
        for (unsigned i = 0; i < G_N_ELEMENTS(fds) && open; i++) {
            ssize_t n = fds[i].revents ? recv(fds[i].fd, bytes, sizeof(bytes), 0) : -1;

            if (fds[i].revents)
                open = n > 0 && (i == 0 ? send_one_by_one(r, bytes, n) : hand_on(r, bytes, n));
        }
        if (!open)
            break;
    }
    shutdown(r->monitor, SHUT_RDWR);
    shutdown(r->daemon, SHUT_RDWR);
    return NULL;
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(fd, >=, 0);
    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    return fd;
}

Relay *relay_start(const char *path, int *ret_fd)
{
    Relay *r = g_new0(Relay, 1);
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    g_mutex_init(&r->lock);
    r->said = g_string_new(NULL);
    r->monitor = dial(path);
    r->daemon = pair[0];
    r->thread = g_thread_new("relay", run, r);
    *ret_fd = pair[1];
    return r;
}

void relay_free(Relay *r)
{
    if (!r)
        return;
    g_atomic_int_set(&r->stop, 1);
    g_thread_join(r->thread);
    close(r->monitor);
    close(r->daemon);
    g_mutex_clear(&r->lock);
    g_string_free(r->said, TRUE);
    g_free(r);
}

char *relay_said(Relay *r)
{
    g_mutex_lock(&r->lock);
    char *said = g_strdup(r->said->str);
    g_mutex_unlock(&r->lock);
    return said;
}
