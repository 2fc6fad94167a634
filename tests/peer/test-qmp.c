/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commands, replies and events on a connection that stands, with a peer that is slow, confused or
 * hostile.
 */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "qmp-fixture.h"

static void test_out_of_order(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    qmp_fixture_call(f, "three", 0);
    g_assert_cmpuint(qmp_pending(f->q), ==, 3);

    QmpPeerCommand *one = qmp_peer_expect(f->peer, "one");
    QmpPeerCommand *two = qmp_peer_expect(f->peer, "two");
    QmpPeerCommand *three = qmp_peer_expect(f->peer, "three");
    qmp_peer_reply(f->peer, three, "3");
    qmp_peer_event(f->peer, "BETWEEN", "{'x': [1]}");
    qmp_peer_reply_error(f->peer, one, "GenericError", "No");
    qmp_peer_event(f->peer, "AFTER", NULL);
    qmp_peer_reply(f->peer, two, "null");

    qmp_fixture_expect_log(f, "3 BETWEEN{\"x\":[1]} GenericError:No AFTER null ");
    g_assert_cmpuint(qmp_pending(f->q), ==, 0);
}

static void test_arguments(QmpFixture *f, gconstpointer data)
{
    json_object *args = json_object_new_object();

    json_object_object_add(args, "device", json_object_new_string("vda"));
    g_assert_cmpint(qmp_call(f->q, "block-commit", args, 0, NULL, NULL), ==, 0);

    QmpPeerCommand *c = qmp_peer_expect(f->peer, "block-commit");
    g_assert_cmpstr(json_object_to_json_string_ext(c->args, JSON_C_TO_STRING_PLAIN), ==,
                    "{\"device\":\"vda\"}");
    g_assert_true(json_object_is_type(c->id, json_type_int));

    qmp_peer_reply(f->peer, c, "{}"); /* for nobody */
    event_wait_idle(f->event);
    g_assert_cmpuint(qmp_pending(f->q), ==, 0);
    g_assert_cmpuint(f->closed, ==, 0);
}

static void test_pending_limit(QmpFixture *f, gconstpointer data)
{
    for (unsigned i = 0; i < QMP_PENDING_MAX; i++)
        qmp_fixture_call(f, "query", 0);
    g_assert_cmpint(qmp_fixture_try_call(f, "query"), ==, -EBUSY);
    g_assert_cmpuint(qmp_pending(f->q), ==, QMP_PENDING_MAX);

    qmp_peer_reply(f->peer, qmp_peer_expect(f->peer, "query"), "1");
    qmp_fixture_expect_log(f, "1 ");
    qmp_fixture_call(f, "query", 0);
}

/* The limit of the stream shows where the peer does not even read. */
static void test_peer_does_not_read(QmpFixture *f, gconstpointer data)
{
    g_autofree char *name = g_strnfill(64 * 1024, 'x');
    int r;

    qmp_peer_stop_reading(f->peer, true);
    do
        r = qmp_fixture_try_call(f, name);
    while (r == 0);
    g_assert_cmpint(r, ==, -ENOBUFS);
    g_assert_cmpuint(qmp_pending(f->q), <, QMP_PENDING_MAX);

    unsigned pending = qmp_pending(f->q);
    qmp_peer_answer(f->peer, name, "0");
    qmp_peer_stop_reading(f->peer, false);
    event_wait_idle(f->event);
    g_assert_cmpuint(f->replies, ==, pending);
}

/* Replies of the wrong shape: the connection stays, the caller learns. */
static void test_bad_reply(QmpFixture *f, gconstpointer data)
{
    const char *shape = data;

    qmp_fixture_call(f, "query", 0);
    QmpPeerCommand *c = qmp_peer_expect(f->peer, "query");
    g_autofree char *message =
        g_strdup_printf("{%s 'id': %s}", shape, json_object_get_string(c->id));

    qmp_peer_say(f->peer, message);
    qmp_fixture_expect_log(f, "EBADMSG ");
    g_assert_cmpuint(f->closed, ==, 0);
}

static const char *const bad_replies[] = {
    "",
    "'error': 'No',",
    "'error': [],",
    "'error': null,",
    "'error': {},",
    "'error': {'class': 'GenericError'},",
    "'error': {'desc': 'No'},",
    "'error': {'class': 7, 'desc': 'No'},",
    "'error': {'class': 'GenericError', 'desc': ['No']},",
    "'error': {'class': 'GenericError', 'desc': 'a\\u0000b'},",
    "'return': {}, 'error': {'class': 'GenericError', 'desc': 'No'},",
    "'return': {}, 'error': 'No',",
    "'result': {},",
};

/* Messages that are no QMP at all end the connection. */
static void test_bad_message(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "query", 0);
    qmp_peer_say(f->peer, data);
    qmp_fixture_expect_closed(f, -EPROTO);
    g_assert_cmpstr(f->log->str, ==, "ENOTCONN closed ");
}

static const char *const bad_messages[] = {
    "{}",
    "{'return': {}}",
    "{'return': {}, 'id': '1'}",
    "{'return': {}, 'id': null}",
    "{'return': {}, 'id': {}}",
    "{'return': {}, 'id': -1}",
    "{'return': {}, 'id': 1.5}",
    "{'return': {}, 'id': 9223372036854775807}",
    "{'return': {}, 'id': 18446744073709551615}",
    "{'error': {'class': 'GenericError', 'desc': 'No'}, 'id': 'x'}",
    "{'event': 1}",
    "{'event': null}",
    "{'event': ['RESUME']}",
    "{'event': 'a\\u0000b'}",
    "{'event': 'RESUME', 'data': []}",
    "{'event': 'RESUME', 'data': null}",
    "{'event': 'RESUME', 'data': 'text'}",
};

/* QEMU could not read what it got, and does not know whose it was. */
static void test_error_without_id(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "query", 0);
    qmp_peer_say(f->peer, "{'error': {'class': 'GenericError', 'desc': 'JSON parse error'}}");
    qmp_peer_reply(f->peer, qmp_peer_expect(f->peer, "query"), "1");
    qmp_fixture_expect_log(f, "1 ");
}

static void test_second_answer(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "query", 0);
    QmpPeerCommand *c = qmp_peer_expect(f->peer, "query");

    qmp_peer_reply(f->peer, c, "1");
    qmp_peer_reply(f->peer, c, "2");
    qmp_fixture_expect_log(f, "1 ");
    g_assert_cmpuint(f->closed, ==, 0);
}

static void test_time_out(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "patient", 0);
    qmp_fixture_call(f, "slow", 1);
    QmpPeerCommand *patient = qmp_peer_expect(f->peer, "patient");
    QmpPeerCommand *slow = qmp_peer_expect(f->peer, "slow");
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue ");
    g_assert_cmpuint(qmp_pending(f->q), ==, 1);

    /* The late answer is dropped, but it is a sign of life. */
    qmp_peer_reply(f->peer, slow, "1");
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue alive ");
    qmp_peer_reply(f->peer, patient, "2");
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue alive 2 ");
}

static void test_overdue_once(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "slow", 1);
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue ");
    qmp_fixture_call(f, "slow", 1);
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue ETIMEDOUT ");
    qmp_peer_event(f->peer, "AWAKE", NULL);
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue ETIMEDOUT alive AWAKE ");
    qmp_fixture_call(f, "slow", 1);
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue ETIMEDOUT alive AWAKE ETIMEDOUT overdue ");
}

/* If our loop was held up past the deadline, an answer that was there in time counts. */
static void test_answer_before_we_looked(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "first", 0);
    QmpPeerCommand *first = qmp_peer_expect(f->peer, "first");

    /* Ids are handed out in a row. */
    json_object *id = json_object_new_int64(json_object_get_int64(first->id) + 1);
    QmpPeerCommand second = {.id = id};
    qmp_peer_reply(f->peer, &second, "'in time'");
    qmp_peer_answer(f->peer, "second", "'too late'");

    /* Both that answer and the time-out wait for the loop's next turn. */
    gint64 begin = g_get_monotonic_time();
    qmp_fixture_call(f, "second", 1);
    while (g_get_monotonic_time() < begin + 2)
        ;
    qmp_fixture_expect_log(f, "\"in time\" ");
    json_object_put(id);
}

static int count_turn(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
    (*(unsigned *)userdata)++;
    return 0;
}

static bool has_reply(gpointer data)
{
    const QmpFixture *f = data;

    return f->replies > 0;
}

static bool has_all_events(gpointer data)
{
    const QmpFixture *f = data;

    return f->events == 100000;
}

/* 9 MB of events: others have their turns in between, and so has the timer. */
static void test_flood(QmpFixture *f, gconstpointer data)
{
    _cleanup_(closep) int always_ready = eventfd(1, EFD_CLOEXEC);
    sd_event_source *other;
    unsigned turns = 0;
    g_autoptr(GString) flood = g_string_new(NULL);

    for (unsigned i = 0; i < 100000; i++)
        g_string_append(flood,
                        "{\"event\": \"BLOCK_JOB_ERROR\", \"data\": {\"device\": \"j\"}}\r\n");
    g_assert_cmpint(sd_event_add_io(f->event, &other, always_ready, EPOLLIN, count_turn, &turns),
                    >=, 0);
    qmp_fixture_call(f, "slow", 1);
    qmp_peer_send(f->peer, flood->str, flood->len);

    event_wait_until(f->event, "the time-out", has_reply, f);
    g_assert_cmpuint(f->events, <, 100000);
    event_wait_until(f->event, "all events", has_all_events, f);
    g_assert_cmpuint(turns, >=, flood->len / (512 * 1024));
    sd_event_source_disable_unref(other);
}

/* A QEMU that clears up must not be asked anything: 10.0 can crash of it. */
static void test_shutdown(QmpFixture *f, gconstpointer data)
{
    qmp_peer_event(f->peer, "SHUTDOWN", NULL);
    qmp_fixture_expect_log(f, "SHUTDOWN ");
    qmp_fixture_call(f, "one", 0);
    event_wait_idle(f->event);
    g_assert_cmpuint(qmp_peer_count(f->peer, "one"), ==, 0);
}

/* With -no-shutdown it stays. */
static void test_stop_after_shutdown(QmpFixture *f, gconstpointer data)
{
    qmp_peer_event(f->peer, "SHUTDOWN", NULL);
    qmp_fixture_expect_log(f, "SHUTDOWN ");
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    qmp_peer_event(f->peer, "STOP", NULL);
    qmp_peer_expect(f->peer, "one");
    qmp_peer_expect(f->peer, "two");
}

static void test_eof_when_idle(QmpFixture *f, gconstpointer data)
{
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
    g_assert_cmpstr(f->log->str, ==, "closed ");
}

static void test_eof_with_open_calls(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    qmp_peer_expect(f->peer, "one");
    qmp_peer_expect(f->peer, "two");
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
    g_assert_cmpstr(f->log->str, ==, "ENOTCONN ENOTCONN closed ");
}

static void test_eof_after_answer(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    QmpPeerCommand *one = qmp_peer_expect(f->peer, "one");
    qmp_peer_expect(f->peer, "two");
    qmp_peer_reply(f->peer, one, "{'a': 1}");
    qmp_peer_event(f->peer, "SHUTDOWN", NULL);
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
    g_assert_cmpstr(f->log->str, ==, "{\"a\":1} SHUTDOWN ENOTCONN closed ");
}

static void test_eof_in_reply(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 0);
    qmp_peer_expect(f->peer, "one");
    qmp_peer_send(f->peer, "{\"return\": [", 12);
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
    g_assert_cmpstr(f->log->str, ==, "ENOTCONN closed ");
}

static void test_garbage(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 0);
    qmp_peer_send(f->peer, "}}}", 3);
    qmp_fixture_expect_closed(f, -EBADMSG);
    g_assert_cmpstr(f->log->str, ==, "ENOTCONN closed ");
}

/* Freed inside a callback: what else has come is not delivered, what is open is answered. */

static void expect_freed(QmpFixture *f, const char *log)
{
    qmp_fixture_expect_log(f, log);
    g_assert_null(f->q);
    g_assert_true(qmp_peer_is_alone(f->peer));
}

static void test_free_with_open_calls(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    f->q = qmp_free(f->q);
    g_assert_cmpstr(f->log->str, ==, "ENOTCONN ENOTCONN ");
}

static void test_free_in_event(QmpFixture *f, gconstpointer data)
{
    const char *events = "{\"event\": \"A\"}\r\n{\"event\": \"B\"}\r\n";

    f->free_when = FREE_IN_EVENT;
    qmp_fixture_call(f, "one", 0);
    qmp_peer_send(f->peer, events, strlen(events));
    expect_freed(f, "A ENOTCONN ");
}

static void test_free_in_reply(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_REPLY;
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    qmp_peer_reply(f->peer, qmp_peer_expect(f->peer, "one"), "1");
    expect_freed(f, "1 ENOTCONN ");
}

static void test_free_in_time_out(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_REPLY;
    qmp_fixture_call(f, "one", 1);
    qmp_fixture_call(f, "two", 0);
    expect_freed(f, "ETIMEDOUT ENOTCONN ");
}

static void test_free_in_overdue(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_OVERDUE;
    qmp_fixture_call(f, "one", 1);
    expect_freed(f, "ETIMEDOUT overdue ");
}

static void test_free_in_alive(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_call(f, "one", 1);
    qmp_fixture_expect_log(f, "ETIMEDOUT overdue ");
    f->free_when = FREE_IN_OVERDUE;
    qmp_peer_event(f->peer, "AWAKE", NULL);
    expect_freed(f, "ETIMEDOUT overdue alive ");
}

static void test_free_while_closing(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_REPLY;
    qmp_fixture_call(f, "one", 0);
    qmp_fixture_call(f, "two", 0);
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_log(f, "ENOTCONN ENOTCONN ");
    g_assert_null(f->q);
    g_assert_cmpuint(f->closed, ==, 0);
}

static void add(const char *path, void (*test)(QmpFixture *, gconstpointer))
{
    g_test_add(path, QmpFixture, NULL, qmp_fixture_set_up_greeted, test, qmp_fixture_tear_down);
}

static void add_each(const char *path, const char *const *texts, size_t n,
                     void (*test)(QmpFixture *, gconstpointer))
{
    for (size_t i = 0; i < n; i++) {
        g_autofree char *numbered = g_strdup_printf("%s/%zu", path, i);

        g_test_add(numbered, QmpFixture, texts[i], qmp_fixture_set_up_greeted, test,
                   qmp_fixture_tear_down);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp/replies-out-of-order-with-events-between", test_out_of_order);
    add("/qmp/arguments-and-nobody-who-listens", test_arguments);
    add("/qmp/pending-limit", test_pending_limit);
    add("/qmp/peer-that-does-not-read", test_peer_does_not_read);
    add_each("/qmp/malformed-reply", bad_replies, G_N_ELEMENTS(bad_replies), test_bad_reply);
    add_each("/qmp/no-qmp-message", bad_messages, G_N_ELEMENTS(bad_messages), test_bad_message);
    add("/qmp/error-without-id-is-ignored", test_error_without_id);
    add("/qmp/second-answer-is-ignored", test_second_answer);
    add("/qmp/time-out-and-late-answer", test_time_out);
    add("/qmp/overdue-is-told-once", test_overdue_once);
    add("/qmp/answer-that-came-before-we-looked", test_answer_before_we_looked);
    add("/qmp/flood-of-events", test_flood);
    add("/qmp/nothing-is-sent-after-shutdown", test_shutdown);
    add("/qmp/stop-after-shutdown-goes-on", test_stop_after_shutdown);
    add("/qmp/end-of-file-when-idle", test_eof_when_idle);
    add("/qmp/end-of-file-with-open-calls", test_eof_with_open_calls);
    add("/qmp/end-of-file-after-an-answer", test_eof_after_answer);
    add("/qmp/end-of-file-in-a-reply", test_eof_in_reply);
    add("/qmp/garbage-ends-it", test_garbage);
    add("/qmp/free-with-open-calls", test_free_with_open_calls);
    add("/qmp/free-in-event", test_free_in_event);
    add("/qmp/free-in-reply", test_free_in_reply);
    add("/qmp/free-in-time-out", test_free_in_time_out);
    add("/qmp/free-in-overdue", test_free_in_overdue);
    add("/qmp/free-in-alive", test_free_in_alive);
    add("/qmp/free-while-closing", test_free_while_closing);
    return g_test_run();
}
