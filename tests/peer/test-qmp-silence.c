/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A peer that says nothing, with the deadlines as they are: these tests take their time.
 */
#include <errno.h>

#include "qmp-fixture.h"

/* A monitor that serves another client says nothing. */
static void test_silence(QmpFixture *f, gconstpointer data)
{
    gint64 begin = g_get_monotonic_time();

    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_fixture_expect_closed(f, -ETIMEDOUT);
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, QMP_GREETING_USEC);
    g_assert_true(qmp_peer_is_alone(f->peer));
}

/* A QEMU dials in while it starts, which can take longer than a monitor may be silent. */
static void test_slow_start(QmpFixture *f, gconstpointer data)
{
    QmpFixture other = {0};

    qmp_fixture_set_up(&other, NULL);
    qmp_fixture_start(f, QMP_START_DIALLED);
    qmp_fixture_start(&other, QMP_START_GREETING);
    qmp_fixture_expect_closed(&other, -ETIMEDOUT);
    qmp_fixture_tear_down(&other, NULL);

    event_wait_idle(f->event);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_greeted(f);
}

/* Nor is it given up because we were restarted meanwhile. */
static void test_slow_start_resumed(QmpFixture *f, gconstpointer data)
{
    QmpFixture other = {0};

    qmp_fixture_set_up(&other, NULL);
    qmp_peer_keep_silent(other.peer, "qmp_capabilities");
    qmp_peer_stop_reading(f->peer, true);
    qmp_fixture_start(f, QMP_START_UNGREETED);
    qmp_fixture_start(&other, QMP_START_GREETING);
    qmp_peer_greet(other.peer);
    qmp_fixture_expect_closed(&other, -ETIMEDOUT);
    qmp_fixture_tear_down(&other, NULL);

    event_wait_idle(f->event);
    g_assert_cmpuint(f->closed, ==, 0);
    qmp_peer_greet(f->peer);
    qmp_peer_stop_reading(f->peer, false);
    qmp_fixture_expect_greeted(f);
}

/* It has greeted, it is a QEMU; but one that answers no command is of no use. */
static void test_capabilities_unanswered(QmpFixture *f, gconstpointer data)
{
    qmp_peer_keep_silent(f->peer, "qmp_capabilities");
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_closed(f, -ETIMEDOUT);
    g_assert_cmpuint(f->greeted, ==, 0);
}

static bool is_asked_again(gpointer data)
{
    const QmpFixture *f = data;

    return qmp_peer_count(f->peer, "query-version") == 2;
}

/* A QEMU that was there before the restart is not given up because it is slow. */
static void test_resumed_slow(QmpFixture *f, gconstpointer data)
{
    qmp_peer_keep_silent(f->peer, "query-version");
    qmp_fixture_start(f, QMP_START_RESUMED);
    event_wait_until(f->event, "the second question", is_asked_again, f);
    g_assert_cmpuint(f->greeted, ==, 0);
    g_assert_cmpuint(f->closed, ==, 0);
}

/* SHUTDOWN, and neither an end nor a STOP after it: the peer is no QEMU, or one that takes its
 * time. */
static void test_shutdown_without_end(QmpFixture *f, gconstpointer data)
{
    qmp_fixture_start(f, QMP_START_GREETING);
    qmp_peer_greet(f->peer);
    qmp_fixture_expect_greeted(f);
    qmp_peer_event(f->peer, "SHUTDOWN", NULL);
    qmp_fixture_expect_log(f, "SHUTDOWN ");
    qmp_fixture_call(f, "one", 0);
    qmp_peer_expect(f->peer, "one");
}

static void add(const char *path, void (*test)(QmpFixture *, gconstpointer))
{
    g_test_add(path, QmpFixture, NULL, qmp_fixture_set_up, test, qmp_fixture_tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/qmp-silence/no-greeting", test_silence);
    add("/qmp-silence/slow-start", test_slow_start);
    add("/qmp-silence/slow-start-when-resumed", test_slow_start_resumed);
    add("/qmp-silence/no-answer-to-capabilities", test_capabilities_unanswered);
    add("/qmp-silence/resumed-is-asked-again", test_resumed_slow);
    add("/qmp-silence/shutdown-without-end", test_shutdown_without_end);
    return g_test_run();
}
