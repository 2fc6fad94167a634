/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The socket's flags belong to whoever else has it open as well: the calls ask for themselves not
 * to block.
 */
#include "stream.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

/* Bytes taken with one call. */
#define STREAM_READ_SIZE (32U * 1024U)

struct Stream {
    unsigned n_ref; /* the owner's, and one while an event is handled */
    int fd;
    bool over; /* closed() was called, or the owner has freed the stream */
    bool held; /* nothing is written */
    sd_event_source *source;
    const StreamObserver *observer;
    void *userdata;
    Frame frame;

    /* Bytes that the socket has not taken yet: out[out_start] to out[out_end - 1]. */
    char *out;
    size_t out_start, out_end;
};

static Stream *stream_ref(Stream *s)
{
    s->n_ref++;
    return s;
}

static void stream_unref(Stream *s)
{
    s->n_ref--;
    if (s->n_ref > 0)
        return;

    frame_done(&s->frame);
    free(s->out);
    free(s);
}
DEFINE_CLEANUP(Stream, stream_unref)

static void stream_close(Stream *s, int error)
{
    if (s->over)
        return;

    s->over = true;
    sd_event_source_set_enabled(s->source, SD_EVENT_OFF);
    s->observer->closed(s, error, s->userdata);
}

static int stream_feed(Stream *s, const char *bytes, size_t n)
{
    while (n > 0 && !s->over) {
        size_t used;
        json_object *message;
        int r = frame_feed(&s->frame, bytes, n, &used, &message);
        if (r < 0)
            return r;

        bytes += used;
        n -= used;
        if (!message)
            continue;

        s->observer->message(s, message, s->userdata);
        json_object_put(message);
    }
    return 0;
}

static void stream_read(Stream *s)
{
    char bytes[STREAM_READ_SIZE];
    size_t taken = 0;

    while (taken < STREAM_READ_TURN_MAX && !s->over) {
        ssize_t n = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            stream_close(s, n < 0 ? -errno : 0);
            return;
        }

        int r = stream_feed(s, bytes, (size_t)n);
        if (r < 0) {
            stream_close(s, r);
            return;
        }

        taken += (size_t)n;
        if ((size_t)n < sizeof(bytes))
            return;
    }
}

/* Nothing can be written any more. What the peer has sent before is still worth reading: let the
 * reading side come to the end by itself. */
static void stream_stop_writing(Stream *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    s->out_start = s->out_end = 0;
}

/* -ENOTCONN: the connection is over; EOF is on its way. */
static int stream_write(Stream *s)
{
    if (s->held)
        return sd_event_source_set_io_events(s->source, EPOLLIN);

    while (s->out_start < s->out_end) {
        ssize_t n = send(s->fd, s->out + s->out_start, s->out_end - s->out_start,
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            stream_stop_writing(s);
            return -ENOTCONN;
        }
        s->out_start += (size_t)n;
    }

    bool more = s->out_start < s->out_end;
    if (!more)
        s->out_start = s->out_end = 0;
    return sd_event_source_set_io_events(s->source, EPOLLIN | (more ? EPOLLOUT : 0));
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    _cleanup_(stream_unrefp) Stream *s = stream_ref(userdata);

    if (revents & EPOLLOUT)
        (void)stream_write(s);
    if (revents & (EPOLLIN | EPOLLHUP | EPOLLERR))
        stream_read(s);
    return 0;
}

static int set_up_socket(int fd)
{
    int type;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0)
        return -errno;
    if (type != SOCK_STREAM)
        return -EPROTOTYPE;

    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    return 0;
}

int stream_new(sd_event *event, int fd, bool resync, const StreamObserver *observer, void *userdata,
               Stream **ret)
{
    _cleanup_(closep) int owned_fd = fd;
    _cleanup_(stream_freep) Stream *s = NULL;

    assert(observer && observer->message && observer->closed);

    int r = set_up_socket(fd);
    if (r < 0)
        return r;

    s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    *s = (Stream){.n_ref = 1, .fd = -1, .observer = observer, .userdata = userdata};

    r = frame_init(&s->frame, resync);
    if (r < 0)
        return r;

    r = sd_event_add_io(event, &s->source, fd, EPOLLIN, on_io, s);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(s->source, "stream");

    s->fd = TAKE_FD(owned_fd);
    *ret = TAKE_PTR(s);
    return 0;
}

Stream *stream_free(Stream *s)
{
    if (!s)
        return NULL;

    s->over = true;
    s->source = sd_event_source_disable_unref(s->source);
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
    stream_unref(s);
    return NULL;
}

/* Room for n more bytes at the end of what waits. */
static int stream_reserve(Stream *s, size_t n)
{
    size_t waiting = s->out_end - s->out_start;

    if (n > STREAM_WRITE_MAX - waiting)
        return -ENOBUFS;

    if (waiting > 0)
        memmove(s->out, s->out + s->out_start, waiting);
    s->out_start = 0;
    s->out_end = waiting;

    char *out = realloc(s->out, waiting + n);
    if (!out)
        return -ENOMEM;
    s->out = out;
    return 0;
}

static void stream_append(Stream *s, const char *bytes, size_t n)
{
    memcpy(s->out + s->out_end, bytes, n);
    s->out_end += n;
}

int stream_send_bytes(Stream *s, const char *bytes, size_t n)
{
    if (s->over)
        return -ENOTCONN;

    int r = stream_reserve(s, n);
    if (r < 0)
        return r;

    stream_append(s, bytes, n);
    return stream_write(s);
}

int stream_send(Stream *s, json_object *message)
{
    size_t n;
    const char *text = json_object_to_json_string_length(
        message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);
    if (!text)
        return -ENOMEM;

    if (s->over)
        return -ENOTCONN;

    int r = stream_reserve(s, n + 1);
    if (r < 0)
        return r;

    stream_append(s, text, n);
    stream_append(s, "\n", 1);
    return stream_write(s);
}

void stream_hold(Stream *s, bool hold)
{
    s->held = hold;
    if (!s->over)
        (void)stream_write(s);
}

int stream_set_priority(Stream *s, int64_t priority)
{
    return sd_event_source_set_priority(s->source, priority);
}

int stream_get_fd(const Stream *s)
{
    return s->fd;
}
