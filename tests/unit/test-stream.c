/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The stream on one end of a socketpair, the test's bare hands on the other.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "event-wait.h"

typedef enum FreeWhen {
    FREE_NEVER,
    FREE_IN_MESSAGE,
    FREE_IN_CLOSED,
} FreeWhen;

typedef struct Fixture {
    sd_event *event;
    int peer; /* the test's end */
    Stream *stream;
    FreeWhen free_when;

    GString *seen; /* every message */
    unsigned messages;
    unsigned closed;
    int error;
} Fixture;

static void on_message(Stream *s, json_object *message, void *userdata)
{
    Fixture *f = userdata;

    g_assert_true(s == f->stream);
    g_assert_cmpuint(f->closed, ==, 0);
    f->messages++;
    if (f->seen->len < 4096)
        g_string_append(f->seen, json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN));
    if (f->free_when == FREE_IN_MESSAGE)
        f->stream = stream_free(f->stream);
}

static void on_closed(Stream *s, int error, void *userdata)
{
    Fixture *f = userdata;

    g_assert_true(s == f->stream);
    f->closed++;
    f->error = error;
    if (f->free_when == FREE_IN_CLOSED)
        f->stream = stream_free(f->stream);
}

static const StreamObserver observer = {.message = on_message, .closed = on_closed};

static void start(Fixture *f, bool resync)
{
    int fds[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    f->peer = fds[0];
    g_assert_cmpint(stream_new(f->event, fds[1], resync, &observer, f, &f->stream), ==, 0);
    g_assert_cmpint(stream_get_fd(f->stream), ==, fds[1]);
}

static void set_up(Fixture *f, gconstpointer data)
{
    f->peer = -1;
    f->seen = g_string_new(NULL);
    g_assert_cmpint(sd_event_new(&f->event), ==, 0);
    start(f, GPOINTER_TO_INT(data));
}

static void hang_up(Fixture *f)
{
    if (f->peer >= 0)
        g_assert_no_errno(close(f->peer));
    f->peer = -1;
}

static void tear_down(Fixture *f, gconstpointer data)
{
    f->stream = stream_free(f->stream);
    hang_up(f);
    g_string_free(f->seen, TRUE);
    sd_event_unref(f->event);
}

/* Sends the bytes as the stream takes them, until all are sent or the stream has had enough. */
static void push(Fixture *f, const char *bytes, size_t n)
{
    while (n > 0 && f->closed == 0) {
        ssize_t sent = send(f->peer, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0)
            g_assert_cmpint(errno, ==, EAGAIN);
        else {
            bytes += sent;
            n -= (size_t)sent;
        }
        event_wait_idle(f->event);
    }
}

static void push_text(Fixture *f, const char *text)
{
    push(f, text, strlen(text));
}

static bool is_closed(gpointer data)
{
    const Fixture *f = data;

    return f->closed > 0;
}

static void expect_closed(Fixture *f, int error)
{
    event_wait_until(f->event, "closed()", is_closed, f);
    event_wait_idle(f->event);
    g_assert_cmpuint(f->closed, ==, 1);
    g_assert_cmpint(f->error, ==, error);
}

static void test_one_byte_packets(Fixture *f, gconstpointer data)
{
    const char *text = "{\"a\":[1,{\"b\":\"\\\"}\"}]}\r\n {\"c\":null}";

    for (const char *c = text; *c; c++)
        push(f, c, 1);
    g_assert_cmpstr(f->seen->str, ==, "{\"a\":[1,{\"b\":\"\\\"}\"}]}{\"c\":null}");
    g_assert_cmpuint(f->closed, ==, 0);
}

static void test_many_in_one_packet(Fixture *f, gconstpointer data)
{
    push_text(f, "{\"n\":1}\r\n{\"n\":2}{\"n\":3} \n {\"n\":4}\n{\"n\":");
    g_assert_cmpstr(f->seen->str, ==, "{\"n\":1}{\"n\":2}{\"n\":3}{\"n\":4}");
    push_text(f, "5}");
    g_assert_cmpuint(f->messages, ==, 5);
}

/* More than the turn's limit, in pieces that are cut at any place. */
static void test_long_message(Fixture *f, gconstpointer data)
{
    g_autofree char *filling = g_strnfill(3 * STREAM_READ_TURN_MAX, 'x');
    g_autofree char *text = g_strdup_printf("{\"a\":\"%s\"}\r\n{\"b\":1}", filling);

    push_text(f, text);
    g_assert_cmpuint(f->messages, ==, 2);
}

static void test_garbage_20_mib(Fixture *f, gconstpointer data)
{
    g_autofree char *filling = g_strnfill(20 * 1024 * 1024, 'x');

    push_text(f, "{\"a\":\"");
    push_text(f, filling);
    expect_closed(f, -EMSGSIZE);
    g_assert_cmpuint(f->messages, ==, 0);
}

static void test_errors_of_framing(Fixture *f, gconstpointer data)
{
    push_text(f, "{\"good\":1}\n[]{\"never\":1}");
    expect_closed(f, -EBADMSG);
    g_assert_cmpstr(f->seen->str, ==, "{\"good\":1}");
    g_assert_cmpint(stream_send_bytes(f->stream, "x", 1), ==, -ENOTCONN);
}

static void test_end_of_file(Fixture *f, gconstpointer data)
{
    hang_up(f);
    expect_closed(f, 0);
}

static void test_end_of_file_in_message(Fixture *f, gconstpointer data)
{
    push_text(f, "{\"good\":1}\n{\"half\":[1,");
    hang_up(f);
    expect_closed(f, 0);
    g_assert_cmpstr(f->seen->str, ==, "{\"good\":1}");
}

static void test_messages_before_end_of_file(Fixture *f, gconstpointer data)
{
    const char *text = "{\"a\":1}\n{\"b\":2}\n";

    g_assert_cmpint(send(f->peer, text, strlen(text), 0), ==, strlen(text));
    hang_up(f);
    expect_closed(f, 0);
    g_assert_cmpstr(f->seen->str, ==, "{\"a\":1}{\"b\":2}");
}

static void test_resync(Fixture *f, gconstpointer data)
{
    push_text(f, "half\": {}}]}");
    push_text(f, "{\"still\": \"the old line\"}");
    push_text(f, "\r");
    push_text(f, "\n");
    push_text(f, "{\"a\":1}\r\n");
    g_assert_cmpstr(f->seen->str, ==, "{\"a\":1}");
}

static void test_resync_in_one_packet(Fixture *f, gconstpointer data)
{
    push_text(f, "half\": {}}]}\r\n{\"a\":1}\r\n{\"b\":2}\r\n");
    g_assert_cmpstr(f->seen->str, ==, "{\"a\":1}{\"b\":2}");
}

static void test_free_in_message(Fixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_MESSAGE;
    push_text(f, "{\"a\":1}\n{\"b\":2}\n[");
    g_assert_null(f->stream);
    g_assert_cmpuint(f->messages, ==, 1);
    g_assert_cmpuint(f->closed, ==, 0);
    g_assert_cmpint(send(f->peer, "x", 1, MSG_NOSIGNAL), ==, -1);
}

static void test_free_in_closed(Fixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_CLOSED;
    push_text(f, "{\"a\":1}\n[]\n");
    g_assert_null(f->stream);
    g_assert_cmpuint(f->messages, ==, 1);
    g_assert_cmpuint(f->closed, ==, 1);
}

/* What the stream has written, up to n bytes. */
static size_t take(Fixture *f, char *bytes, size_t n)
{
    ssize_t taken = recv(f->peer, bytes, n, MSG_DONTWAIT);

    if (taken < 0)
        g_assert_cmpint(errno, ==, EAGAIN);
    return taken < 0 ? 0 : (size_t)taken;
}

static void test_send(Fixture *f, gconstpointer data)
{
    json_object *message = json_tokener_parse("{\"path\":\"/a/b\",\"n\":[1,2]}");
    char bytes[128] = "";

    g_assert_cmpint(stream_send(f->stream, message), ==, 0);
    g_assert_cmpint(stream_send_bytes(f->stream, "\x01", 1), ==, 0);
    take(f, bytes, sizeof(bytes) - 1);
    g_assert_cmpstr(bytes, ==, "{\"path\":\"/a/b\",\"n\":[1,2]}\n\x01");
    json_object_put(message);
}

/* A numbered message of about 10 kB. */
static int send_numbered(Fixture *f, unsigned number)
{
    g_autofree char *filling = g_strnfill(10000, 'x');
    json_object *message = json_object_new_object();

    json_object_object_add(message, "n", json_object_new_int64(number));
    json_object_object_add(message, "x", json_object_new_string(filling));
    int r = stream_send(f->stream, message);
    json_object_put(message);
    return r;
}

static void check_numbered(const GString *text, unsigned n)
{
    g_auto(GStrv) lines = g_strsplit(text->str, "\n", -1);

    g_assert_cmpuint(g_strv_length(lines), ==, n + 1);
    g_assert_cmpstr(lines[n], ==, "");
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *head = g_strdup_printf("{\"n\":%u,\"x\":\"x", i);

        g_assert_true(g_str_has_prefix(lines[i], head));
        g_assert_true(g_str_has_suffix(lines[i], "x\"}"));
    }
}

static void test_peer_does_not_read(Fixture *f, gconstpointer data)
{
    g_autoptr(GString) text = g_string_new(NULL);
    char bytes[8192];
    unsigned n = 0;
    size_t taken;
    int r;

    do {
        r = send_numbered(f, n);
        n += r == 0;
    } while (r == 0);

    g_assert_cmpint(r, ==, -ENOBUFS);
    g_assert_cmpuint(n, >=, STREAM_WRITE_MAX / 10100);
    g_assert_cmpuint(n, <, 10 * STREAM_WRITE_MAX / 10000);
    event_wait_idle(f->event);
    g_assert_cmpuint(f->closed, ==, 0);

    /* It reads after all: everything arrives whole and in order, but the refused message. */
    do {
        taken = take(f, bytes, sizeof(bytes));
        g_string_append_len(text, bytes, (gssize)taken);
        event_wait_idle(f->event);
    } while (taken > 0);
    check_numbered(text, n);
    g_assert_cmpint(send_numbered(f, n), ==, 0);
}

/* The peer has gone, but what it said before still counts. */
static void test_send_to_nobody(Fixture *f, gconstpointer data)
{
    const char *text = "{\"last\":\"words\"}\n";

    g_assert_cmpint(send(f->peer, text, strlen(text), 0), ==, strlen(text));
    hang_up(f);
    g_assert_cmpint(send_numbered(f, 0), ==, -ENOTCONN);
    g_assert_cmpint(send_numbered(f, 1), ==, -ENOTCONN);
    g_assert_cmpuint(f->closed, ==, 0); /* never from inside */
    expect_closed(f, 0);
    g_assert_cmpstr(f->seen->str, ==, "{\"last\":\"words\"}");
}

/* A peer that only stops reading for good would leave us with commands that cannot be sent. */
static void test_peer_shuts_its_reading(Fixture *f, gconstpointer data)
{
    g_assert_no_errno(shutdown(f->peer, SHUT_RD));
    g_assert_cmpint(send_numbered(f, 0), ==, -ENOTCONN);
    expect_closed(f, 0);
}

/* What waited to be written when the peer left. */
static void test_peer_leaves_with_writes_queued(Fixture *f, gconstpointer data)
{
    while (send_numbered(f, 0) == 0)
        ;
    hang_up(f);
    event_wait_until(f->event, "closed()", is_closed, f);
    g_assert_true(f->error == 0 || f->error == -ECONNRESET);
}

/* The socket's flags are shared with whoever passed it to us. */
static void test_socket_made_blocking(Fixture *f, gconstpointer data)
{
    int fd = stream_get_fd(f->stream);
    int flags = fcntl(fd, F_GETFL);

    g_assert_cmpint(flags & O_NONBLOCK, !=, 0);
    g_assert_no_errno(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK));

    /* As many bytes as several full reads take: the next one finds nothing. */
    g_autofree char *spaces = g_strnfill(STREAM_READ_TURN_MAX / 4, ' ');
    push_text(f, spaces);
    push_text(f, "{\"a\":1}");
    g_assert_cmpuint(f->messages, ==, 1);
    test_peer_does_not_read(f, NULL);
}

static int count_turn(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (*(unsigned *)userdata)++;
    return 0;
}

/* A full socket and another source that always wants its turn: it gets it in between. */
static void test_flood_shares_the_loop(Fixture *f, gconstpointer data)
{
    int size = 8 * STREAM_READ_TURN_MAX, waiting;
    const char *line = "{\"event\":\"x\"}\n";
    sd_event_source *other;
    unsigned turns = 0;
    _cleanup_(closep) int always_ready = eventfd(1, EFD_CLOEXEC);

    if (setsockopt(f->peer, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0) {
        g_test_skip("Only root makes a socket's buffer larger than a turn");
        return;
    }

    g_autoptr(GString) flood = g_string_new(NULL);
    while (flood->len < 4 * STREAM_READ_TURN_MAX)
        g_string_append(flood, line);
    g_assert_cmpint(send(f->peer, flood->str, flood->len, MSG_DONTWAIT), ==, flood->len);

    g_assert_cmpint(sd_event_add_io(f->event, &other, always_ready, EPOLLIN, count_turn, &turns),
                    >=, 0);
    do {
        g_assert_cmpint(sd_event_run(f->event, 0), >, 0);
        g_assert_no_errno(ioctl(stream_get_fd(f->stream), FIONREAD, &waiting));
    } while (waiting > 0);

    g_assert_cmpuint(f->messages, ==, flood->len / strlen(line));
    g_assert_cmpuint(turns, >=, 3);
    sd_event_source_disable_unref(other);
}

static void test_no_stream_socket(Fixture *f, gconstpointer data)
{
    int fds[2];
    Stream *s = NULL;

    g_assert_no_errno(pipe(fds));
    g_assert_cmpint(stream_new(f->event, fds[0], false, &observer, f, &s), ==, -ENOTSOCK);
    g_assert_cmpint(fcntl(fds[0], F_GETFD), ==, -1); /* taken also on failure */
    close(fds[1]);

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
    g_assert_cmpint(stream_new(f->event, fds[0], false, &observer, f, &s), ==, -EPROTOTYPE);
    g_assert_cmpint(fcntl(fds[0], F_GETFD), ==, -1);
    close(fds[1]);

    g_assert_cmpint(stream_new(f->event, -1, false, &observer, f, &s), ==, -EBADF);
    g_assert_null(s);
}

static void add(const char *path, bool resync, void (*test)(Fixture *, gconstpointer))
{
    g_test_add(path, Fixture, GINT_TO_POINTER(resync), set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/stream/one-byte-packets", false, test_one_byte_packets);
    add("/stream/many-messages-in-one-packet", false, test_many_in_one_packet);
    add("/stream/message-longer-than-a-turn", false, test_long_message);
    add("/stream/garbage-20-mib", false, test_garbage_20_mib);
    add("/stream/errors-of-framing-end-it", false, test_errors_of_framing);
    add("/stream/end-of-file", false, test_end_of_file);
    add("/stream/end-of-file-in-a-message", false, test_end_of_file_in_message);
    add("/stream/messages-before-end-of-file-arrive", false, test_messages_before_end_of_file);
    add("/stream/resync", true, test_resync);
    add("/stream/resync-in-one-packet", true, test_resync_in_one_packet);
    add("/stream/free-in-message", false, test_free_in_message);
    add("/stream/free-in-closed", false, test_free_in_closed);
    add("/stream/send", false, test_send);
    add("/stream/peer-that-does-not-read", false, test_peer_does_not_read);
    add("/stream/send-to-nobody", false, test_send_to_nobody);
    add("/stream/peer-that-shuts-its-reading", false, test_peer_shuts_its_reading);
    add("/stream/peer-that-leaves-with-writes-queued", false, test_peer_leaves_with_writes_queued);
    add("/stream/socket-made-blocking-by-others", false, test_socket_made_blocking);
    add("/stream/flood-shares-the-loop", false, test_flood_shares_the_loop);
    add("/stream/not-a-stream-socket", false, test_no_stream_socket);
    return g_test_run();
}
