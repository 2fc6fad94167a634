/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Readings of the greatest size: the chains that are supported, the limits, and graphs whose only
 * purpose is to cost time.
 */
#include <errno.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "chain.h"
#include "drive.h"
#include "reader.h"
#include "vm.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chain, chain_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Drives, drives_free)

/* For one hostile graph, on a busy machine, with sanitizers: in earnest it is a small part of a
 * second. */
#define HOSTILE_SECONDS 30

#define IMAGES_SUPPORTED 200

#define GRAPH "x-debug-query-block-graph"
#define NODES "query-named-block-nodes"

static void append_vertex(GString *text, unsigned id)
{
    g_string_append_printf(text, "%s{'id': %u, 'type': 'block-driver', 'name': 'n%u'}",
                           id ? ", " : "", id, id);
}

static void append_edge(GString *text, bool first, unsigned parent, unsigned child,
                        const char *name)
{
    g_string_append_printf(text, "%s{'parent': %u, 'child': %u, 'name': '%s'}", first ? "" : ", ",
                           parent, child, name);
}

static void answer_graph(Reader *r, const char *vertices, const char *edges)
{
    g_autofree char *answer = g_strdup_printf("{'nodes': [%s], 'edges': [%s]}", vertices, edges);

    qmp_peer_answer(r->peer, GRAPH, answer);
}

/* Elements that are all the same, as an array. */
static char *many(const char *element, unsigned n)
{
    GString *text = g_string_new("[");

    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, "%s%s", i ? "," : "", element);
    g_string_append_c(text, ']');
    return g_string_free(text, FALSE);
}

static void check_limit(const char *command, const char *format, const char *element, unsigned max)
{
    for (unsigned n = max; n <= max + 1; n++) {
        g_autoptr(Reader) r = reader_new();
        g_autofree char *array = many(element, n), *answer = NULL;
        g_auto(GStrv) parts = g_strsplit(format, "@", 2);

        answer = g_strconcat(parts[0], array, parts[1], NULL);
        qmp_peer_answer(r->peer, command, answer);
        reader_read(r);
        g_assert_cmpint(r->error, ==, n > max ? -E2BIG : 0);
    }
}

static void test_bitmaps(void)
{
    for (unsigned n = GRAPH_BITMAPS_MAX; n <= GRAPH_BITMAPS_MAX + 1; n++) {
        g_autoptr(Reader) r = reader_new();
        g_autofree char *bitmaps = many("{'name': 'b', 'recording': true, 'persistent': true, "
                                        "'busy': false, 'granularity': 512, 'count': 0}",
                                        n);
        g_autofree char *nodes =
            g_strdup_printf("[{'node-name': 'n', 'ro': false, 'file': 'f', 'drv': 'raw', "
                            "'image': {'virtual-size': 1}, 'dirty-bitmaps': %s}]",
                            bitmaps);

        answer_graph(r, "{'id': 1, 'type': 'block-driver', 'name': 'n'}", "");
        qmp_peer_answer(r->peer, NODES, nodes);
        reader_read(r);
        g_assert_cmpint(r->error, ==, n > GRAPH_BITMAPS_MAX ? -E2BIG : 0);
    }
}

static void test_limits(void)
{
    check_limit(GRAPH, "{'nodes': @, 'edges': []}",
                "{'id': 1, 'type': 'block-driver', 'name': 'n'}", GRAPH_VERTICES_MAX);
    check_limit(GRAPH, "{'nodes': [], 'edges': @}", "{'parent': 1, 'child': 2, 'name': 'file'}",
                GRAPH_EDGES_MAX);
    check_limit(NODES, "@", "{'node-name': 'n'}", GRAPH_VERTICES_MAX);
    check_limit("query-block", "@", "{'device': 'd'}", GRAPH_DEVICES_MAX);
    check_limit("query-block-exports", "@", "{'id': 'e', 'node-name': 'n'}", GRAPH_EXPORTS_MAX);
    check_limit("query-jobs", "@",
                "{'id': 'j', 'type': 't', 'status': 's', 'current-progress': 0, "
                "'total-progress': 0}",
                GRAPH_JOBS_MAX);
    check_limit("query-block-jobs", "@",
                "{'device': 'j', 'speed': 0, 'paused': false, 'auto-finalize': true}",
                GRAPH_VERTICES_MAX);
}

static void answer_nodes(Reader *r, unsigned n, const char *driver)
{
    g_autoptr(GString) text = g_string_new("[");

    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text,
                               "%s{'node-name': 'n%u', 'drv': '%s', 'ro': false, 'file': '/n%u', "
                               "'image': {'virtual-size': 1}}",
                               i ? ", " : "", i, driver, i);
    g_string_append_c(text, ']');
    qmp_peer_answer(r->peer, NODES, text->str);
}

/* query-block nests one image in the other: json-c's default depth fails at 26. */
static char *nested_images(unsigned n)
{
    GString *text = g_string_new("");

    for (unsigned i = 0; i < n; i++)
        g_string_append_printf(text, "{'filename': '/n%u', 'virtual-size': 1%s", i,
                               i + 1 < n ? ", 'backing-image': " : "");
    for (unsigned i = 0; i < n; i++)
        g_string_append_c(text, '}');
    return g_string_free(text, FALSE);
}

/* Past the peer's own parser, whose depth is json-c's default. */
static void reply_deep(Reader *r, const QmpPeerCommand *c, const char *value)
{
    g_autofree char *line =
        g_strdup_printf("{'return': %s, 'id': %s}\r\n", value, json_object_to_json_string(c->id));

    g_strdelimit(line, "'", '"');
    qmp_peer_send(r->peer, line, strlen(line));
}

static void test_supported_depth(void)
{
    g_autoptr(Reader) r = reader_new();
    g_autoptr(GString) vertices = g_string_new(""), edges = g_string_new("");
    g_autofree char *nested = nested_images(IMAGES_SUPPORTED), *devices = NULL;
    g_autoptr(Drives) drives = NULL;
    g_autoptr(Chain) chain = NULL;

    for (unsigned i = 0; i < IMAGES_SUPPORTED; i++) {
        append_vertex(vertices, i);
        if (i > 0)
            append_edge(edges, i == 1, i - 1, i, "backing");
    }
    devices = g_strdup_printf("[{'device': 'd0', 'qdev': 'vda', 'inserted': {'node-name': 'n0', "
                              "'image': %s}}]",
                              nested);
    answer_graph(r, vertices->str, edges->str);
    answer_nodes(r, IMAGES_SUPPORTED, "qcow2");
    qmp_peer_let_wait(r->peer, "query-block");
    reader_start(r);
    reply_deep(r, qmp_peer_expect(r->peer, "query-block"), devices);
    reader_finish(r);
    g_assert_cmpint(r->error, ==, 0);

    g_assert_cmpint(drives_new_from_graph(r->graph, &drives), ==, 0);
    g_assert_cmpuint(drives->n, ==, 1);
    g_assert_cmpint(chain_new_from_graph(r->graph, drives->drives[0].root, &chain), ==, 0);
    g_assert_cmpuint(chain->n, ==, IMAGES_SUPPORTED);
    for (unsigned i = 0; i < IMAGES_SUPPORTED; i++) {
        g_autofree char *node = g_strdup_printf("n%u", i);

        g_assert_cmpint(chain_find_node(chain, node), ==, (int)i);
    }
}

typedef struct Hostile {
    const char *driver;
    bool loop, exports;
} Hostile;

/* Nobody uses the first half of the nodes, and each of them stands on a chain of all the others,
 * which may end in a circle. The last node has all the edges that are left, none of them of use. */
static void answer_hostile_graph(Reader *r, bool loop)
{
    g_autoptr(GString) vertices = g_string_new(""), edges = g_string_new("");
    const unsigned half = GRAPH_VERTICES_MAX / 2, last = GRAPH_VERTICES_MAX - 1;
    unsigned n_edges = 0;

    for (unsigned i = 0; i < GRAPH_VERTICES_MAX; i++)
        append_vertex(vertices, i);
    for (unsigned i = 0; i < last; i++)
        append_edge(edges, n_edges++ == 0, i, i < half ? half : i + 1, "backing");
    if (loop)
        append_edge(edges, n_edges++ == 0, last, half, "backing");
    while (n_edges++ < GRAPH_EDGES_MAX)
        append_edge(edges, false, last, half, "backinf");
    answer_graph(r, vertices->str, edges->str);
}

static void answer_exports(Reader *r)
{
    g_autoptr(GString) text = g_string_new("[");

    for (unsigned i = 0; i < GRAPH_EXPORTS_MAX; i++)
        g_string_append_printf(text, "%s{'id': 'e%u', 'node-name': 'n%u'}", i ? ", " : "", i, i);
    g_string_append_c(text, ']');
    qmp_peer_answer(r->peer, "query-block-exports", text->str);
}

static void check_hostile(const Hostile *h)
{
    g_autoptr(Reader) r = reader_new();
    g_autoptr(Drives) drives = NULL;

    answer_hostile_graph(r, h->loop);
    answer_nodes(r, GRAPH_VERTICES_MAX, h->driver);
    if (h->exports)
        answer_exports(r);
    reader_read(r);
    g_assert_cmpint(r->error, ==, 0);

    g_assert_cmpint(drives_new_from_graph(r->graph, &drives), ==, 0);
    g_assert_cmpuint(drives->n, >=, VM_DISKS_MAX);
    for (size_t i = 0; i < VM_DISKS_MAX; i++) {
        g_autoptr(Chain) c = NULL;
        int k = chain_new_from_graph(r->graph, drives->drives[i].root, &c);

        g_assert_cmpint(k < 0, ==, h->loop);
    }
}

static void test_hostile_graph(gconstpointer data)
{
    if (g_test_subprocess()) {
        check_hostile(data);
        return;
    }
    g_test_trap_subprocess(NULL, HOSTILE_SECONDS * G_USEC_PER_SEC, G_TEST_SUBPROCESS_DEFAULT);
    g_test_trap_assert_passed();
}

int main(int argc, char **argv)
{
    static const Hostile hostiles[] = {
        {"qcow2", false, false},    {"qcow2", true, false},   {"qcow2", true, true},
        {"throttle", true, false},  {"throttle", true, true}, {"mirror_top", true, false},
        {"mirror_top", true, true},
    };

    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block-limits/limits", test_limits);
    g_test_add_func("/block-limits/bitmaps", test_bitmaps);
    g_test_add_func("/block-limits/supported-depth", test_supported_depth);
    for (size_t i = 0; i < G_N_ELEMENTS(hostiles); i++) {
        const Hostile *h = &hostiles[i];
        g_autofree char *path =
            g_strdup_printf("/block-limits/hostile-graph/%s%s%s", h->driver, h->loop ? "-loop" : "",
                            h->exports ? "-exports" : "");

        g_test_add_data_func(path, h, test_hostile_graph);
    }
    return g_test_run();
}
