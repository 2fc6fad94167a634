/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A synchronous QMP client.
 */
#include "qmp-client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "wait.h"

/* A chain of 200 images nests deep; see service/stream.h. */
#define DEPTH_MAX 2048

struct QmpClient {
    int fd;
    GString *input;
    GQueue events; /* json_object, oldest first */
};

static void read_more(QmpClient *c, gint64 deadline)
{
    struct pollfd pollfd = {.fd = c->fd, .events = POLLIN};
    gint64 left = deadline - g_get_monotonic_time();
    char data[65536];
    ssize_t n;

    if (left < 0 || poll(&pollfd, 1, (int)(left / 1000) + 1) == 0)
        g_error("Waited too long for QEMU on the test's monitor");
    n = read(c->fd, data, sizeof(data));
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0)
        g_error("QEMU has closed the test's monitor");
    g_string_append_len(c->input, data, n);
}

/* QEMU ends each message with a newline and has none inside. */
static json_object *read_message(QmpClient *c)
{
    const gint64 deadline = wait_deadline();
    json_tokener *tokener = json_tokener_new_ex(DEPTH_MAX);
    json_object *message;
    char *end;

    for (;;) {
        end = memchr(c->input->str, '\n', c->input->len);
        if (end)
            break;
        read_more(c, deadline);
    }
    message = json_tokener_parse_ex(tokener, c->input->str, (int)(end - c->input->str));
    if (!message)
        g_error("QEMU's message cannot be parsed: %s", c->input->str);
    json_tokener_free(tokener);
    g_string_erase(c->input, 0, end + 1 - c->input->str);
    return message;
}

/* The next message that is no event. */
static json_object *read_reply(QmpClient *c)
{
    for (;;) {
        json_object *message = read_message(c);

        if (!json_object_object_get_ex(message, "event", NULL))
            return message;
        g_queue_push_tail(&c->events, message);
    }
}

QmpClient *qmp_client_new(int fd)
{
    QmpClient *c = g_new0(QmpClient, 1);
    json_object *greeting;

    c->fd = fd;
    c->input = g_string_new(NULL);
    g_queue_init(&c->events);
    greeting = read_reply(c);
    g_assert_true(json_object_object_get_ex(greeting, "QMP", NULL));
    json_object_put(greeting);
    qmp_client_do(c, "qmp_capabilities", NULL);
    return c;
}

static void put_event(gpointer event)
{
    json_object_put(event);
}

void qmp_client_free(QmpClient *c)
{
    if (!c)
        return;
    close(c->fd);
    g_string_free(c->input, TRUE);
    g_queue_clear_full(&c->events, put_event);
    g_free(c);
}

G_GNUC_PRINTF(3, 0)
static json_object *run(QmpClient *c, const char *command, const char *format, va_list arguments)
{
    g_autofree char *text = format ? g_strdup_vprintf(format, arguments) : g_strdup("{}");
    g_autofree char *line = g_strdup_printf("{\"execute\":\"%s\",\"arguments\":%s}\n", command,
                                            g_strdelimit(text, "'", '"'));
    size_t length = strlen(line), sent = 0;

    while (sent < length) {
        ssize_t n = write(c->fd, line + sent, length - sent);

        g_assert_cmpint(n, >, 0);
        sent += (size_t)n;
    }
    return read_reply(c);
}

G_GNUC_PRINTF(3, 0)
static json_object *run_well(QmpClient *c, const char *command, const char *format,
                             va_list arguments)
{
    json_object *reply = run(c, command, format, arguments), *value;

    if (!json_object_object_get_ex(reply, "return", &value))
        g_error("QEMU refuses %s: %s", command, json_object_to_json_string(reply));
    value = json_object_get(value);
    json_object_put(reply);
    return value;
}

json_object *qmp_client_command(QmpClient *c, const char *command, const char *arguments, ...)
{
    json_object *value;
    va_list list;

    va_start(list, arguments);
    value = run_well(c, command, arguments, list);
    va_end(list);
    return value;
}

void qmp_client_do(QmpClient *c, const char *command, const char *arguments, ...)
{
    va_list list;

    va_start(list, arguments);
    json_object_put(run_well(c, command, arguments, list));
    va_end(list);
}

char *qmp_client_refused(QmpClient *c, const char *command, const char *arguments, ...)
{
    json_object *reply;
    va_list list;
    char *text;

    va_start(list, arguments);
    reply = run(c, command, arguments, list);
    va_end(list);
    text = g_strdup(qmp_text(qmp_member(reply, "error"), "desc"));
    json_object_put(reply);
    return text;
}

json_object *qmp_client_wait_event(QmpClient *c, const char *name)
{
    for (;;) {
        json_object *event = g_queue_pop_head(&c->events), *data = NULL;

        if (!event)
            event = read_message(c);
        if (strcmp(qmp_text(event, "event"), name) == 0) {
            json_object_object_get_ex(event, "data", &data);
            data = json_object_get(data);
            json_object_put(event);
            return data;
        }
        json_object_put(event);
    }
}

bool qmp_client_has_event(QmpClient *c, const char *name)
{
    /* A round trip brings what QEMU has sent until now. */
    qmp_client_do(c, "query-version", NULL);
    for (GList *l = c->events.head; l; l = l->next)
        if (strcmp(qmp_text(l->data, "event"), name) == 0)
            return true;
    return false;
}

json_object *qmp_member(json_object *o, const char *key)
{
    json_object *value;

    if (!json_object_object_get_ex(o, key, &value))
        g_error("No %s in %s", key, json_object_to_json_string(o));
    return value;
}

const char *qmp_text(json_object *o, const char *key)
{
    return json_object_get_string(qmp_member(o, key));
}
