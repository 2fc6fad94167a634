/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Calls that wait in the gate: their order, their limits, and callers that leave.
 */
#include <assert.h>

#include "gate-fixture.h"

#define ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define LIMIT_EXCEEDED "org.vmdisk1.Error.LimitExceeded"

static const Method commit = {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Commit", NULL, NULL, "b"};
static const Method pivot = {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Pivot", NULL, NULL, ""};
static const Method nonsense = {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Nonsense", NULL, NULL, ""};
static const Method get_all = {
    PATH_WEB1_VDA, "org.freedesktop.DBus.Properties", "GetAll", NULL, NULL, "s"};

static void test_order(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    g_assert_null(fixture_ask(f, client, &get_all));
    fixture_assert_reached(f, "Get JobState");

    f->polkit->mode = MOCK_POLKIT_HANG;
    Call *first = fixture_call(f, client, &commit);
    Call *second = fixture_call(f, client, &get_all); /* allowed already */
    Call *third = fixture_call(f, client, &nonsense); /* needs no question */
    Call *fourth = fixture_call(f, client, &pivot);
    fixture_wait_for_checks(f, 2);
    fixture_settle(f);
    g_assert_cmpuint(f->polkit->checks->len, ==, 2);
    g_assert_null(first->reply);
    g_assert_null(second->reply);
    g_assert_null(third->reply);
    fixture_assert_reached(f, "");

    mock_polkit_answer(f->polkit, 1, true);
    g_assert_null(fixture_wait(f, second));
    g_assert_null(sd_bus_message_get_error(first->reply));
    fixture_assert_error(fixture_wait(f, third), ACCESS_DENIED);
    fixture_assert_reached(f, "Commit, Get JobState");

    fixture_wait_for_checks(f, 3);
    mock_polkit_answer(f->polkit, 2, true);
    g_assert_null(fixture_wait(f, fourth));
    fixture_assert_reached(f, "Pivot");
}

/* All sent before the gate knows who calls, and one refused in the middle. */
static void test_order_of_new_caller(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, 0);
    Call *calls[] = {
        fixture_call(f, client, &commit),   fixture_call(f, client, &get_all),
        fixture_call(f, client, &nonsense), fixture_call(f, client, &pivot),
        fixture_call(f, client, &commit),
    };

    g_assert_null(fixture_wait(f, calls[4]));
    for (size_t i = 0; i < 4; i++)
        g_assert_nonnull(calls[i]->reply);
    fixture_assert_reached(f, "Commit, Get JobState, Pivot, Commit");
}

static void test_refusal_lets_the_next_go(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_HANG;
    Call *first = fixture_call(f, client, &commit);
    Call *second = fixture_call(f, client, &pivot);
    fixture_wait_for_checks(f, 1);
    mock_polkit_answer(f->polkit, 0, false);
    fixture_assert_error(fixture_wait(f, first), ACCESS_DENIED);
    fixture_wait_for_checks(f, 2);
    mock_polkit_answer(f->polkit, 1, true);
    g_assert_null(fixture_wait(f, second));
    fixture_assert_reached(f, "Pivot");
}

static void test_callers_do_not_wait_for_each_other(Fixture *f, gconstpointer data)
{
    sd_bus *slow = fixture_client(f, UID_USER);
    sd_bus *fast = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_HANG;
    Call *call = fixture_call(f, slow, &commit);
    fixture_wait_for_checks(f, 1);

    f->polkit->mode = MOCK_POLKIT_YES;
    g_assert_null(fixture_ask(f, fast, &pivot));
    g_assert_null(call->reply);
    fixture_assert_reached(f, "Pivot");
}

static void test_caller_leaves(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_HANG;
    fixture_call(f, client, &commit);
    fixture_call(f, client, &pivot); /* waits behind it */
    fixture_wait_for_checks(f, 1);
    fixture_client_leaves(f, client);
    fixture_wait_for_cancellation(f, 0);

    /* polkit did not hear of it in time. */
    mock_polkit_answer(f->polkit, 0, true);
    fixture_settle(f);
    fixture_assert_reached(f, "");
    g_assert_cmpuint(f->polkit->checks->len, ==, 1);
}

typedef struct Left {
    sd_bus *watcher;
    const char *name;
} Left;

/* Asks the bus without running the loop, so that the service sees nothing meanwhile. */
static bool has_left(gpointer data)
{
    const Left *left = data;
    sd_bus_message *reply;
    int has_owner;

    g_assert_cmpint(sd_bus_call_method(left->watcher, "org.freedesktop.DBus",
                                       "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                       "NameHasOwner", NULL, &reply, "s", left->name),
                    >=, 0);
    g_assert_cmpint(sd_bus_message_read(reply, "b", &has_owner), >=, 0);
    sd_bus_message_unref(reply);
    return !has_owner;
}

/* The call would be allowed, but when the gate asks the bus who sent it, nobody is there. */
static void test_caller_left_before(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, 0);
    sd_bus *watcher = fixture_client(f, UID_DAEMON);
    const char *unique;

    g_assert_cmpint(sd_bus_get_unique_name(client, &unique), >=, 0); /* connected from here on */
    g_autofree char *name = g_strdup(unique);
    sd_bus_message *message = fixture_message(client, &commit);
    g_assert_cmpint(sd_bus_send(client, message, NULL), >=, 0);
    sd_bus_message_unref(message);
    g_assert_cmpint(sd_bus_flush(client), >=, 0);
    fixture_client_leaves(f, client);
    wait_until("the caller to leave", has_left, &(Left){watcher, name});

    fixture_settle(f);
    fixture_assert_reached(f, "");
}

/* The bus keeps the order of one connection only: whose call polkit was asked about first is not
 * known. */
static guint find_check(Fixture *f, sd_bus *client)
{
    const char *name;

    g_assert_cmpint(sd_bus_get_unique_name(client, &name), >=, 0);
    for (guint i = 0; i < f->polkit->checks->len; i++)
        if (g_str_equal(mock_polkit_check(f->polkit, i)->subject_name, name))
            return i;
    g_error("polkit was not asked about %s", name);
}

static void test_checks_per_uid(Fixture *f, gconstpointer data)
{
    sd_bus *first = fixture_client(f, UID_USER);
    Call *call = fixture_call(f, first, &commit);

    f->polkit->mode = MOCK_POLKIT_HANG;
    for (guint i = 1; i < GATE_CHECKS_PER_UID_MAX; i++)
        fixture_call(f, fixture_client(f, UID_USER), &commit);
    fixture_wait_for_checks(f, GATE_CHECKS_PER_UID_MAX);
    fixture_assert_error(fixture_ask(f, fixture_client(f, UID_USER), &commit), LIMIT_EXCEEDED);
    g_assert_cmpuint(f->polkit->checks->len, ==, GATE_CHECKS_PER_UID_MAX);

    f->polkit->mode = MOCK_POLKIT_YES;
    g_assert_null(fixture_ask(f, fixture_client(f, UID_SOMEBODY), &commit));

    mock_polkit_answer(f->polkit, find_check(f, first), true);
    g_assert_null(fixture_wait(f, call));
    g_assert_null(fixture_ask(f, fixture_client(f, UID_USER), &pivot));
    fixture_assert_reached(f, "Commit, Commit, Pivot");
}

static void test_pending_per_uid(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);
    Call *call = NULL;

    f->polkit->mode = MOCK_POLKIT_HANG;
    fixture_call(f, client, &commit);
    fixture_wait_for_checks(f, 1);
    for (guint i = 1; i < GATE_PENDING_PER_UID_MAX; i++)
        call = fixture_call(f, client, &commit);
    fixture_assert_error(fixture_ask(f, client, &commit), LIMIT_EXCEEDED);
    g_assert_null(call->reply);

    /* Nobody else feels it. */
    g_assert_null(fixture_ask(f, fixture_client(f, 0), &pivot));
    fixture_assert_reached(f, "Pivot");
    g_assert_cmpuint(f->polkit->checks->len, ==, 1);
}

/* Before the gate knows who they are, callers share GATE_PENDING_MAX. */
static void test_pending_of_new_callers(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);
    guint n = 0;

    f->polkit->mode = MOCK_POLKIT_HANG;
    g_autoptr(GPtrArray) calls = g_ptr_array_new();
    for (guint i = 0; i < 2 * GATE_PENDING_PER_UID_MAX; i++)
        g_ptr_array_add(calls, fixture_call(f, client, &commit));
    fixture_wait_for_bus(f); /* they all come before the bus's answer to who it is */
    fixture_wait(f, g_ptr_array_index(calls, calls->len - 1));
    fixture_wait_for_checks(f, 1);

    for (guint i = 0; i < calls->len; i++) {
        Call *call = g_ptr_array_index(calls, i);
        if (!call->reply)
            n++;
        else
            fixture_assert_error(sd_bus_message_get_error(call->reply), LIMIT_EXCEEDED);
    }
    g_assert_cmpuint(n, ==, GATE_PENDING_PER_UID_MAX);
    fixture_assert_reached(f, "");
}

static void test_pending(Fixture *f, gconstpointer data)
{
    static const uid_t uids[] = {UID_OWNER, UID_USER, UID_SOMEBODY, UID_LAST};
    static const Method other = {PATH_OTHER_VDA, "org.vmdisk1.Disk", "Commit", NULL, NULL, "b"};
    static_assert(G_N_ELEMENTS(uids) * GATE_PENDING_PER_UID_MAX == GATE_PENDING_MAX,
                  "together they fill it");

    f->polkit->mode = MOCK_POLKIT_HANG;
    f->owner = UID_DAEMON;
    for (guint i = 0; i < G_N_ELEMENTS(uids); i++) {
        sd_bus *client = fixture_client(f, uids[i]);
        const Method *m = uids[i] == UID_SOMEBODY ? &commit : &other;
        for (guint j = 0; j < GATE_PENDING_PER_UID_MAX; j++)
            fixture_call(f, client, m);
    }
    fixture_wait_for_bus(f);
    fixture_wait_for_checks(f, G_N_ELEMENTS(uids));

    /* Full now: also for root, whose uid would have to be waited for. Then one call ends. */
    sd_bus *root = fixture_client(f, 0);
    fixture_assert_error(fixture_ask(f, root, &commit), LIMIT_EXCEEDED);
    sd_bus *user = g_ptr_array_index(f->connections, 0);
    const guint check = find_check(f, user);
    fixture_client_leaves(f, user);
    fixture_wait_for_cancellation(f, check);
    g_assert_null(fixture_ask(f, root, &commit));
    fixture_assert_reached(f, "Commit");
}

/* Ends with open checks; what is left behind shows in the sanitizers and in valgrind. */
static void test_end(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_HANG;
    fixture_call(f, client, &commit);
    fixture_call(f, client, &pivot);
    fixture_wait_for_checks(f, 1);
    f->gate = gate_free(f->gate);
    fixture_wait_for_cancellation(f, 0);
    fixture_assert_reached(f, "");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add_test("/gate-queue/calls-of-a-caller-keep-their-order", &fixture_system, test_order);
    fixture_add_test("/gate-queue/calls-of-a-new-caller-keep-their-order", &fixture_system,
                     test_order_of_new_caller);
    fixture_add_test("/gate-queue/refusal-lets-the-next-call-go", &fixture_system,
                     test_refusal_lets_the_next_go);
    fixture_add_test("/gate-queue/callers-do-not-wait-for-each-other", &fixture_system,
                     test_callers_do_not_wait_for_each_other);
    fixture_add_test("/gate-queue/leaving-cancels", &fixture_system, test_caller_leaves);
    fixture_add_test("/gate-queue/caller-that-has-left-is-not-served", &fixture_system,
                     test_caller_left_before);
    fixture_add_test("/gate-queue/checks-of-a-uid-are-limited", &fixture_system,
                     test_checks_per_uid);
    fixture_add_test("/gate-queue/waiting-calls-of-a-uid-are-limited", &fixture_system,
                     test_pending_per_uid);
    fixture_add_test("/gate-queue/waiting-calls-of-a-new-caller-are-limited", &fixture_system,
                     test_pending_of_new_callers);
    fixture_add_test("/gate-queue/waiting-calls-are-limited", &fixture_system, test_pending);
    fixture_add_test("/gate-queue/end-cancels", &fixture_system, test_end);
    return g_test_run();
}
