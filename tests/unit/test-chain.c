/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Chains drawn from graphs by hand. What real QEMUs show is in the peer tests.
 */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include "chain.h"
#include "graph-maker.h"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chain, chain_free)

/* The chain as text: nodes, active one first. */
static char *chain_text(const Graph *g, const char *root)
{
    g_autoptr(Chain) c = NULL;
    g_autoptr(GString) text = g_string_new("");
    int r = chain_new_from_graph(g, root, &c);

    if (r < 0)
        return g_strdup(g_strerror(-r));
    g_assert_cmpstr(c->root, ==, root);
    for (size_t i = 0; i < c->n; i++)
        g_string_append_printf(text, "%s%s", i ? " " : "", c->images[i].node);
    return g_strdup(text->str);
}

static void check_chain(const char *graph, const char *root, const char *expected)
{
    g_autoptr(Graph) g = make_graph(graph);
    g_autofree char *text = chain_text(g, root);

    g_assert_cmpstr(text, ==, expected);
}

static void check_error(const char *graph, const char *root, int error)
{
    check_chain(graph, root, g_strerror(error));
}

static void test_empty_drive(void)
{
    check_chain("", "", "");
}

static void test_order(void)
{
    check_chain("node base raw\n"
                "node mid qcow2\n"
                "node top qcow2\n"
                "edge mid backing base\n"
                "edge top backing mid\n",
                "top", "top mid base");
}

static void test_one_image(void)
{
    check_chain("node only raw\nnode f file\nedge only file f\n", "only", "only");
}

/* Of an image that was opened with options, QEMU's name is what it was opened with. */
static void test_file_name(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\n"
                                    "node file file\n"
                                    "node alone qcow2\n"
                                    "edge top file file\n");
    const char *const named[] = {"top", "alone"};

    g_assert_cmpstr(chain_file_name(g, "top"), ==, "/top");
    for (size_t i = 0; i < G_N_ELEMENTS(named); i++) {
        GraphVertex *v = graph_find(g, GRAPH_NODE, named[i]);

        free(v->file);
        v->file = strdup("json:{\"driver\":\"qcow2\"}");
    }
    g_assert_cmpstr(chain_file_name(g, "top"), ==, "/file");
    g_assert_null(chain_file_name(g, "alone"));
    g_assert_null(chain_file_name(g, "unknown"));
}

static void test_facts(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\n"
                                    "node base raw ro\n"
                                    "edge top backing base\n");
    g_autoptr(Chain) c = NULL;

    graph_find(g, GRAPH_NODE, "top")->backing_file = strdup("base.raw");
    graph_find(g, GRAPH_NODE, "base")->size = 512;
    g_assert_cmpint(chain_new_from_graph(g, "top", &c), ==, 0);
    g_assert_cmpuint(c->n, ==, 2);

    g_assert_cmpstr(c->images[0].file, ==, "/top");
    g_assert_cmpstr(c->images[0].format, ==, "qcow2");
    g_assert_cmpstr(c->images[0].backing_file, ==, "base.raw");
    g_assert_cmpuint(c->images[0].size, ==, 1024 * 1024);
    g_assert_false(c->images[0].read_only);

    g_assert_cmpstr(c->images[1].file, ==, "/base");
    g_assert_cmpstr(c->images[1].format, ==, "raw");
    g_assert_null(c->images[1].backing_file);
    g_assert_cmpuint(c->images[1].size, ==, 512);
    g_assert_true(c->images[1].read_only);
}

/* Filters are no images, wherever they are, and whichever child they show. */
static void test_filters(void)
{
    check_chain("node thr throttle\n"
                "node cor copy-on-read\n"
                "node top qcow2\n"
                "node below compress\n"
                "node base qcow2\n"
                "edge thr file cor\n"
                "edge cor file top\n"
                "edge top backing below\n"
                "edge below file base\n",
                "thr", "top base");
    check_chain("node mir mirror_top\n"
                "node top qcow2\n"
                "node com commit_top\n"
                "node base qcow2\n"
                "edge mir backing top\n"
                "edge top backing com\n"
                "edge com backing base\n",
                "mir", "top base");
}

/* A quorum and a raw image are images of their own, although they have a child named file. */
static void test_no_filters(void)
{
    static const char *const images[] = {"raw", "qcow2", "quorum", "file", "nbd", "luks"};
    static const char *const filters[] = {"throttle",     "copy-on-read", "mirror_top",
                                          "commit_top",   "compress",     "copy-before-write",
                                          "preallocate",  "blkdebug",     "blkverify",
                                          "blklogwrites", "blkreplay",    "backup-top"};

    for (size_t i = 0; i < G_N_ELEMENTS(images); i++)
        g_assert_false(chain_driver_is_filter(images[i]));
    for (size_t i = 0; i < G_N_ELEMENTS(filters); i++)
        g_assert_true(chain_driver_is_filter(filters[i]));
}

static void test_job_filters(void)
{
    g_autoptr(Graph) g = make_graph("node mir mirror_top\n"
                                    "node com commit_top\n"
                                    "node thr throttle\n"
                                    "node top qcow2\n"
                                    "node loop mirror_top\n"
                                    "node lone commit_top\n"
                                    "node unknown ?\n"
                                    "edge mir backing com\n"
                                    "edge com backing thr\n"
                                    "edge thr file top\n"
                                    "edge loop backing loop\n");
    const struct {
        const char *from, *to;
    } cases[] = {
        {"mir", "thr"},   {"com", "thr"},   {"thr", "thr"},         {"top", "top"},
        {"loop", "loop"}, {"lone", "lone"}, {"unknown", "unknown"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        const GraphVertex *v = graph_find(g, GRAPH_NODE, cases[i].from);

        g_assert_cmpstr(chain_skip_job_filters(g, v)->name, ==, cases[i].to);
    }
}

static void test_unknown(void)
{
    check_error("node top qcow2\n", "nothing", ENOENT);
    check_error("", "nothing", ENOENT);
    /* It came up between two of QEMU's answers. */
    check_error("node top ?\n", "top", ENOENT);
    check_error("node top qcow2\nnode base ?\nedge top backing base\n", "top", ENOENT);
    check_error("node thr throttle\n", "thr", ENOENT);
    /* A job of that name is no node. */
    check_error("job top\n", "top", ENOENT);
}

/* QEMU has no loops; a process that says so gets no chain, and no endless reading. */
static void test_loops(void)
{
    check_error("node a qcow2\nedge a backing a\n", "a", ELOOP);
    check_error("node a qcow2\nnode b qcow2\nedge a backing b\nedge b backing a\n", "a", ELOOP);
    check_error("node a throttle\nedge a file a\n", "a", ENOENT);
    check_error("node a throttle\nnode b compress\nedge a file b\nedge b file a\n", "a", ENOENT);
    check_error("node a qcow2\nnode t throttle\nedge a backing t\nedge t file t\n", "a", ENOENT);
}

/* Two job filters in a circle: there is nothing below them. */
static void test_loop_of_job_filters(void)
{
    g_autoptr(Graph) g = make_graph("node a mirror_top\n"
                                    "node b commit_top\n"
                                    "edge a backing b\n"
                                    "edge b backing a\n");
    const GraphVertex *a = graph_find(g, GRAPH_NODE, "a");

    g_assert_true(chain_skip_job_filters(g, a) == a);
}

static void test_equal(void)
{
    static const char graph[] = "node top qcow2\nnode base raw ro\nedge top backing base\n"
                                "node thr throttle\nedge thr file top\n";
    g_autoptr(Graph) g = make_graph(graph);
    g_autoptr(Chain) a = NULL, b = NULL, other_root = NULL;

    g_assert_cmpint(chain_new_from_graph(g, "top", &a), ==, 0);
    g_assert_cmpint(chain_new_from_graph(g, "top", &b), ==, 0);
    g_assert_cmpint(chain_new_from_graph(g, "thr", &other_root), ==, 0);
    g_assert_true(chain_equal(a, b));
    g_assert_false(chain_equal(a, other_root));

    b->images[1].size++;
    g_assert_false(chain_equal(a, b));
    b->images[1].size--;
    b->images[1].read_only = false;
    g_assert_false(chain_equal(a, b));
    b->images[1].read_only = true;
    b->images[0].backing_file = strdup("base");
    g_assert_false(chain_equal(a, b));
    g_clear_pointer(&b->images[0].backing_file, free);
    b->images[0].file[1] = 'x';
    g_assert_false(chain_equal(a, b));
    b->images[0].file[1] = 't';
    b->images[0].format[0] = 'Q';
    g_assert_false(chain_equal(a, b));
    b->images[0].format[0] = 'q';
    b->images[0].node[0] = 'T';
    g_assert_false(chain_equal(a, b));
    b->images[0].node[0] = 't';
    g_assert_true(chain_equal(a, b));
}

static void test_length_matters(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\n");
    g_autoptr(Graph) longer = make_graph("node top qcow2\nnode b raw\nedge top backing b\n");
    g_autoptr(Chain) a = NULL, b = NULL;

    g_assert_cmpint(chain_new_from_graph(g, "top", &a), ==, 0);
    g_assert_cmpint(chain_new_from_graph(longer, "top", &b), ==, 0);
    g_assert_false(chain_equal(a, b));
    g_assert_false(chain_equal(b, a));
}

static void test_find_node(void)
{
    g_autoptr(Graph) g = make_graph("node top qcow2\nnode base raw\nedge top backing base\n");
    g_autoptr(Chain) c = NULL;

    g_assert_cmpint(chain_new_from_graph(g, "top", &c), ==, 0);
    g_assert_cmpint(chain_find_node(c, "top"), ==, 0);
    g_assert_cmpint(chain_find_node(c, "base"), ==, 1);
    g_assert_cmpint(chain_find_node(c, "bas"), ==, -1);
}

static void test_libvirt(void)
{
    const struct {
        const char *graph, *root;
        bool libvirt;
    } cases[] = {
        {"node libvirt-1-format qcow2\n", "libvirt-1-format", true},
        {"node libvirt-1-storage raw\n", "libvirt-1-storage", true},
        /* libvirt's base below an overlay of somebody else. */
        {"node top qcow2\nnode libvirt-2-format raw\nedge top backing libvirt-2-format\n", "top",
         true},
        /* libvirt's throttle or copy-on-read filter on top. */
        {"node libvirt-vda-copyonread copy-on-read\nnode top qcow2\n"
         "edge libvirt-vda-copyonread file top\n",
         "libvirt-vda-copyonread", true},
        {"node top qcow2\n", "top", false},
        {"node my-libvirt-1-format qcow2\n", "my-libvirt-1-format", false},
        {"", "", false},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(Graph) g = make_graph(cases[i].graph);
        g_autoptr(Chain) c = NULL;

        g_assert_cmpint(chain_new_from_graph(g, cases[i].root, &c), ==, 0);
        g_assert_cmpint(chain_is_libvirt(c), ==, cases[i].libvirt);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/chain/empty-drive", test_empty_drive);
    g_test_add_func("/chain/active-first-base-last", test_order);
    g_test_add_func("/chain/one-image", test_one_image);
    g_test_add_func("/chain/facts", test_facts);
    g_test_add_func("/chain/filters-are-skipped", test_filters);
    g_test_add_func("/chain/which-drivers-are-filters", test_no_filters);
    g_test_add_func("/chain/job-filters", test_job_filters);
    g_test_add_func("/chain/unknown-nodes", test_unknown);
    g_test_add_func("/chain/loops", test_loops);
    g_test_add_func("/chain/loop-of-job-filters", test_loop_of_job_filters);
    g_test_add_func("/chain/equal", test_equal);
    g_test_add_func("/chain/length-matters", test_length_matters);
    g_test_add_func("/chain/find-node", test_find_node);
    g_test_add_func("/chain/file-name", test_file_name);
    g_test_add_func("/chain/libvirt", test_libvirt);
    return g_test_run();
}
