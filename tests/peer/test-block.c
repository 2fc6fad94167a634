/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readings of the block layer: answers as they should be, answers that no QEMU gives, answers that
 * do not come.
 */
#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "reader.h"

#define GRAPH "x-debug-query-block-graph"
#define NODES "query-named-block-nodes"
#define NODE(rest) "[{'node-name': 'n', " rest "}]"

#define IMAGE "'ro': false, 'file': 'f', 'drv': 'raw', 'image': {'virtual-size': 1}, "
#define BITMAP                                                                                     \
    "'recording': true, 'persistent': false, 'busy': true, 'granularity': 512, 'count': 1024"

static const char one_node[] = "{'nodes': [{'id': 1, 'type': 'block-driver', 'name': 'n'}], "
                               "'edges': []}";

typedef struct Lie {
    const char *command, *value;
} Lie;

/* Each is one answer with one thing wrong, among answers that are right. */
static const Lie lies[] = {
    {GRAPH, "null"},
    {GRAPH, "[]"},
    {GRAPH, "'text'"},
    {GRAPH, "{'nodes': []}"},
    {GRAPH, "{'edges': []}"},
    {GRAPH, "{'nodes': {}, 'edges': []}"},
    {GRAPH, "{'nodes': [], 'edges': 1}"},
    {GRAPH, "{'nodes': [1], 'edges': []}"},
    {GRAPH, "{'nodes': [null], 'edges': []}"},
    {GRAPH, "{'nodes': [], 'edges': [[]]}"},
    {GRAPH, "{'nodes': [{'id': 1, 'type': 'block-driver'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': 1, 'name': 'n'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'type': 'block-driver', 'name': 'n'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': -1, 'type': 'block-driver', 'name': 'n'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': '1', 'type': 'block-driver', 'name': 'n'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': 1.5, 'type': 'block-driver', 'name': 'n'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': 1, 'type': 'other', 'name': 'n'}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': 1, 'type': 'block-driver', 'name': 7}], 'edges': []}"},
    {GRAPH, "{'nodes': [{'id': 1, 'type': 'block-driver', 'name': 'a\\u0000b'}], 'edges': []}"},
    {GRAPH, "{'nodes': [], 'edges': [{'parent': 1, 'child': 2}]}"},
    {GRAPH, "{'nodes': [], 'edges': [{'parent': 1, 'name': 'file'}]}"},
    {GRAPH, "{'nodes': [], 'edges': [{'parent': true, 'child': 2, 'name': 'file'}]}"},
    {GRAPH, "{'nodes': [], 'edges': [{'parent': 1, 'child': 2, 'name': null}]}"},
    {NODES, "{}"},
    {NODES, "[[]]"},
    {NODES, "[{}]"},
    {NODES, "[{'node-name': 1}]"},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 'raw'")},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 'raw', 'image': {}")},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 'raw', 'image': {'virtual-size': -1}")},
    {NODES, NODE("'ro': 'no', 'file': 'f', 'drv': 'raw', 'image': {'virtual-size': 1}")},
    {NODES, NODE("'ro': false, 'drv': 'raw', 'image': {'virtual-size': 1}")},
    {NODES, NODE("'ro': false, 'file': 'f', 'image': {'virtual-size': 1}")},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 1, 'image': {'virtual-size': 1}")},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 'raw', "
                 "'image': {'virtual-size': 1, 'backing-filename': 1}")},
    {NODES, NODE(IMAGE "'dirty-bitmaps': {}")},
    {NODES, NODE(IMAGE "'dirty-bitmaps': [1]")},
    {NODES, NODE(IMAGE "'dirty-bitmaps': [{'name': 1, " BITMAP "}]")},
    {NODES, NODE(IMAGE "'dirty-bitmaps': [{'name': 'b'}]")},
    {NODES, NODE(IMAGE "'dirty-bitmaps': [{'name': 'b', 'inconsistent': 1, " BITMAP "}]")},
    {NODES, NODE(IMAGE "'dirty-bitmaps': [{'name': 'b', 'recording': true, 'persistent': true, "
                       "'busy': false, 'granularity': -1, 'count': 0}]")},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 'qcow2', "
                 "'image': {'virtual-size': 1, 'format-specific': 1}")},
    {NODES, NODE("'ro': false, 'file': 'f', 'drv': 'qcow2', 'image': {'virtual-size': 1, "
                 "'format-specific': {'type': 'qcow2', 'data': {}}}")},
    {"query-block", "{}"},
    {"query-block", "[{}]"},
    {"query-block", "[{'device': null}]"},
    {"query-block", "[{'device': '', 'qdev': 1}]"},
    {"query-block", "[{'device': '', 'inserted': []}]"},
    {"query-block", "[{'device': '', 'inserted': {'node-name': 1}}]"},
    {"query-block", "[{'device': '', 'inserted': {'node-name': 'n', 'group': 1}}]"},
    {"query-block-exports", "{}"},
    {"query-block-exports", "[{'id': 'e'}]"},
    {"query-block-exports", "[{'node-name': 'n'}]"},
    {"query-jobs", "{}"},
    {"query-jobs", "[{'id': 'j', 'type': 'commit', 'status': 'ready', 'current-progress': 0}]"},
    {"query-jobs", "[{'id': 'j', 'type': 'commit', 'current-progress': 0, 'total-progress': 0}]"},
    {"query-jobs", "[{'id': 'j', 'status': 'ready', 'current-progress': 0, 'total-progress': 0}]"},
    {"query-jobs", "[{'id': 'j', 'type': 'commit', 'status': 'ready', 'current-progress': -5, "
                   "'total-progress': 0}]"},
    {"query-jobs", "[{'id': 'j', 'type': 'commit', 'status': 'ready', 'current-progress': 0, "
                   "'total-progress': 0, 'error': {}}]"},
    {"query-block-jobs", "{}"},
    {"query-block-jobs", "[{}]"},
    {"query-block-jobs", "[{'device': 'j'}]"},
    {"query-block-jobs", "[{'device': 'j', 'speed': 0, 'paused': false}]"},
    {"query-block-jobs", "[{'device': 'j', 'speed': '0', 'paused': false, 'auto-finalize': true}]"},
    {"query-block-jobs", "[{'device': 'j', 'speed': 0, 'paused': false, 'auto-finalize': 1}]"},
    {"query-block-jobs", "[{'device': 'j', 'speed': 0, 'paused': 0, 'auto-finalize': true}]"},
    {"query-block-jobs", "[{'device': 'j', 'speed': 0, 'paused': false, 'auto-finalize': true, "
                         "'io-status': 7}]"},
};

static void tell_truth(Reader *r)
{
    qmp_peer_answer(r->peer, GRAPH, one_node);
    qmp_peer_answer(r->peer, NODES,
                    NODE("'ro': true, 'file': 'f', 'drv': 'raw', 'image': {'virtual-size': 7}"));
    qmp_peer_answer(r->peer, "query-block",
                    "[{'device': 'd0', 'inserted': {'node-name': 'n'}}, {'device': ''}]");
    qmp_peer_answer(r->peer, "query-block-exports", "[{'id': 'e', 'node-name': 'n'}]");
    qmp_peer_answer(r->peer, "query-jobs",
                    "[{'id': 'j', 'type': 'commit', 'status': 'ready', 'current-progress': 3, "
                    "'total-progress': 4, 'error': 'E'}]");
    qmp_peer_answer(r->peer, "query-block-jobs",
                    "[{'device': 'j', 'speed': 5, 'paused': true, 'auto-finalize': true}]");
}

static void test_truth(void)
{
    g_autoptr(Reader) r = reader_new();
    const GraphVertex *n;

    tell_truth(r);
    reader_read(r);
    g_assert_cmpint(r->error, ==, 0);

    n = graph_find(r->graph, GRAPH_NODE, "n");
    g_assert_cmpstr(n->driver, ==, "raw");
    g_assert_cmpstr(n->file, ==, "f");
    g_assert_null(n->backing_file);
    g_assert_cmpuint(n->size, ==, 7);
    g_assert_true(n->read_only);

    g_assert_cmpuint(r->graph->n_devices, ==, 2);
    g_assert_cmpstr(r->graph->devices[0].drive, ==, "d0");
    g_assert_cmpstr(r->graph->devices[0].qdev, ==, "");
    g_assert_cmpstr(r->graph->devices[0].node, ==, "n");
    g_assert_cmpstr(r->graph->devices[1].node, ==, "");

    g_assert_cmpuint(r->graph->n_exports, ==, 1);
    g_assert_cmpstr(r->graph->exports[0].id, ==, "e");
    g_assert_cmpstr(r->graph->exports[0].node, ==, "n");

    g_assert_cmpuint(r->graph->n_jobs, ==, 1);
    g_assert_cmpstr(r->graph->jobs[0].error, ==, "E");
    g_assert_cmpuint(r->graph->jobs[0].offset, ==, 3);
    g_assert_cmpuint(r->graph->jobs[0].length, ==, 4);
    g_assert_cmpuint(r->graph->jobs[0].speed, ==, 5);
    g_assert_true(r->graph->jobs[0].paused);
    g_assert_true(r->graph->jobs[0].auto_finalize);
}

static void test_bitmaps(void)
{
    g_autoptr(Reader) r = reader_new();
    const GraphVertex *n;

    tell_truth(r);
    qmp_peer_answer(r->peer, NODES,
                    NODE(IMAGE "'dirty-bitmaps': [{" BITMAP "}, {'name': 'a', " BITMAP "}, "
                               "{'name': 'b', 'recording': false, 'persistent': true, "
                               "'busy': false, 'granularity': 65536, 'count': 0, "
                               "'inconsistent': true}]"));
    reader_read(r);
    g_assert_cmpint(r->error, ==, 0);

    n = graph_find(r->graph, GRAPH_NODE, "n");
    g_assert_cmpuint(n->n_bitmaps, ==, 2); /* without that of a job */
    g_assert_null(graph_find_bitmap(n, "c"));
    const GraphBitmap *a = graph_find_bitmap(n, "a"), *b = graph_find_bitmap(n, "b");
    g_assert_true(a->recording && !a->persistent && a->busy && !a->inconsistent);
    g_assert_cmpuint(a->granularity, ==, 512);
    g_assert_cmpuint(a->count, ==, 1024);
    g_assert_true(!b->recording && b->persistent && !b->busy && b->inconsistent);
}

static void test_formats(void)
{
    static const struct {
        const char *driver, *data;
        bool stores;
    } formats[] = {
        {"qcow2", ", 'format-specific': {'type': 'qcow2', 'data': {'compat': '1.1'}}", true},
        {"qcow2", ", 'format-specific': {'type': 'qcow2', 'data': {'compat': '0.10'}}", false},
        {"qcow2", "", true},
        {"raw", "", false},
        {"vmdk", ", 'format-specific': {'type': 'vmdk', 'data': {}}", false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        g_autoptr(Reader) r = reader_new();
        g_autofree char *nodes =
            g_strdup_printf("[{'node-name': 'n', 'ro': true, 'file': 'f', 'drv': '%s', "
                            "'image': {'virtual-size': 1%s}}]",
                            formats[i].driver, formats[i].data);

        tell_truth(r);
        qmp_peer_answer(r->peer, NODES, nodes);
        reader_read(r);
        g_assert_cmpint(r->error, ==, 0);
        g_assert_cmpint(graph_find(r->graph, GRAPH_NODE, "n")->stores_bitmaps, ==,
                        formats[i].stores);
    }
}

static void test_lies(void)
{
    g_autoptr(Reader) r = reader_new();

    for (size_t i = 0; i < G_N_ELEMENTS(lies); i++) {
        g_test_message("%s: %s", lies[i].command, lies[i].value);
        tell_truth(r);
        qmp_peer_answer(r->peer, lies[i].command, lies[i].value);
        reader_read(r);
        g_assert_cmpint(r->error, ==, -EBADMSG);
        g_assert_cmpstr(r->text, !=, "");
    }
    /* The connection has not suffered. */
    tell_truth(r);
    reader_read(r);
    g_assert_cmpint(r->error, ==, 0);
}

static void test_refusal(void)
{
    static const char *const commands[] = {
        GRAPH, NODES, "query-block", "query-block-exports", "query-jobs", "query-block-jobs",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autoptr(Reader) r = reader_new();

        qmp_peer_refuse(r->peer, commands[i], "GenericError", "out of order");
        reader_read(r);
        g_assert_cmpint(r->error, ==, -EREMOTEIO);
        g_assert_cmpstr(r->text, ==, "out of order");
    }
}

/* The first failure explains the others. */
static void test_first_failure(void)
{
    g_autoptr(Reader) r = reader_new();

    qmp_peer_refuse(r->peer, NODES, "GenericError", "first");
    qmp_peer_refuse(r->peer, "query-jobs", "GenericError", "second");
    qmp_peer_answer(r->peer, "query-block", "{}");
    reader_read(r);
    g_assert_cmpint(r->error, ==, -EREMOTEIO);
    g_assert_cmpstr(r->text, ==, "first");
}

static void test_end_of_file(void)
{
    static const char *const commands[] = {GRAPH, "query-block", "query-block-jobs"};

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        g_autoptr(Reader) r = reader_new();

        qmp_peer_hang_up_on(r->peer, commands[i]);
        reader_read(r);
        g_assert_cmpint(r->error, ==, -ENOTCONN);
    }
}

static void test_flat(void)
{
    g_autoptr(Reader) r = reader_new();
    QmpPeerCommand *c;
    json_object *flat;

    qmp_peer_let_wait(r->peer, NODES);
    reader_start(r);
    c = qmp_peer_expect(r->peer, NODES);
    g_assert_true(json_object_object_get_ex(c->args, "flat", &flat));
    g_assert_true(json_object_get_boolean(flat));
    g_assert_cmpint(json_object_object_length(c->args), ==, 1);
    qmp_peer_reply(r->peer, c, "[]");
    reader_finish(r);
    g_assert_cmpint(r->error, ==, 0);
}

/* A node that came up between two answers is left to the next reading. */
static void test_answers_of_different_moments(void)
{
    g_autoptr(Reader) r = reader_new();

    tell_truth(r);
    qmp_peer_answer(r->peer, GRAPH, "{'nodes': [], 'edges': []}");
    qmp_peer_answer(r->peer, "query-block-jobs",
                    "[{'device': 'new', 'speed': 5, 'paused': false, 'auto-finalize': true}]");
    reader_read(r);
    g_assert_cmpint(r->error, ==, 0);
    g_assert_null(graph_find(r->graph, GRAPH_NODE, "n"));
    g_assert_false(r->graph->jobs[0].block);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block/truth", test_truth);
    g_test_add_func("/block/bitmaps", test_bitmaps);
    g_test_add_func("/block/formats-that-store-bitmaps", test_formats);
    g_test_add_func("/block/lies-are-refused", test_lies);
    g_test_add_func("/block/refusal", test_refusal);
    g_test_add_func("/block/first-failure-is-told", test_first_failure);
    g_test_add_func("/block/end-of-file", test_end_of_file);
    g_test_add_func("/block/nodes-are-asked-for-flat", test_flat);
    g_test_add_func("/block/answers-of-different-moments", test_answers_of_different_moments);
    return g_test_run();
}
