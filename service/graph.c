/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

#include <string.h>

/* How a commit calls the images that it puts out of use (block/commit.c); it holds them, ended as
 * it may be, until it is dismissed. */
#define INTERMEDIATE "intermediate node"

Graph *graph_new(void)
{
    return calloc(1, sizeof(Graph));
}

Graph *graph_free(Graph *g)
{
    if (!g)
        return NULL;

    for (size_t i = 0; i < g->n_vertices; i++) {
        GraphVertex *v = &g->vertices[i];

        free(v->name);
        free(v->driver);
        free(v->file);
        free(v->backing_file);
        for (size_t k = 0; k < v->n_bitmaps; k++)
            free(v->bitmaps[k].name);
        free(v->bitmaps);
    }
    for (size_t i = 0; i < g->n_edges; i++)
        free(g->edges[i].name);
    for (size_t i = 0; i < g->n_devices; i++) {
        free(g->devices[i].drive);
        free(g->devices[i].qdev);
        free(g->devices[i].node);
        free(g->devices[i].group);
    }
    for (size_t i = 0; i < g->n_exports; i++) {
        free(g->exports[i].id);
        free(g->exports[i].node);
    }
    for (size_t i = 0; i < g->n_jobs; i++) {
        free(g->jobs[i].id);
        free(g->jobs[i].type);
        free(g->jobs[i].status);
        free(g->jobs[i].error);
    }
    free(g->vertices);
    free(g->edges);
    free(g->devices);
    free(g->exports);
    free(g->jobs);
    free(g);
    return NULL;
}

/* Room for one more element, zeroed; sizes double, so that n elements cost n steps. */
static void *array_add(void **array, size_t *n, size_t size)
{
    if ((*n & (*n - 1)) == 0) {
        size_t room = *n ? *n * 2 : 1;
        void *grown = reallocarray(*array, room, size);

        if (!grown)
            return NULL;
        *array = grown;
    }

    void *element = (char *)*array + (*n)++ * size;
    return memset(element, 0, size);
}

GraphVertex *graph_add_vertex(Graph *g)
{
    return array_add((void **)&g->vertices, &g->n_vertices, sizeof(GraphVertex));
}

GraphBitmap *graph_add_bitmap(GraphVertex *v)
{
    return array_add((void **)&v->bitmaps, &v->n_bitmaps, sizeof(GraphBitmap));
}

GraphEdge *graph_add_edge(Graph *g)
{
    return array_add((void **)&g->edges, &g->n_edges, sizeof(GraphEdge));
}

GraphDevice *graph_add_device(Graph *g)
{
    return array_add((void **)&g->devices, &g->n_devices, sizeof(GraphDevice));
}

GraphExport *graph_add_export(Graph *g)
{
    return array_add((void **)&g->exports, &g->n_exports, sizeof(GraphExport));
}

GraphJob *graph_add_job(Graph *g)
{
    return array_add((void **)&g->jobs, &g->n_jobs, sizeof(GraphJob));
}

static int compare_uint64(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

static int compare_vertices(const void *a, const void *b)
{
    return compare_uint64(((const GraphVertex *)a)->id, ((const GraphVertex *)b)->id);
}

static int compare_edges(const void *a, const void *b)
{
    const GraphEdge *x = a, *y = b;
    int order = compare_uint64(x->parent, y->parent);

    return order ? order : strcmp(x->name, y->name);
}

void graph_index(Graph *g)
{
    if (g->n_vertices > 0)
        qsort(g->vertices, g->n_vertices, sizeof(GraphVertex), compare_vertices);
    if (g->n_edges > 0)
        qsort(g->edges, g->n_edges, sizeof(GraphEdge), compare_edges);
}

GraphVertex *graph_find(const Graph *g, GraphVertexType type, const char *name)
{
    for (size_t i = 0; i < g->n_vertices; i++)
        if (g->vertices[i].type == type && strcmp(g->vertices[i].name, name) == 0)
            return &g->vertices[i];
    return NULL;
}

static GraphVertex *find_id(const Graph *g, uint64_t id)
{
    GraphVertex key = {.id = id};

    if (g->n_vertices == 0)
        return NULL;
    return bsearch(&key, g->vertices, g->n_vertices, sizeof(GraphVertex), compare_vertices);
}

/* Index of the first edge of that parent with that name, or of the one that would follow it; ""
 * comes before all names. */
static size_t first_edge(const Graph *g, uint64_t parent, const char *name)
{
    const GraphEdge key = {.parent = parent, .name = (char *)name};
    size_t low = 0, high = g->n_edges;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_edges(&g->edges[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

GraphVertex *graph_child(const Graph *g, const GraphVertex *parent, const char *edge)
{
    size_t i = first_edge(g, parent->id, edge);

    if (i >= g->n_edges || g->edges[i].parent != parent->id || strcmp(g->edges[i].name, edge) != 0)
        return NULL;
    return find_id(g, g->edges[i].child);
}

GraphVertex *graph_nth_child(const Graph *g, const GraphVertex *parent, size_t n)
{
    size_t i = first_edge(g, parent->id, "") + n;

    return i < g->n_edges && g->edges[i].parent == parent->id ? find_id(g, g->edges[i].child)
                                                              : NULL;
}

const GraphBitmap *graph_find_bitmap(const GraphVertex *v, const char *name)
{
    for (size_t i = 0; i < v->n_bitmaps; i++)
        if (strcmp(v->bitmaps[i].name, name) == 0)
            return &v->bitmaps[i];
    return NULL;
}

const GraphJob *graph_find_job(const Graph *g, const char *id)
{
    for (size_t i = 0; i < g->n_jobs; i++)
        if (strcmp(g->jobs[i].id, id) == 0)
            return &g->jobs[i];
    return NULL;
}

static size_t count_files(const Graph *g)
{
    size_t n = 0;

    for (size_t i = 0; i < g->n_vertices; i++)
        n += g->vertices[i].type == GRAPH_NODE && g->vertices[i].file;
    return n;
}

bool graph_same_files(const Graph *a, const Graph *b)
{
    if (count_files(a) == 0 || count_files(a) != count_files(b))
        return false;
    for (size_t i = 0; i < a->n_vertices; i++) {
        const GraphVertex *v = &a->vertices[i], *other;

        if (v->type != GRAPH_NODE || !v->file)
            continue;
        other = graph_find(b, GRAPH_NODE, v->name);
        if (!other || !other->file || strcmp(other->file, v->file) != 0)
            return false;
    }
    return true;
}

bool graph_has_parent(const Graph *g, const GraphVertex *node)
{
    for (size_t i = 0; i < g->n_edges; i++) {
        if (g->edges[i].child != node->id)
            continue;

        const GraphVertex *parent = find_id(g, g->edges[i].parent);
        if (parent && (parent->type != GRAPH_JOB || strcmp(g->edges[i].name, INTERMEDIATE) == 0))
            return true;
    }
    return false;
}
