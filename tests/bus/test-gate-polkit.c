/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One question to polkit: its answers, its deadline, its end.
 */
#include <errno.h>
#include <string.h>

#include "test-bus.h"
#include "gate-polkit.h"
#include "polkit.h"

#define PATIENT_USEC (UINT64_C(3600) * G_USEC_PER_SEC)

typedef struct Fixture {
    TestBus *bus;
    sd_event *event;
    sd_bus *service;
    MockPolkit *polkit;
    PolkitCheck *check;
    guint n_answers;
    PolkitAnswer answer;
    char *text;
} Fixture;

static void set_up(Fixture *f, gconstpointer data)
{
    f->bus = test_bus_start(NULL);
    g_assert_cmpint(sd_event_new(&f->event), ==, 0);
    f->service = test_bus_connect(f->bus, f->event, geteuid());
    f->polkit = mock_polkit_new(f->bus, f->event);
}

static void tear_down(Fixture *f, gconstpointer data)
{
    polkit_check_free(f->check);
    test_bus_disconnect(f->service);
    mock_polkit_free(f->polkit);
    sd_event_unref(f->event);
    test_bus_free(f->bus);
    g_free(f->text);
}

static void on_answer(PolkitCheck *c, PolkitAnswer answer, const char *text, void *userdata)
{
    Fixture *f = userdata;

    f->n_answers++;
    f->answer = answer;
    g_free(f->text);
    f->text = g_strdup(text);
    f->check = polkit_check_free(c);
}

static int ask(Fixture *f, const char *vm, uint64_t timeout_usec)
{
    const PolkitDetail detail = {"vm", vm};
    const PolkitQuestion question = {
        .sender = ":1.1",
        .action = "org.vmdisk1.commit",
        .details = &detail,
        .n_details = 1,
        .timeout_usec = timeout_usec,
    };

    return polkit_check_new(f->service, &question, on_answer, f, &f->check);
}

static bool is_answered(gpointer data)
{
    const Fixture *f = data;

    return f->n_answers > 0;
}

static bool is_asked(gpointer data)
{
    const Fixture *f = data;

    return f->polkit->checks->len > 0;
}

static bool is_cancelled(gpointer data)
{
    const Fixture *f = data;

    return f->polkit->checks->len > 0 && mock_polkit_check(f->polkit, 0)->cancelled;
}

static void assert_answer(Fixture *f, PolkitAnswer answer)
{
    g_assert_cmpint(ask(f, "web1", PATIENT_USEC), ==, 0);
    test_bus_run_until(f->event, "polkit's answer", is_answered, f);
    g_assert_cmpuint(f->n_answers, ==, 1);
    g_assert_cmpint(f->answer, ==, answer);
    f->n_answers = 0;
}

static void test_answers(Fixture *f, gconstpointer data)
{
    static const struct {
        MockPolkitMode mode;
        PolkitAnswer answer;
        bool has_text;
    } cases[] = {
        {MOCK_POLKIT_YES, POLKIT_YES, false},
        {MOCK_POLKIT_NO, POLKIT_NO, false},
        {MOCK_POLKIT_CHALLENGE, POLKIT_CHALLENGE, false},
        {MOCK_POLKIT_ERROR, POLKIT_FAILED, true},
        {MOCK_POLKIT_MALFORMED, POLKIT_FAILED, true},
        {MOCK_POLKIT_CRASH, POLKIT_NO_ANSWER, true},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        f->polkit->mode = cases[i].mode;
        assert_answer(f, cases[i].answer);
        g_assert_true((f->text != NULL) == cases[i].has_text);
        if (cases[i].mode != MOCK_POLKIT_CRASH)
            g_assert_false(mock_polkit_check(f->polkit, (guint)i)->cancelled);
    }

    mock_polkit_free(f->polkit);
    f->polkit = NULL;
    assert_answer(f, POLKIT_ABSENT);
    g_assert_nonnull(f->text);
}

static void test_deadline(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_HANG;
    g_assert_cmpint(ask(f, "web1", G_USEC_PER_SEC / 5), ==, 0);
    test_bus_run_until(f->event, "the deadline", is_answered, f);
    g_assert_cmpint(f->answer, ==, POLKIT_NO_ANSWER);
    test_bus_run_until(f->event, "the cancellation", is_cancelled, f);

    /* Too late: nobody listens any more. */
    mock_polkit_answer(f->polkit, 0, true);
    f->polkit->mode = MOCK_POLKIT_NO;
    f->n_answers = 0;
    assert_answer(f, POLKIT_NO);
}

static void test_free(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_HANG;
    g_assert_cmpint(ask(f, "web1", PATIENT_USEC), ==, 0);
    test_bus_run_until(f->event, "the question", is_asked, f);
    f->check = polkit_check_free(f->check);
    test_bus_run_until(f->event, "the cancellation", is_cancelled, f);
    g_assert_cmpuint(f->n_answers, ==, 0);
}

static void test_cancellation_ids(Fixture *f, gconstpointer data)
{
    assert_answer(f, POLKIT_YES);
    assert_answer(f, POLKIT_YES);
    g_assert_cmpstr(mock_polkit_check(f->polkit, 0)->cancellation_id, !=,
                    mock_polkit_check(f->polkit, 1)->cancellation_id);
}

/* The bus would disconnect us for it. */
static void test_not_utf8(Fixture *f, gconstpointer data)
{
    g_assert_cmpint(ask(f, "web\xff", PATIENT_USEC), ==, -EINVAL);
    assert_answer(f, POLKIT_YES);
    g_assert_cmpuint(f->polkit->checks->len, ==, 1);
}

static void add(const char *path, void (*test)(Fixture *f, gconstpointer data))
{
    g_test_add(path, Fixture, NULL, set_up, test, tear_down);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    add("/gate-polkit/answers-are-told-apart", test_answers);
    add("/gate-polkit/deadline-cancels", test_deadline);
    add("/gate-polkit/free-cancels", test_free);
    add("/gate-polkit/each-check-can-be-cancelled-alone", test_cancellation_ids);
    add("/gate-polkit/text-that-is-not-utf8-is-not-sent", test_not_utf8);
    return g_test_run();
}
