/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "chain.h"

#include <errno.h>
#include <string.h>

#include "text.h"

/* QEMU's filter drivers (BlockDriver.is_filter, 7.2 to 10.0). */
static const char *const filters[] = {
    "blkdebug",          "blklogwrites", "blkreplay",  "blkverify",  "commit_top",  "compress",
    "copy-before-write", "copy-on-read", "mirror_top", "backup-top", "preallocate", "throttle",
};

bool chain_driver_is_filter(const char *driver)
{
    for (size_t i = 0; i < ELEMENTSOF(filters); i++)
        if (strcmp(driver, filters[i]) == 0)
            return true;
    return false;
}

const GraphVertex *chain_skip_job_filters(const Graph *g, const GraphVertex *v)
{
    const GraphVertex *start = v;

    for (size_t n = 0; n <= CHAIN_FILTERS_MAX; n++) {
        if (!text_equal(v->driver, "mirror_top") && !text_equal(v->driver, "commit_top"))
            return v;

        const GraphVertex *below = graph_child(g, v, "backing");
        if (!below)
            return v;
        v = below;
    }
    return start;
}

const GraphVertex *chain_skip_filters(const Graph *g, const GraphVertex *v)
{
    for (size_t n = 0; v && n <= CHAIN_FILTERS_MAX; n++) {
        if (!v->driver)
            return NULL;
        if (!chain_driver_is_filter(v->driver))
            return v;

        const GraphVertex *below = graph_child(g, v, "file");
        v = below ? below : graph_child(g, v, "backing");
    }
    return NULL;
}

Chain *chain_free(Chain *c)
{
    if (!c)
        return NULL;
    for (size_t i = 0; i < c->n; i++) {
        free(c->images[i].node);
        free(c->images[i].file);
        free(c->images[i].format);
        free(c->images[i].backing_file);
    }
    free(c->images);
    free(c->root);
    free(c);
    return NULL;
}

static const GraphVertex *next_image(const Graph *g, const GraphVertex *image)
{
    return graph_child(g, image, "backing");
}

/* The number of images from v down; -ENOENT and -ELOOP as chain_new_from_graph(). */
static int count_images(const Graph *g, const GraphVertex *v, size_t *ret)
{
    size_t n = 0;

    for (; v; v = next_image(g, v)) {
        v = chain_skip_filters(g, v);
        if (!v)
            return -ENOENT;
        if (n >= g->n_vertices)
            return -ELOOP;
        n++;
    }
    *ret = n;
    return 0;
}

static int chain_append(Chain *c, const GraphVertex *v)
{
    ChainImage *image = &c->images[c->n++];

    *image = (ChainImage){
        .node = strdup(v->name),
        .file = strdup(v->file),
        .format = strdup(v->driver),
        .backing_file = v->backing_file ? strdup(v->backing_file) : NULL,
        .size = v->size,
        .read_only = v->read_only,
    };
    bool whole =
        image->node && image->file && image->format && (image->backing_file || !v->backing_file);
    return whole ? 0 : -ENOMEM;
}

static int chain_fill(Chain *c, const Graph *g, const GraphVertex *v)
{
    size_t n;
    int r = count_images(g, v, &n);
    if (r < 0)
        return r;

    c->images = calloc(n, sizeof(ChainImage));
    if (!c->images)
        return -ENOMEM;

    for (; v; v = next_image(g, v)) {
        v = chain_skip_filters(g, v);
        r = chain_append(c, v);
        if (r < 0)
            return r;
    }
    return 0;
}

int chain_new_from_graph(const Graph *g, const char *root, Chain **ret)
{
    _cleanup_(chain_freep) Chain *c = calloc(1, sizeof(Chain));
    if (!c)
        return -ENOMEM;

    c->root = strdup(root);
    if (!c->root)
        return -ENOMEM;

    if (*root) {
        const GraphVertex *v = graph_find(g, GRAPH_NODE, root);
        int r = v ? chain_fill(c, g, v) : -ENOENT;
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(c);
    return 0;
}

size_t chain_count_bytes(const Graph *g, const char *root)
{
    const GraphVertex *v = graph_find(g, GRAPH_NODE, root);
    size_t bytes = 0;

    for (size_t steps = 0; v && steps < g->n_vertices; steps++) {
        v = chain_skip_filters(g, v);
        if (!v)
            break;
        bytes += strlen(v->name) + strlen(v->driver) + (v->file ? strlen(v->file) : 0) +
                 (v->backing_file ? strlen(v->backing_file) : 0);
        v = graph_child(g, v, "backing");
    }
    return bytes;
}

static bool image_equal(const ChainImage *a, const ChainImage *b)
{
    return text_equal(a->node, b->node) && text_equal(a->file, b->file) &&
           text_equal(a->format, b->format) && text_equal(a->backing_file, b->backing_file) &&
           a->size == b->size && a->read_only == b->read_only;
}

bool chain_equal(const Chain *a, const Chain *b)
{
    if (a->n != b->n || !text_equal(a->root, b->root))
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (!image_equal(&a->images[i], &b->images[i]))
            return false;
    return true;
}

int chain_find_node(const Chain *c, const char *node)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->images[i].node, node) == 0)
            return (int)i;
    return -1;
}

bool chain_is_relative(const char *name)
{
    return *name != '/' && name[strcspn(name, ":/")] != ':';
}

char *chain_relative_name(const Chain *c, size_t image, size_t deeper)
{
    char *name = strdup("");

    for (size_t i = image; name && i < deeper; i++) {
        const char *next = c->images[i].backing_file, *slash = strrchr(name, '/');
        char *longer = NULL;

        /* Each name is relative to the directory of the image that records it. */
        if (next && *next && chain_is_relative(next))
            longer = text_format("%.*s%s", slash ? (int)(slash - name + 1) : 0, name, next);
        free(name);
        name = longer;
    }
    return name;
}

/* libvirt names its nodes libvirt-NUMBER-format and libvirt-NUMBER-storage. */
bool chain_is_libvirt(const Chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const char *node = c->images[i].node;

        if (text_has_prefix(node, "libvirt-") &&
            (text_has_suffix(node, "-format") || text_has_suffix(node, "-storage")))
            return true;
    }
    return text_has_prefix(c->root, "libvirt-");
}

const char *chain_file_name(const Graph *g, const char *node)
{
    const GraphVertex *v = graph_find(g, GRAPH_NODE, node);

    for (size_t steps = 0; v && steps <= CHAIN_FILTERS_MAX; steps++) {
        if (v->file && *v->file && !text_has_prefix(v->file, "json:"))
            return v->file;
        v = graph_child(g, v, "file");
    }
    return NULL;
}
