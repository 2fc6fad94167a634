/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands are read by line: what comes here has been written by our own code, which ends each with
 * a newline, and anything else ends the test.
 */
#include "qmp-peer.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event-wait.h"

#define VERSION "{'qemu': {'micro': 22, 'minor': 2, 'major': 7}, 'package': 'Debian'}"

typedef enum RuleKind {
    RULE_ANSWER,
    RULE_SILENCE,
    RULE_HANG_UP,
} RuleKind;

typedef struct Rule {
    RuleKind kind;
    const char *member; /* "return" or "error" */
    json_object *value;
} Rule;

struct QmpPeer {
    sd_event *event;
    sd_event_source *source;
    int fd, other_fd;
    bool stopped;    /* takes no bytes */
    bool hanging_up; /* closes when everything is written */
    bool alone;      /* the other end has closed */
    GString *in, *out;
    GHashTable *rules;  /* name to Rule */
    GPtrArray *arrived; /* every QmpPeerCommand so far */
    GQueue waiting;     /* of them, those for qmp_peer_expect() */
};

static void rule_free(gpointer data)
{
    Rule *rule = data;

    json_object_put(rule->value);
    g_free(rule);
}

static void command_free(gpointer data)
{
    QmpPeerCommand *c = data;

    json_object_put(c->args);
    json_object_put(c->id);
    g_free(c->name);
    g_free(c);
}

static json_object *parse(const char *text)
{
    enum json_tokener_error error;
    json_object *value = json_tokener_parse_verbose(text, &error);

    if (error != json_tokener_success)
        g_error("%s: %s", json_tokener_error_desc(error), text);
    return value;
}

static void disconnect(QmpPeer *p)
{
    p->source = sd_event_source_disable_unref(p->source);
    if (p->fd >= 0)
        close(p->fd);
    p->fd = -1;
}

/* Writes what the socket takes now, and asks to be told when it takes more. */
static void flush(QmpPeer *p)
{
    while (p->fd >= 0 && p->out->len > 0) {
        ssize_t n = send(p->fd, p->out->str, p->out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            p->alone = true;
            disconnect(p);
            return;
        }
        g_string_erase(p->out, 0, n);
    }

    if (p->fd >= 0 && p->out->len == 0 && p->hanging_up)
        disconnect(p);
    if (p->fd >= 0) {
        uint32_t events = (p->stopped ? 0 : EPOLLIN) | (p->out->len > 0 ? EPOLLOUT : 0);
        g_assert_cmpint(sd_event_source_set_io_events(p->source, events), >=, 0);
    }
}

void qmp_peer_send(QmpPeer *p, const char *bytes, size_t n)
{
    g_string_append_len(p->out, bytes, (gssize)n);
    flush(p);
}

/* Takes the message. */
static void say(QmpPeer *p, json_object *message)
{
    g_autofree char *line =
        g_strdup_printf("%s\r\n", json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN));

    qmp_peer_send(p, line, strlen(line));
    json_object_put(message);
}

void qmp_peer_say(QmpPeer *p, const char *message)
{
    say(p, parse(message));
}

static void say_reply(QmpPeer *p, const QmpPeerCommand *c, const char *member, json_object *value)
{
    json_object *message = json_object_new_object();

    json_object_object_add(message, member, json_object_get(value));
    json_object_object_add(message, "id", json_object_get(c->id));
    say(p, message);
}

static json_object *make_error(const char *error_class, const char *text)
{
    json_object *error = json_object_new_object();

    json_object_object_add(error, "class", json_object_new_string(error_class));
    json_object_object_add(error, "desc", json_object_new_string(text));
    return error;
}

static void follow_rule(QmpPeer *p, const Rule *rule, const QmpPeerCommand *c)
{
    switch (rule->kind) {
    case RULE_ANSWER:
        say_reply(p, c, rule->member, rule->value);
        break;
    case RULE_SILENCE:
        break;
    case RULE_HANG_UP:
        qmp_peer_hang_up(p);
        break;
    }
}

static void take_command(QmpPeer *p, const char *line)
{
    json_object *message = parse(line);
    json_object *name, *args = NULL, *id = NULL;
    QmpPeerCommand *c = g_new0(QmpPeerCommand, 1);

    g_assert_true(json_object_object_get_ex(message, "execute", &name));
    json_object_object_get_ex(message, "arguments", &args);
    json_object_object_get_ex(message, "id", &id);
    c->name = g_strdup(json_object_get_string(name));
    c->args = json_object_get(args);
    c->id = json_object_get(id);
    json_object_put(message);
    g_ptr_array_add(p->arrived, c);

    const Rule *rule = g_hash_table_lookup(p->rules, c->name);
    if (rule)
        follow_rule(p, rule, c);
    else
        g_queue_push_tail(&p->waiting, c);
}

/* QEMU's lexer: a control byte ends whatever stood before it, with an error that has no id. */
static const char *skip_control_bytes(QmpPeer *p, const char *line)
{
    const char *byte = strrchr(line, '\x01');

    if (!byte)
        return line;
    qmp_peer_say(p, "{'error': {'class': 'GenericError', 'desc': 'JSON parse error, stray byte'}}");
    return byte + 1;
}

static void take_lines(QmpPeer *p)
{
    char *newline;

    while (p->fd >= 0 && (newline = memchr(p->in->str, '\n', p->in->len))) {
        g_autofree char *line = g_strndup(p->in->str, (gsize)(newline - p->in->str));

        g_string_erase(p->in, 0, newline - p->in->str + 1);
        take_command(p, skip_control_bytes(p, line));
    }
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    QmpPeer *p = userdata;
    char bytes[4096];

    if (revents & EPOLLOUT)
        flush(p);
    if (p->fd < 0 || !(revents & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        return 0;

    ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return 0;
    if (n <= 0) {
        p->alone = true;
        disconnect(p);
        return 0;
    }

    g_string_append_len(p->in, bytes, n);
    take_lines(p);
    return 0;
}

QmpPeer *qmp_peer_new(sd_event *event)
{
    QmpPeer *p = g_new0(QmpPeer, 1);
    int fds[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
    p->event = sd_event_ref(event);
    p->fd = fds[0];
    p->other_fd = fds[1];
    p->in = g_string_new(NULL);
    p->out = g_string_new(NULL);
    p->rules = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, rule_free);
    p->arrived = g_ptr_array_new_with_free_func(command_free);
    g_queue_init(&p->waiting);
    g_assert_cmpint(sd_event_add_io(event, &p->source, p->fd, EPOLLIN, on_io, p), >=, 0);

    qmp_peer_answer(p, "qmp_capabilities", "{}");
    qmp_peer_answer(p, "query-version", VERSION);
    return p;
}

void qmp_peer_free(QmpPeer *p)
{
    disconnect(p);
    if (p->other_fd >= 0)
        close(p->other_fd);
    g_queue_clear(&p->waiting);
    g_ptr_array_unref(p->arrived);
    g_hash_table_unref(p->rules);
    g_string_free(p->in, TRUE);
    g_string_free(p->out, TRUE);
    sd_event_unref(p->event);
    g_free(p);
}

int qmp_peer_take_fd(QmpPeer *p)
{
    int fd = p->other_fd;

    g_assert_cmpint(fd, >=, 0);
    p->other_fd = -1;
    return fd;
}

static void set_rule(QmpPeer *p, const char *command, RuleKind kind, const char *member,
                     json_object *value)
{
    Rule *rule = g_new(Rule, 1);

    *rule = (Rule){.kind = kind, .member = member, .value = value};
    g_hash_table_replace(p->rules, g_strdup(command), rule);
}

void qmp_peer_answer(QmpPeer *p, const char *command, const char *value)
{
    set_rule(p, command, RULE_ANSWER, "return", parse(value));
}

void qmp_peer_refuse(QmpPeer *p, const char *command, const char *error_class, const char *text)
{
    set_rule(p, command, RULE_ANSWER, "error", make_error(error_class, text));
}

void qmp_peer_keep_silent(QmpPeer *p, const char *command)
{
    set_rule(p, command, RULE_SILENCE, NULL, NULL);
}

void qmp_peer_hang_up_on(QmpPeer *p, const char *command)
{
    set_rule(p, command, RULE_HANG_UP, NULL, NULL);
}

void qmp_peer_let_wait(QmpPeer *p, const char *command)
{
    g_hash_table_remove(p->rules, command);
}

static bool is_waiting(gpointer data)
{
    QmpPeer *p = data;

    return !g_queue_is_empty(&p->waiting);
}

QmpPeerCommand *qmp_peer_take(QmpPeer *p)
{
    event_wait_until(p->event, "a command", is_waiting, p);
    return g_queue_pop_head(&p->waiting);
}

QmpPeerCommand *qmp_peer_expect(QmpPeer *p, const char *command)
{
    g_autofree char *what = g_strdup_printf("command %s", command);

    event_wait_until(p->event, what, is_waiting, p);

    QmpPeerCommand *c = g_queue_pop_head(&p->waiting);
    g_assert_cmpstr(c->name, ==, command);
    return c;
}

void qmp_peer_reply(QmpPeer *p, const QmpPeerCommand *c, const char *value)
{
    json_object *parsed = parse(value);

    say_reply(p, c, "return", parsed);
    json_object_put(parsed);
}

void qmp_peer_reply_error(QmpPeer *p, const QmpPeerCommand *c, const char *error_class,
                          const char *text)
{
    json_object *error = make_error(error_class, text);

    say_reply(p, c, "error", error);
    json_object_put(error);
}

void qmp_peer_greet(QmpPeer *p)
{
    qmp_peer_say(p, "{'QMP': {'version': " VERSION ", 'capabilities': ['oob']}}");
}

void qmp_peer_event(QmpPeer *p, const char *name, const char *data)
{
    json_object *message = parse("{'timestamp': {'seconds': 1700000000, 'microseconds': 123456}}");

    json_object_object_add(message, "event", json_object_new_string(name));
    if (data)
        json_object_object_add(message, "data", parse(data));
    say(p, message);
}

void qmp_peer_hang_up(QmpPeer *p)
{
    p->hanging_up = true;
    flush(p);
}

void qmp_peer_stop_reading(QmpPeer *p, bool stop)
{
    p->stopped = stop;
    flush(p);
}

bool qmp_peer_is_alone(const QmpPeer *p)
{
    return p->alone;
}

unsigned qmp_peer_count(const QmpPeer *p, const char *command)
{
    unsigned n = 0;

    for (guint i = 0; i < p->arrived->len; i++) {
        const QmpPeerCommand *c = g_ptr_array_index(p->arrived, i);

        n += g_str_equal(c->name, command);
    }
    return n;
}

const QmpPeerCommand *qmp_peer_at(const QmpPeer *p, unsigned i)
{
    return i < p->arrived->len ? g_ptr_array_index(p->arrived, i) : NULL;
}
