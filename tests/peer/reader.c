/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reader.h"

#include <string.h>

#include "event-wait.h"

static void on_greeted(Qmp *q, const QmpGreeting *greeting, void *userdata)
{
    Reader *r = userdata;

    r->greeted = true;
}

static void on_event(Qmp *q, const char *name, json_object *data, void *userdata)
{
}

static void on_closed(Qmp *q, int error, void *userdata)
{
}

static const QmpObserver observer = {
    .greeted = on_greeted,
    .event = on_event,
    .closed = on_closed,
};

static bool is_greeted(gpointer data)
{
    const Reader *r = data;

    return r->greeted;
}

Reader *reader_new(void)
{
    Reader *r = g_new0(Reader, 1);

    g_assert_cmpint(sd_event_new(&r->event), >=, 0);
    r->peer = qmp_peer_new(r->event);
    g_assert_cmpint(
        qmp_new(r->event, qmp_peer_take_fd(r->peer), QMP_START_GREETING, &observer, r, &r->qmp), >=,
        0);
    qmp_peer_answer(r->peer, "x-debug-query-block-graph", "{'nodes': [], 'edges': []}");
    qmp_peer_answer(r->peer, "query-named-block-nodes", "[]");
    qmp_peer_answer(r->peer, "query-block", "[]");
    qmp_peer_answer(r->peer, "query-block-exports", "[]");
    qmp_peer_answer(r->peer, "query-jobs", "[]");
    qmp_peer_answer(r->peer, "query-block-jobs", "[]");
    qmp_peer_greet(r->peer);
    event_wait_until(r->event, "the greeting", is_greeted, r);
    return r;
}

void reader_free(Reader *r)
{
    qmp_free(r->qmp);
    qmp_peer_free(r->peer);
    graph_free(r->graph);
    g_free(r->text);
    sd_event_unref(r->event);
    g_free(r);
}

void reader_load(Reader *r, const char *file)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "tests/data/graphs", file, NULL);
    json_object *answers = json_object_from_file(path);

    if (!answers)
        g_error("%s: %s", path, json_util_get_last_err());
    json_object_object_foreach (answers, command, answer) {
        json_object *value;

        if (json_object_object_get_ex(answer, "return", &value))
            qmp_peer_answer(r->peer, command, json_object_to_json_string(value));
    }
    json_object_put(answers);
}

static void on_reading(const BlockReading *reading, void *userdata)
{
    Reader *r = userdata;

    r->n_answers++;
    r->error = reading->error;
    r->graph = reading->graph;
    r->text = g_strdup(reading->text);
}

static bool is_read(gpointer data)
{
    const Reader *r = data;

    return r->n_answers > 0;
}

void reader_start(Reader *r)
{
    g_clear_pointer(&r->graph, graph_free);
    g_clear_pointer(&r->text, g_free);
    r->n_answers = 0;
    g_assert_cmpint(block_read(r->qmp, on_reading, r), ==, 0);
}

void reader_finish(Reader *r)
{
    event_wait_until(r->event, "the end of the reading", is_read, r);
    event_wait_idle(r->event);
    g_assert_cmpuint(r->n_answers, ==, 1);
    g_assert_cmpint(r->error == 0, ==, r->graph != NULL);
}

void reader_read(Reader *r)
{
    reader_start(r);
    reader_finish(r);
}
