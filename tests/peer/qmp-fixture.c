/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The callbacks of the Qmp under test, and what is checked in each of them.
 */
#include "qmp-fixture.h"

#include <errno.h>
#include <string.h>

/* A flood is counted, not written down. */
#define LOG_MAX 4096

static void may_free(QmpFixture *f, FreeWhen now)
{
    if (f->free_when == now)
        f->q = qmp_free(f->q);
}

static void on_reply(Qmp *q, const QmpReply *reply, void *userdata)
{
    QmpFixture *f = userdata;

    g_assert_true(q == f->q);
    g_assert_nonnull(reply->error_class);
    g_assert_nonnull(reply->error_text);
    f->replies++;
    if (reply->error == -EREMOTEIO)
        g_string_append_printf(f->log, "%s:%s ", reply->error_class, reply->error_text);
    else if (reply->error < 0)
        g_string_append_printf(f->log, "%s ", strerrorname_np(-reply->error));
    else
        g_string_append_printf(
            f->log, "%s ", json_object_to_json_string_ext(reply->value, JSON_C_TO_STRING_PLAIN));
    may_free(f, FREE_IN_REPLY);
}

static void on_greeted(Qmp *q, const QmpGreeting *greeting, void *userdata)
{
    QmpFixture *f = userdata;

    g_assert_true(q == f->q);
    f->greeted++;
    f->greeting = *greeting;
    g_free(f->package);
    f->package = g_strdup(greeting->package);
    may_free(f, FREE_IN_GREETED);
}

static void on_event(Qmp *q, const char *name, json_object *data, void *userdata)
{
    QmpFixture *f = userdata;

    g_assert_true(q == f->q);
    f->events++;
    if (f->log->len < LOG_MAX)
        g_string_append_printf(f->log, "%s%s ", name,
                               data ? json_object_to_json_string_ext(data, JSON_C_TO_STRING_PLAIN)
                                    : "");
    may_free(f, FREE_IN_EVENT);
}

static void on_overdue(Qmp *q, bool overdue, void *userdata)
{
    QmpFixture *f = userdata;

    g_assert_true(q == f->q);
    g_string_append(f->log, overdue ? "overdue " : "alive ");
    may_free(f, FREE_IN_OVERDUE);
}

static void on_closed(Qmp *q, int error, void *userdata)
{
    QmpFixture *f = userdata;

    g_assert_true(q == f->q);
    g_string_append(f->log, "closed ");
    f->closed++;
    f->error = error;
    g_assert_cmpint(qmp_get_fd(q), ==, -1);
    g_assert_cmpuint(qmp_pending(q), ==, 0);
    g_assert_cmpint(qmp_fixture_try_call(f, "from-closed"), ==, -ENOTCONN);
    may_free(f, FREE_IN_CLOSED);
}

static const QmpObserver observer = {
    .greeted = on_greeted,
    .event = on_event,
    .overdue = on_overdue,
    .closed = on_closed,
};

void qmp_fixture_start(QmpFixture *f, QmpStart how)
{
    int fd = qmp_peer_take_fd(f->peer);

    g_assert_cmpint(qmp_new(f->event, fd, how, &observer, f, &f->q), ==, 0);
    g_assert_cmpint(qmp_get_fd(f->q), ==, fd);
}

void qmp_fixture_set_up(QmpFixture *f, gconstpointer data)
{
    f->log = g_string_new(NULL);
    g_assert_cmpint(sd_event_new(&f->event), ==, 0);
    f->peer = qmp_peer_new(f->event);
}

void qmp_fixture_set_up_greeted(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_set_up(f, data);
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_greeted(f);
}

void qmp_fixture_tear_down(QmpFixture *f, gconstpointer data)
{
    f->q = qmp_free(f->q);
    qmp_peer_free(f->peer);
    g_free(f->package);
    g_string_free(f->log, TRUE);
    sd_event_unref(f->event);
}

int qmp_fixture_try_call(QmpFixture *f, const char *command)
{
    return qmp_call(f->q, command, /* args= */ NULL, 0, on_reply, f);
}

void qmp_fixture_call(QmpFixture *f, const char *command, uint64_t timeout_usec)
{
    unsigned before = f->replies;

    g_assert_cmpint(qmp_call(f->q, command, /* args= */ NULL, timeout_usec, on_reply, f), ==, 0);
    g_assert_cmpuint(f->replies, ==, before); /* never from inside */
}

static bool is_greeted(gpointer data)
{
    const QmpFixture *f = data;

    return f->greeted > 0;
}

void qmp_fixture_expect_greeted(QmpFixture *f)
{
    event_wait_until(f->event, "greeted()", is_greeted, f);
    g_assert_cmpuint(f->greeted, ==, 1);
    g_assert_cmpuint(f->closed, ==, 0);
}

typedef struct LogWait {
    const QmpFixture *f;
    size_t length;
} LogWait;

static bool is_logged(gpointer data)
{
    const LogWait *w = data;

    return w->f->log->len >= w->length;
}

void qmp_fixture_expect_log(QmpFixture *f, const char *log)
{
    LogWait w = {.f = f, .length = strlen(log)};
    g_autofree char *what = g_strdup_printf("'%s'", log);

    event_wait_until(f->event, what, is_logged, &w);
    event_wait_idle(f->event);
    g_assert_cmpstr(f->log->str, ==, log);
}

static bool is_closed(gpointer data)
{
    const QmpFixture *f = data;

    return f->closed > 0;
}

void qmp_fixture_expect_closed(QmpFixture *f, int error)
{
    event_wait_until(f->event, "closed()", is_closed, f);
    event_wait_idle(f->event);
    g_assert_cmpint(f->error, ==, error);
    g_assert_cmpuint(f->closed, ==, 1);
    g_assert_true(g_str_has_suffix(f->log->str, "closed "));
}
