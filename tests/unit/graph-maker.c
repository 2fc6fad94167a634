/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph-maker.h"

#include <string.h>

#define NODE_SIZE (1024 * 1024)
#define BITMAP_GRANULARITY 65536
/* Two primes: numbers that never meet and go up and down. */
#define ID_STEP 7919
#define ID_RANGE 65537

static char *word(const char *text)
{
    return strdup(strcmp(text, "-") == 0 ? "" : text);
}

static GraphVertex *add_vertex(Graph *g, GraphVertexType type, const char *name)
{
    uint64_t id = (g->n_vertices + 1) * ID_STEP % ID_RANGE;
    GraphVertex *v = graph_add_vertex(g);

    v->type = type;
    v->id = id;
    v->name = word(name);
    return v;
}

static void add_node(Graph *g, char **words, guint n)
{
    GraphVertex *v = add_vertex(g, GRAPH_NODE, words[1]);

    if (strcmp(words[2], "?") == 0)
        return;
    v->driver = word(words[2]);
    v->file = g_strdup_printf("/%s", words[1]);
    v->size = NODE_SIZE;
    v->read_only = n > 3;
    v->stores_bitmaps = strcmp(words[2], "qcow2") == 0;
}

static void add_bitmap(Graph *g, char **words)
{
    GraphBitmap *b = graph_add_bitmap(graph_find(g, GRAPH_NODE, words[1]));
    const char *const *flags = (const char *const *)words + 3;

    *b = (GraphBitmap){
        .name = word(words[2]),
        .granularity = BITMAP_GRANULARITY,
        .persistent = g_strv_contains(flags, "stored"),
        .recording = g_strv_contains(flags, "recording"),
        .busy = g_strv_contains(flags, "busy"),
        .inconsistent = g_strv_contains(flags, "inconsistent"),
    };
    for (; *flags && !g_ascii_isdigit(**flags); flags++)
        ;
    if (*flags) {
        b->granularity = g_ascii_strtoull(flags[0], NULL, 10);
        b->count = g_ascii_strtoull(flags[1], NULL, 10);
    }
}

static uint64_t id_of(const Graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_vertices; i++)
        if (strcmp(g->vertices[i].name, name) == 0)
            return g->vertices[i].id;
    g_error("The text has an edge to '%s', which is not there", name);
}

static void add_edge(Graph *g, char **words)
{
    GraphEdge *e = graph_add_edge(g);

    e->parent = id_of(g, words[1]);
    e->name = g_strdelimit(word(words[2]), "_", ' ');
    e->child = id_of(g, words[3]);
}

static void add_device(Graph *g, char **words)
{
    GraphDevice *d = graph_add_device(g);

    d->drive = word(words[1]);
    d->qdev = word(words[2]);
    d->node = word(words[3]);
}

static void add_export(Graph *g, char **words)
{
    GraphExport *e = graph_add_export(g);

    e->id = word(words[1]);
    e->node = word(words[2]);
}

static void add_line(Graph *g, const char *line)
{
    g_auto(GStrv) words = g_strsplit(line, " ", -1);
    guint n = g_strv_length(words);

    if (strcmp(words[0], "node") == 0 && n >= 3)
        add_node(g, words, n);
    else if (strcmp(words[0], "bitmap") == 0 && n >= 3)
        add_bitmap(g, words);
    else if (strcmp(words[0], "backend") == 0 && n == 2)
        (void)add_vertex(g, GRAPH_BACKEND, words[1]);
    else if (strcmp(words[0], "job") == 0 && n == 2)
        (void)add_vertex(g, GRAPH_JOB, words[1]);
    else if (strcmp(words[0], "edge") == 0 && n == 4)
        add_edge(g, words);
    else if (strcmp(words[0], "device") == 0 && n == 4)
        add_device(g, words);
    else if (strcmp(words[0], "export") == 0 && n == 3)
        add_export(g, words);
    else
        g_error("Not a line of a graph: %s", line);
}

Graph *make_graph(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    Graph *g = graph_new();

    for (char **line = lines; *line; line++)
        if (**line)
            add_line(g, *line);
    graph_index(g);
    return g;
}
