/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The graph's look-ups, on graphs by hand.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "graph-maker.h"

static const char *name_of(const GraphVertex *v)
{
    return v ? v->name : NULL;
}

static void test_empty(void)
{
    g_autoptr(Graph) g = make_graph("");

    g_assert_null(graph_find(g, GRAPH_NODE, "top"));
    g_assert_null(graph_find_job(g, "j"));
}

static void test_find(void)
{
    g_autoptr(Graph) g = make_graph("node same qcow2\n"
                                    "job same\n"
                                    "backend vda\n");

    g_assert_cmpint(graph_find(g, GRAPH_NODE, "same")->type, ==, GRAPH_NODE);
    g_assert_cmpint(graph_find(g, GRAPH_JOB, "same")->type, ==, GRAPH_JOB);
    g_assert_cmpint(graph_find(g, GRAPH_BACKEND, "vda")->type, ==, GRAPH_BACKEND);
    g_assert_null(graph_find(g, GRAPH_NODE, "vda"));
    g_assert_null(graph_find(g, GRAPH_NODE, "sam"));
}

static void test_children(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\n"
                                    "node file file\n"
                                    "node base raw\n"
                                    "node other raw\n"
                                    "edge other file file\n"
                                    "edge top file file\n"
                                    "edge top backing base\n");
    const GraphVertex *top = graph_find(g, GRAPH_NODE, "top");
    const GraphVertex *base = graph_find(g, GRAPH_NODE, "base");
    const GraphVertex *n0 = graph_nth_child(g, top, 0), *n1 = graph_nth_child(g, top, 1);

    g_assert_cmpstr(name_of(graph_child(g, top, "file")), ==, "file");
    g_assert_cmpstr(name_of(graph_child(g, top, "backing")), ==, "base");
    g_assert_null(graph_child(g, top, "back"));
    g_assert_null(graph_child(g, base, "file"));

    g_assert_nonnull(n0);
    g_assert_nonnull(n1);
    g_assert_true(n0 != n1);
    g_assert_null(graph_nth_child(g, top, 2));
    g_assert_null(graph_nth_child(g, base, 0));
}

/* QEMU's answer is not one snapshot in time: an edge may lead to a node that is not there. */
static void test_edge_to_nowhere(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\n");
    const GraphVertex *top = graph_find(g, GRAPH_NODE, "top");
    GraphEdge *e = graph_add_edge(g);

    *e = (GraphEdge){.parent = top->id, .child = top->id + 1, .name = strdup("backing")};
    e = graph_add_edge(g);
    *e = (GraphEdge){.parent = top->id + 1, .child = top->id, .name = strdup("backing")};
    graph_index(g);
    g_assert_null(graph_child(g, top, "backing"));
    g_assert_null(graph_nth_child(g, top, 0));
    g_assert_false(graph_has_parent(g, top));
}

static void test_parents(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\n"
                                    "node base raw\n"
                                    "node worked raw\n"
                                    "node exported raw\n"
                                    "backend b\n"
                                    "job j\n"
                                    "edge top backing base\n"
                                    "edge j source worked\n"
                                    "edge b root exported\n");

    g_assert_true(graph_has_parent(g, graph_find(g, GRAPH_NODE, "base")));
    g_assert_true(graph_has_parent(g, graph_find(g, GRAPH_NODE, "exported")));
    g_assert_false(graph_has_parent(g, graph_find(g, GRAPH_NODE, "top")));
    /* A job works on a node, it does not use it up. */
    g_assert_false(graph_has_parent(g, graph_find(g, GRAPH_NODE, "worked")));
}

static void test_find_job(void)
{
    g_autoptr(Graph) g = make_graph("");

    for (unsigned i = 0; i < 5; i++) {
        GraphJob *job = graph_add_job(g);

        job->id = g_strdup_printf("j%u", i);
    }
    g_assert_cmpstr(graph_find_job(g, "j3")->id, ==, "j3");
    g_assert_null(graph_find_job(g, "j5"));
}

/* Elements stay whole while the arrays grow. */
static void test_growth(void)
{
    g_autoptr(Graph) g = make_graph("");
    char name[16];

    for (unsigned i = 0; i < 1000; i++) {
        GraphVertex *v = graph_add_vertex(g);

        g_assert_null(v->name);
        v->id = 1000 - i;
        (void)g_snprintf(name, sizeof(name), "n%u", i);
        v->name = strdup(name);
    }
    graph_index(g);
    for (unsigned i = 0; i < 1000; i++) {
        (void)g_snprintf(name, sizeof(name), "n%u", i);
        g_assert_cmpuint(graph_find(g, GRAPH_NODE, name)->id, ==, 1000 - i);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/empty", test_empty);
    g_test_add_func("/graph/find", test_find);
    g_test_add_func("/graph/children", test_children);
    g_test_add_func("/graph/edge-to-nowhere", test_edge_to_nowhere);
    g_test_add_func("/graph/parents", test_parents);
    g_test_add_func("/graph/find-job", test_find_job);
    g_test_add_func("/graph/growth", test_growth);
    return g_test_run();
}
