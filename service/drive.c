/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "drive.h"

#include <errno.h>
#include <string.h>

#include "chain.h"
#include "text.h"

static void drive_done(Drive *d)
{
    for (size_t i = 0; i < d->n_keys; i++)
        free(d->keys[i]);
    free(d->keys);
    free(d->name);
    free(d->device);
    free(d->root);
}

Drives *drives_free(Drives *d)
{
    if (!d)
        return NULL;
    for (size_t i = 0; i < d->n; i++)
        drive_done(&d->drives[i]);
    free(d->drives);
    free(d);
    return NULL;
}

bool drive_keys_meet(char *const *a, size_t n_a, char *const *b, size_t n_b)
{
    for (size_t i = 0; i < n_a; i++)
        for (size_t j = 0; j < n_b; j++)
            if (strcmp(a[i], b[j]) == 0)
                return true;
    return false;
}

static int drive_add_key(Drive *d, const char *kind, const char *value)
{
    if (d->n_keys >= DRIVE_KEYS_MAX)
        return 0;
    if (!d->keys) {
        d->keys = calloc(DRIVE_KEYS_MAX, sizeof(char *));
        if (!d->keys)
            return -ENOMEM;
    }

    char *key = text_format("%s:%s", kind, value);
    if (!key)
        return -ENOMEM;
    d->keys[d->n_keys++] = key;
    return 0;
}

static int drives_add(Drives *all, const char *name, const char *device, const char *root,
                      Drive **ret)
{
    Drive *grown = reallocarray(all->drives, all->n + 1, sizeof(Drive));
    if (!grown)
        return -ENOMEM;

    all->drives = grown;
    Drive *d = &all->drives[all->n++];
    *d = (Drive){.name = strdup(name), .device = strdup(device), .root = strdup(root)};
    if (!d->name || !d->device || !d->root)
        return -ENOMEM;
    *ret = d;
    return 0;
}

/*
 * The id that a user gave to a device. query-block shows a bare id (scsi-hd), or a QOM path with
 * the id as third part (/machine/peripheral/vda/virtio-backend); devices without an id are below
 * /machine/peripheral-anon or /machine/unattached. NULL where there is none; the caller frees.
 */
static char *device_id(const char *qdev)
{
    static const char prefix[] = "/machine/peripheral/";

    if (*qdev && *qdev != '/')
        return strdup(qdev);
    if (!text_has_prefix(qdev, prefix))
        return NULL;

    const char *id = qdev + strlen(prefix);
    return strndup(id, strcspn(id, "/"));
}

static int add_device(Drives *all, const GraphDevice *device)
{
    _cleanup_(freep) char *id = device_id(device->qdev);
    const char *name = id && *id ? id : *device->drive ? device->drive : device->node;
    Drive *d;

    /* The machine's empty slots (sd0) and anonymous devices without a medium have no name. */
    if (!*name || strlen(name) > DRIVE_NAME_MAX || (!*device->qdev && !*device->node))
        return 0;

    int r = drives_add(all, name, device->qdev, device->node, &d);
    if (r < 0)
        return r;

    d->firmware = text_has_prefix(device->qdev, "/machine/system.flash");
    if (*device->qdev) {
        r = drive_add_key(d, "device", device->qdev);
        if (r < 0)
            return r;
    }
    return *device->drive ? drive_add_key(d, "drive", device->drive) : 0;
}

static Drive *find_root(const Drives *all, const char *root)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->drives[i].root, root) == 0)
            return &all->drives[i];
    return NULL;
}

/* A disk without a device, known by its top node and named after it. */
static int add_node(Drives *all, const char *node, Drive **ret)
{
    int r = drives_add(all, node, "", node, ret);

    return r < 0 ? r : drive_add_key(*ret, "node", node);
}

static int add_export(Drives *all, const Graph *g, const GraphExport *export)
{
    /* A node that came up while the graph was read is not in it yet; the disk is there all the
     * same. */
    const GraphVertex *v = graph_find(g, GRAPH_NODE, export->node);
    const char *root = v ? chain_skip_job_filters(g, v)->name : export->node;
    Drive *d = find_root(all, root);

    if (!d) {
        int r = add_node(all, root, &d);
        if (r < 0)
            return r;
    }
    return drive_add_key(d, "export", export->id);
}

/* What is known of an image when one comes to it from above. */
typedef enum ImageMark {
    IMAGE_UNKNOWN,
    IMAGE_CLAIMED, /* it belongs to a disk found before, or an image below it does */
    IMAGE_FREE,
} ImageMark;

/* Goes down from root to the first image that has a mark, and returns that; the images before it
 * get the mark `set`. So no image is passed often, however many nodes stand on it. */
static ImageMark visit_images(const Graph *g, const char *root, ImageMark *marks, ImageMark set)
{
    const GraphVertex *v = graph_find(g, GRAPH_NODE, root);

    for (size_t steps = 0; v && steps <= g->n_vertices; steps++) {
        v = chain_skip_filters(g, v);
        if (!v)
            break;

        ImageMark *mark = &marks[v - g->vertices];
        if (*mark != IMAGE_UNKNOWN)
            return *mark;
        *mark = set;
        v = graph_child(g, v, "backing");
    }
    return IMAGE_FREE;
}

/* A node that nobody uses is a disk of its own, unless an image below it belongs to a disk found
 * before: then it is what a pivot left behind. */
static int add_unused_nodes(Drives *all, const Graph *g)
{
    _cleanup_(freep) ImageMark *marks = calloc(g->n_vertices + 1, sizeof(ImageMark));
    if (!marks)
        return -ENOMEM;

    for (size_t i = 0; i < all->n; i++)
        visit_images(g, all->drives[i].root, marks, IMAGE_CLAIMED);

    for (size_t i = 0; i < g->n_vertices; i++) {
        const GraphVertex *v = &g->vertices[i];
        Drive *d;

        if (v->type != GRAPH_NODE || graph_has_parent(g, v))
            continue;

        const char *root = chain_skip_job_filters(g, v)->name;
        ImageMark mark = visit_images(g, root, marks, IMAGE_UNKNOWN);
        visit_images(g, root, marks, mark);
        if (mark == IMAGE_CLAIMED)
            continue;

        int r = add_node(all, root, &d);
        if (r < 0)
            return r;
    }
    return 0;
}

int drives_new_from_graph(const Graph *g, Drives **ret)
{
    _cleanup_(drives_freep) Drives *all = calloc(1, sizeof(Drives));
    int r;

    if (!all)
        return -ENOMEM;

    for (size_t i = 0; i < g->n_devices; i++) {
        r = add_device(all, &g->devices[i]);
        if (r < 0)
            return r;
    }

    /* A process with devices is a VM; what it exports besides are copies, not disks. */
    if (g->n_devices == 0) {
        for (size_t i = 0; i < g->n_exports; i++) {
            r = add_export(all, g, &g->exports[i]);
            if (r < 0)
                return r;
        }
        r = add_unused_nodes(all, g);
        if (r < 0)
            return r;
    }

    *ret = TAKE_PTR(all);
    return 0;
}
