/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a QMP connection begins, and all the ways in which it does not.
 */
#include <errno.h>
#include <string.h>

#include "qmp-fixture.h"

static void test_greeting(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_GREETING);
    g_assert_cmpint(qmp_fixture_try_call(f, "early"), ==, -ENOTCONN);
    qmp_peer_let_wait(f->peer, "qmp_capabilities");
    qmp_peer_greet(f->peer);

    QmpPeerCommand *c = qmp_peer_expect(f->peer, "qmp_capabilities");
    g_assert_null(c->args); /* no out-of-band execution */
    g_assert_cmpuint(f->greeted, ==, 0);
    g_assert_cmpint(qmp_fixture_try_call(f, "early"), ==, -ENOTCONN);
    qmp_peer_event(f->peer, "TOO_EARLY", NULL);
    qmp_peer_reply(f->peer, c, "{}");

    qmp_fixture_expect_greeted(f);
    g_assert_cmpuint(f->greeting.major, ==, 7);
    g_assert_cmpuint(f->greeting.minor, ==, 2);
    g_assert_cmpuint(f->greeting.micro, ==, 22);
    g_assert_cmpstr(f->package, ==, "Debian");
    g_assert_cmpstr(f->log->str, ==, "");
}

static void test_no_package(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_say(f->peer, "{'QMP': {'version': {'qemu': {'micro': 0, 'minor': 0, 'major': 10}}}}");
    qmp_fixture_expect_greeted(f);
    g_assert_cmpuint(f->greeting.major, ==, 10);
    g_assert_cmpstr(f->package, ==, "");
}

static const char *const bad_greetings[] = {
    "HTTP/1.1 400 Bad Request\r\n",
    "SSH-2.0-OpenSSH_9.2\r\n",
    "[]",
    "{}",
    "{\"QMP\": 1}",
    "{\"QMP\": []}",
    "{\"QMP\": {}}",
    "{\"QMP\": {\"version\": \"7.2\"}}",
    "{\"QMP\": {\"version\": {\"qemu\": \"7.2.0\", \"package\": \"\"}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2}}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": \"7\", \"minor\": 2, \"micro\": 0}}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": -7, \"minor\": 2, \"micro\": 0}}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7.5, \"minor\": 2, \"micro\": 0}}}}",
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 4294967296, \"minor\": 2, \"micro\": 0}}}}",
    ("{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 0},"
     " \"package\": null}}}"),
    "{\"event\": \"RESUME\", \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}",
    "{\"return\": {}}",
    "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}}",
};

static void test_bad_greeting(QmpFixture *f, gconstpointer data)
{
    const char *greeting = data;

    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_send(f->peer, greeting, strlen(greeting));
    qmp_fixture_expect_closed(f, g_str_has_prefix(greeting, "{") ? -EPROTO : -EBADMSG);
    g_assert_cmpuint(f->greeted, ==, 0);
    g_assert_true(qmp_peer_is_alone(f->peer));
    g_assert_cmpuint(qmp_peer_count(f->peer, "qmp_capabilities"), ==, 0);
}

static void test_capabilities_refused(QmpFixture *f, gconstpointer data)
{
    qmp_peer_refuse(f->peer, "qmp_capabilities", "CommandNotFound", "No such thing");
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_closed(f, -EPROTO);
    g_assert_cmpuint(f->greeted, ==, 0);
}

static void test_second_greeting(QmpFixture *f, gconstpointer data)
{
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_closed(f, -EPROTO);
    g_assert_cmpuint(f->greeted, ==, 1);
}

/* End of file at every step. */

static void test_eof_before_greeting(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
}

static void test_eof_in_greeting(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_send(f->peer, "{\"QMP\": {", 9);
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
}

static void test_eof_after_greeting(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_peer_hang_up(f->peer);
    qmp_fixture_expect_closed(f, 0);
    g_assert_cmpuint(f->greeted, ==, 0);
}

static void test_eof_at_capabilities(QmpFixture *f, gconstpointer data)
{
    qmp_peer_hang_up_on(f->peer, "qmp_capabilities");
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_closed(f, 0);
    g_assert_cmpuint(f->greeted, ==, 0);
}

/* A connection that is taken over. */

static void test_resumed(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_RESUMED);
    g_assert_cmpint(qmp_fixture_try_call(f, "early"), ==, -ENOTCONN);
    qmp_fixture_expect_greeted(f);
    g_assert_cmpuint(f->greeting.major, ==, 7);
    g_assert_cmpstr(f->package, ==, "Debian");
    g_assert_cmpuint(qmp_peer_count(f->peer, "qmp_capabilities"), ==, 0);
}

/* What the earlier process left behind: half a message, an answer to it, events, half a command. */
static void test_resumed_in_the_middle(QmpFixture *f, gconstpointer data)
{
    const char *rest = "\"offset\": 0}, \"timestamp\": {}}\r\n"
                       "{\"return\": {}, \"id\": 1}\r\n"
                       "{\"return\": {}, \"id\": 2}\r\n";

    qmp_peer_send(f->peer, rest, strlen(rest));
    qmp_peer_event(f->peer, "JOB_STATUS_CHANGE", "{'id': 'j', 'status': 'ready'}");
    qmp_fixture_start(f, QMP_START_RESUMED);
    qmp_fixture_expect_greeted(f);
    g_assert_cmpstr(f->log->str, ==, "");

    qmp_peer_event(f->peer, "BLOCK_JOB_READY", NULL);
    qmp_fixture_expect_log(f, "BLOCK_JOB_READY ");
}

static void test_resumed_refused(QmpFixture *f, gconstpointer data)
{
    qmp_peer_refuse(f->peer, "query-version", "CommandNotFound",
                    "Expecting capabilities negotiation with 'qmp_capabilities'");
    qmp_fixture_start(f, QMP_START_RESUMED);
    qmp_fixture_expect_closed(f, -EPROTO);
}

static void test_resumed_bad_version(QmpFixture *f, gconstpointer data)
{
    qmp_peer_answer(f->peer, "query-version", "{'qemu': '7.2'}");
    qmp_fixture_start(f, QMP_START_RESUMED);
    qmp_fixture_expect_closed(f, -EPROTO);
}

static void test_resumed_eof(QmpFixture *f, gconstpointer data)
{
    qmp_peer_hang_up_on(f->peer, "query-version");
    qmp_fixture_start(f, QMP_START_RESUMED);
    qmp_fixture_expect_closed(f, 0);
}

/* A connection that is taken over, of a QEMU that has not got through its greeting. */

/* QEMU reads nothing before it has greeted. */
static void test_ungreeted(QmpFixture *f, gconstpointer data)
{
    qmp_peer_stop_reading(f->peer, true);
    qmp_fixture_start(f, QMP_START_UNGREETED);
    event_wait_idle(f->event);
    g_assert_cmpint(qmp_fixture_try_call(f, "early"), ==, -ENOTCONN);
    qmp_peer_greet(f->peer);
    qmp_peer_stop_reading(f->peer, false);
    qmp_fixture_expect_greeted(f);
    g_assert_cmpuint(f->greeting.major, ==, 7);
    g_assert_cmpuint(qmp_peer_count(f->peer, "qmp_capabilities"), ==, 1);
    g_assert_cmpstr(f->log->str, ==, "");
}

/* The earlier process has read the beginning of the greeting. */
static void test_ungreeted_half(QmpFixture *f, gconstpointer data)
{
    const char *rest = "\"minor\": 2, \"major\": 7}, \"package\": \"\"}}}\r\n";

    qmp_peer_send(f->peer, rest, strlen(rest));
    qmp_fixture_start(f, QMP_START_UNGREETED);
    qmp_fixture_expect_greeted(f);
    g_assert_cmpuint(qmp_peer_count(f->peer, "qmp_capabilities"), ==, 1);
}

/* The earlier process has negotiated, and did not come to say so. */
static void test_ungreeted_negotiated(QmpFixture *f, gconstpointer data)
{
    qmp_peer_refuse(f->peer, "qmp_capabilities", "CommandNotFound",
                    "Capabilities negotiation is already complete, command ignored");
    qmp_fixture_start(f, QMP_START_UNGREETED);
    qmp_fixture_expect_greeted(f);
    g_assert_cmpuint(f->greeting.major, ==, 7);
}

static void test_ungreeted_eof(QmpFixture *f, gconstpointer data)
{
    qmp_peer_hang_up_on(f->peer, "qmp_capabilities");
    qmp_fixture_start(f, QMP_START_UNGREETED);
    qmp_fixture_expect_closed(f, 0);
}

static void test_free_in_greeted(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_GREETED;
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_greeted(f);
    event_wait_idle(f->event);
    g_assert_true(qmp_peer_is_alone(f->peer));
}

static void test_free_in_greeted_resumed(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_GREETED;
    qmp_fixture_start(f, QMP_START_RESUMED);
    qmp_fixture_expect_greeted(f);
    event_wait_idle(f->event);
    g_assert_true(qmp_peer_is_alone(f->peer));
}

static void test_free_in_closed(QmpFixture *f, gconstpointer data)
{
    f->free_when = FREE_IN_CLOSED;
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_say(f->peer, "{}");
    qmp_fixture_expect_closed(f, -EPROTO);
    g_assert_null(f->q);
}

static void add(const char *path, void (*test)(QmpFixture *, gconstpointer))
{
    g_test_add(path, QmpFixture, NULL, qmp_fixture_set_up, test, qmp_fixture_tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp-greeting/greeting", test_greeting);
    add("/qmp-greeting/without-package", test_no_package);
    for (size_t i = 0; i < G_N_ELEMENTS(bad_greetings); i++) {
        g_autofree char *path = g_strdup_printf("/qmp-greeting/no-greeting/%zu", i);

        g_test_add(path, QmpFixture, bad_greetings[i], qmp_fixture_set_up, test_bad_greeting,
                   qmp_fixture_tear_down);
    }
    add("/qmp-greeting/capabilities-refused", test_capabilities_refused);
    g_test_add("/qmp-greeting/second-greeting", QmpFixture, NULL, qmp_fixture_set_up_greeted,
               test_second_greeting, qmp_fixture_tear_down);
    add("/qmp-greeting/end-of-file-before-it", test_eof_before_greeting);
    add("/qmp-greeting/end-of-file-in-it", test_eof_in_greeting);
    add("/qmp-greeting/end-of-file-after-it", test_eof_after_greeting);
    add("/qmp-greeting/end-of-file-at-capabilities", test_eof_at_capabilities);
    add("/qmp-greeting/resumed", test_resumed);
    add("/qmp-greeting/resumed-in-the-middle-of-things", test_resumed_in_the_middle);
    add("/qmp-greeting/resumed-but-refused", test_resumed_refused);
    add("/qmp-greeting/resumed-without-a-version", test_resumed_bad_version);
    add("/qmp-greeting/resumed-end-of-file", test_resumed_eof);
    add("/qmp-greeting/ungreeted", test_ungreeted);
    add("/qmp-greeting/ungreeted-half-read", test_ungreeted_half);
    add("/qmp-greeting/ungreeted-but-negotiated", test_ungreeted_negotiated);
    add("/qmp-greeting/ungreeted-end-of-file", test_ungreeted_eof);
    add("/qmp-greeting/free-in-greeted", test_free_in_greeted);
    add("/qmp-greeting/free-in-greeted-when-resumed", test_free_in_greeted_resumed);
    add("/qmp-greeting/free-in-closed", test_free_in_closed);
    return g_test_run();
}
