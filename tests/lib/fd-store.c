/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fd-store.h"

#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define MESSAGE_SIZE 4096

typedef struct Message {
    char text[MESSAGE_SIZE];
    int fd; /* -1 where none came with it */
} Message;

struct FdStore {
    char *path;
    int socket;

    /* A socket takes few messages (net.unix.max_dgram_qlen), and then whoever sends waits: they are
     * received by a thread, also while the test waits for the daemon. */
    GThread *thread;
    int stop;       /* eventfd for it */
    GMutex lock;    /* socket and queue */
    GQueue *queued; /* Message, not looked at yet */

    GArray *fds;      /* int, ended by -1 */
    GPtrArray *names; /* as many */
    GString *joined;
};

/* Locked. */
static bool receive_one(FdStore *s)
{
    Message *message = g_new0(Message, 1);
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {message->text, sizeof(message->text) - 1};
    struct msghdr m = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };

    message->fd = -1;
    if (recvmsg(s->socket, &m, MSG_CMSG_CLOEXEC) < 0) {
        g_free(message);
        return false;
    }
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            memcpy(&message->fd, CMSG_DATA(c), sizeof(message->fd));
    g_queue_push_tail(s->queued, message);
    return true;
}

static gpointer receive(gpointer data)
{
    FdStore *s = data;
    struct pollfd p[] = {{.fd = s->socket, .events = POLLIN}, {.fd = s->stop, .events = POLLIN}};

    while (poll(p, G_N_ELEMENTS(p), -1) >= 0 && !p[1].revents) {
        g_mutex_lock(&s->lock);
        while (receive_one(s))
            ;
        g_mutex_unlock(&s->lock);
    }
    return NULL;
}

static void message_free(gpointer data)
{
    Message *m = data;

    if (m->fd >= 0)
        close(m->fd);
    g_free(m);
}

FdStore *fd_store_new(const char *dir)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    FdStore *s = g_new0(FdStore, 1);
    const int none = -1;

    s->path = g_build_filename(dir, "notify", NULL);
    s->fds = g_array_new(FALSE, FALSE, sizeof(int));
    g_array_append_val(s->fds, none);
    s->names = g_ptr_array_new_with_free_func(g_free);
    s->joined = g_string_new(NULL);
    s->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_assert_cmpint(s->socket, >=, 0);
    g_assert_cmpuint(strlen(s->path), <, sizeof(address.sun_path));
    strcpy(address.sun_path, s->path);
    g_assert_cmpint(bind(s->socket, (const struct sockaddr *)&address, sizeof(address)), ==, 0);
    s->queued = g_queue_new();
    g_mutex_init(&s->lock);
    s->stop = eventfd(0, EFD_CLOEXEC);
    g_assert_cmpint(s->stop, >=, 0);
    s->thread = g_thread_new("fd-store", receive, s);
    return s;
}

static void drop(FdStore *s, guint i)
{
    close(g_array_index(s->fds, int, i));
    g_array_remove_index(s->fds, i);
    g_ptr_array_remove_index(s->names, i);
}

void fd_store_free(FdStore *s)
{
    if (!s)
        return;
    g_assert_cmpint(eventfd_write(s->stop, 1), ==, 0);
    g_thread_join(s->thread);
    close(s->stop);
    g_mutex_clear(&s->lock);
    g_queue_free_full(s->queued, message_free);
    while (s->names->len > 0)
        drop(s, 0);
    close(s->socket);
    unlink(s->path);
    g_array_unref(s->fds);
    g_ptr_array_unref(s->names);
    g_string_free(s->joined, TRUE);
    g_free(s->path);
    g_free(s);
}

const char *fd_store_address(const FdStore *s)
{
    return s->path;
}

/* A socket has one inode, whoever has it open under whatever number. */
static bool is_kept(const FdStore *s, int fd)
{
    struct stat new, old;

    g_assert_cmpint(fstat(fd, &new), ==, 0);
    for (guint i = 0; i < s->names->len; i++) {
        g_assert_cmpint(fstat(g_array_index(s->fds, int, i), &old), ==, 0);
        if (new.st_ino == old.st_ino &&new.st_dev == old.st_dev)
            return true;
    }
    return false;
}

static void keep(FdStore *s, int fd, const char *name)
{
    if (is_kept(s, fd)) {
        close(fd);
        return;
    }
    g_array_insert_val(s->fds, s->names->len, fd);
    g_ptr_array_add(s->names, g_strdup(name));
}

static void forget(FdStore *s, const char *name)
{
    for (guint i = s->names->len; i-- > 0;)
        if (strcmp(g_ptr_array_index(s->names, i), name) == 0)
            drop(s, i);
}

/* Lines of NAME=VALUE. fd: -1 where none came with them. */
static void take_message(FdStore *s, const char *text, int fd)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    const char *name = "stored";

    for (char **line = lines; *line; line++)
        if (g_str_has_prefix(*line, "FDNAME="))
            name = *line + strlen("FDNAME=");
    if (g_strv_contains((const char *const *)lines, "FDSTOREREMOVE=1"))
        forget(s, name);
    if (fd < 0)
        return;
    g_assert_true(g_strv_contains((const char *const *)lines, "FDSTORE=1"));
    keep(s, fd, name);
}

static bool is_hung_up(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR));
}

const int *fd_store_fds(FdStore *s)
{
    Message *m;

    g_mutex_lock(&s->lock);
    while (receive_one(s))
        ;
    while ((m = g_queue_pop_head(s->queued))) {
        take_message(s, m->text, m->fd);
        g_free(m);
    }
    g_mutex_unlock(&s->lock);
    for (guint i = s->names->len; i-- > 0;)
        if (is_hung_up(g_array_index(s->fds, int, i)))
            drop(s, i);
    return (const int *)s->fds->data;
}

const char *fd_store_names(FdStore *s)
{
    g_string_truncate(s->joined, 0);
    for (guint i = 0; i < s->names->len; i++)
        g_string_append_printf(s->joined, "%s%s", i > 0 ? ":" : "",
                               (const char *)g_ptr_array_index(s->names, i));
    return s->joined->str;
}
