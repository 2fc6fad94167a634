/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block-answer.h"

#include <errno.h>
#include <string.h>

#include "json.h"
#include "text.h"

typedef int (*ElementFunc)(Graph *g, json_object *element);

static int each(Graph *g, json_object *array, size_t limit, ElementFunc parse)
{
    if (!json_object_is_type(array, json_type_array))
        return -EBADMSG;
    if (json_object_array_length(array) > limit)
        return -E2BIG;

    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *element = json_object_array_get_idx(array, i);

        if (!json_object_is_type(element, json_type_object))
            return -EBADMSG;
        int r = parse(g, element);
        if (r < 0)
            return r;
    }
    return 0;
}

static int each_of(Graph *g, json_object *value, const char *key, size_t limit, ElementFunc parse)
{
    json_object *array;
    int r = json_get_array(value, key, &array);

    return r < 0 ? r : each(g, array, limit, parse);
}

static int dup_bounded(const char *s, size_t max, char **ret)
{
    if (strlen(s) > max)
        return -E2BIG;

    *ret = strdup(s);
    return *ret ? 0 : -ENOMEM;
}

/* A name, id or word. */
static int dup_string(json_object *o, const char *key, char **ret)
{
    const char *s;
    int r = json_get_string(o, key, &s);

    return r < 0 ? r : dup_bounded(s, GRAPH_NAME_MAX, ret);
}

static int dup_string_or(json_object *o, const char *key, const char *fallback, char **ret)
{
    const char *s;
    int r = json_get_string_or(o, key, fallback, &s);

    return r < 0 ? r : dup_bounded(s, GRAPH_NAME_MAX, ret);
}

/* A file name or a text for people; NULL where there is none. */
static int dup_text_or_none(json_object *o, const char *key, char **ret)
{
    const char *s;
    int r = json_get_string_or(o, key, NULL, &s);

    return r < 0 || !s ? r : dup_bounded(s, GRAPH_TEXT_MAX, ret);
}

static int parse_vertex_type(const char *word, GraphVertexType *ret)
{
    static const char *const words[] = {
        [GRAPH_NODE] = "block-driver",
        [GRAPH_BACKEND] = "block-backend",
        [GRAPH_JOB] = "block-job",
    };

    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        if (strcmp(words[i], word) == 0) {
            *ret = (GraphVertexType)i;
            return 0;
        }
    return -EBADMSG;
}

static int parse_vertex(Graph *g, json_object *o)
{
    const char *type;
    GraphVertex *v = graph_add_vertex(g);
    if (!v)
        return -ENOMEM;

    int r = json_get_string(o, "type", &type);
    if (r < 0)
        return r;
    r = parse_vertex_type(type, &v->type);
    if (r < 0)
        return r;
    r = json_get_uint64(o, "id", &v->id);
    return r < 0 ? r : dup_string(o, "name", &v->name);
}

static int parse_edge(Graph *g, json_object *o)
{
    GraphEdge *e = graph_add_edge(g);
    if (!e)
        return -ENOMEM;

    int r = json_get_uint64(o, "parent", &e->parent);
    if (r < 0)
        return r;
    r = json_get_uint64(o, "child", &e->child);
    if (r < 0)
        return r;
    return dup_string(o, "name", &e->name);
}

int block_take_graph(Graph *g, json_object *value)
{
    int r = each_of(g, value, "nodes", GRAPH_VERTICES_MAX, parse_vertex);
    if (r < 0)
        return r;
    r = each_of(g, value, "edges", GRAPH_EDGES_MAX, parse_edge);
    if (r < 0)
        return r;

    graph_index(g);
    return 0;
}

static int parse_bitmap(GraphVertex *v, json_object *o)
{
    const char *name;

    /* What a job made for itself has no name. */
    int r = json_get_string_or(o, "name", NULL, &name);
    if (r < 0 || !name)
        return r;

    GraphBitmap *b = graph_add_bitmap(v);
    if (!b)
        return -ENOMEM;

    r = dup_bounded(name, GRAPH_NAME_MAX, &b->name);
    if (r < 0)
        return r;
    r = json_get_uint64(o, "granularity", &b->granularity);
    if (r < 0)
        return r;
    r = json_get_uint64(o, "count", &b->count);
    if (r < 0)
        return r;
    r = json_get_bool(o, "persistent", &b->persistent);
    if (r < 0)
        return r;
    r = json_get_bool(o, "recording", &b->recording);
    if (r < 0)
        return r;
    r = json_get_bool(o, "busy", &b->busy);
    return r < 0 ? r : json_get_bool_or(o, "inconsistent", false, &b->inconsistent);
}

static int parse_bitmaps(GraphVertex *v, json_object *node)
{
    json_object *array;

    int r = json_get_array(node, "dirty-bitmaps", &array);
    if (r < 0)
        return r == -ENODATA ? 0 : r;
    if (json_object_array_length(array) > GRAPH_BITMAPS_MAX)
        return -E2BIG;

    for (size_t i = 0; i < json_object_array_length(array); i++) {
        json_object *element = json_object_array_get_idx(array, i);

        if (!json_object_is_type(element, json_type_object))
            return -EBADMSG;
        r = parse_bitmap(v, element);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Persistent bitmaps are a feature of qcow2, and of its second version ("compat" 1.1) only. */
static int parse_format(GraphVertex *v, json_object *image)
{
    json_object *format, *data;
    const char *compat;

    if (strcmp(v->driver, "qcow2") != 0)
        return 0;
    v->stores_bitmaps = true;
    int r = json_get_object(image, "format-specific", &format);
    if (r < 0)
        return r == -ENODATA ? 0 : r;
    r = json_get_object(format, "data", &data);
    if (r < 0)
        return r;
    r = json_get_string(data, "compat", &compat);
    if (r < 0)
        return r;

    v->stores_bitmaps = strcmp(compat, "0.10") != 0;
    return 0;
}

/* Fills in a node that the graph has; one that came up since is left to the next reading. */
static int parse_node(Graph *g, json_object *o)
{
    const char *name;
    json_object *image;

    int r = json_get_string(o, "node-name", &name);
    if (r < 0)
        return r;

    GraphVertex *v = graph_find(g, GRAPH_NODE, name);
    if (!v || v->driver)
        return 0;

    r = json_get_object(o, "image", &image);
    if (r < 0)
        return r;
    r = json_get_uint64(image, "virtual-size", &v->size);
    if (r < 0)
        return r;
    r = json_get_uint64_or(image, "actual-size", 0, &v->allocated);
    if (r < 0)
        return r;
    r = json_get_bool(o, "ro", &v->read_only);
    if (r < 0)
        return r;
    r = dup_text_or_none(o, "file", &v->file);
    if (r < 0)
        return r;
    if (!v->file)
        return -EBADMSG;
    /* The node's own backing_file is what QEMU has made of it. */
    r = dup_text_or_none(image, "backing-filename", &v->backing_file);
    if (r < 0)
        return r;
    r = dup_string(o, "drv", &v->driver);
    if (r < 0)
        return r;
    r = parse_format(v, image);
    return r < 0 ? r : parse_bitmaps(v, o);
}

int block_take_nodes(Graph *g, json_object *value)
{
    return each(g, value, GRAPH_VERTICES_MAX, parse_node);
}

static int has_bitmaps(json_object *node, bool *ret)
{
    json_object *array;

    *ret = false;
    int r = json_get_array(node, "dirty-bitmaps", &array);
    if (r < 0)
        return r == -ENODATA ? 0 : r;

    for (size_t i = 0; !*ret && i < json_object_array_length(array); i++) {
        json_object *element = json_object_array_get_idx(array, i);
        const char *name;

        if (!json_object_is_type(element, json_type_object))
            return -EBADMSG;
        r = json_get_string_or(element, "name", NULL, &name);
        if (r < 0)
            return r;
        *ret = name;
    }
    return 0;
}

static int parse_bitmap_holder(Graph *g, json_object *o)
{
    bool wanted;

    int r = has_bitmaps(o, &wanted);
    if (r < 0 || !wanted)
        return r;

    GraphVertex *v = graph_add_vertex(g);
    return v ? dup_string(o, "node-name", &v->name) : -ENOMEM;
}

int block_take_bitmap_holders(Graph *g, json_object *value)
{
    return each(g, value, GRAPH_VERTICES_MAX, parse_bitmap_holder);
}

static int parse_device(Graph *g, json_object *o)
{
    json_object *inserted = NULL;

    if (g->n_devices >= GRAPH_DEVICES_MAX)
        return -E2BIG;

    GraphDevice *d = graph_add_device(g);
    if (!d)
        return -ENOMEM;

    int r = dup_string(o, "device", &d->drive);
    if (r < 0)
        return r;
    r = dup_string_or(o, "qdev", "", &d->qdev);
    if (r < 0)
        return r;
    r = json_get_object(o, "inserted", &inserted);
    if (r == -ENODATA) {
        d->node = strdup("");
        d->group = strdup("");
        return d->node && d->group ? 0 : -ENOMEM;
    }
    if (r < 0)
        return r;
    r = dup_string_or(inserted, "node-name", "", &d->node);
    return r < 0 ? r : dup_string_or(inserted, "group", "", &d->group);
}

int block_take_devices(Graph *g, json_object *value)
{
    return each(g, value, GRAPH_VERTICES_MAX, parse_device);
}

static int parse_export(Graph *g, json_object *o)
{
    if (g->n_exports >= GRAPH_EXPORTS_MAX)
        return -E2BIG;

    GraphExport *e = graph_add_export(g);
    if (!e)
        return -ENOMEM;

    int r = dup_string(o, "id", &e->id);
    return r < 0 ? r : dup_string(o, "node-name", &e->node);
}

int block_take_exports(Graph *g, json_object *value)
{
    return each(g, value, GRAPH_VERTICES_MAX, parse_export);
}

static int parse_job(Graph *g, json_object *o)
{
    if (g->n_jobs >= GRAPH_JOBS_MAX)
        return -E2BIG;

    GraphJob *j = graph_add_job(g);
    if (!j)
        return -ENOMEM;

    int r = dup_string(o, "id", &j->id);
    if (r < 0)
        return r;
    r = dup_string(o, "type", &j->type);
    if (r < 0)
        return r;
    r = dup_string(o, "status", &j->status);
    if (r < 0)
        return r;
    r = json_get_uint64(o, "current-progress", &j->offset);
    if (r < 0)
        return r;
    r = json_get_uint64(o, "total-progress", &j->length);
    if (r < 0)
        return r;
    return dup_text_or_none(o, "error", &j->error);
}

int block_take_jobs(Graph *g, json_object *value)
{
    return each(g, value, GRAPH_VERTICES_MAX, parse_job);
}

/* A word that QEMU does not know yet is a failure of some kind. */
static GraphIoStatus io_status_of(const char *word)
{
    if (strcmp(word, "ok") == 0)
        return GRAPH_IO_OK;
    return strcmp(word, "nospace") == 0 ? GRAPH_IO_NO_SPACE : GRAPH_IO_FAILED;
}

static int parse_block_job(Graph *g, json_object *o)
{
    const char *id, *io_status;

    int r = json_get_string(o, "device", &id);
    if (r < 0)
        return r;

    /* Both lists are of one graph that this module made. */
    GraphJob *j = (GraphJob *)graph_find_job(g, id);
    if (!j)
        return 0;

    j->block = true;
    r = json_get_uint64(o, "speed", &j->speed);
    if (r < 0)
        return r;
    r = json_get_bool(o, "paused", &j->paused);
    if (r < 0)
        return r;
    r = json_get_string_or(o, "io-status", "ok", &io_status);
    if (r < 0)
        return r;
    j->io_status = io_status_of(io_status);
    return json_get_bool(o, "auto-finalize", &j->auto_finalize);
}

int block_take_block_jobs(Graph *g, json_object *value)
{
    return each(g, value, GRAPH_VERTICES_MAX, parse_block_job);
}
