/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * chain is the list of images below a node, active one first, base last, without the filters
 * between them. Drawn from a graph; it asks nobody.
 */
#pragma once

#include "graph.h"

/* Filters in a row: of users, and one for each job. More are a loop, or a joke. */
#define CHAIN_FILTERS_MAX 64

typedef struct ChainImage {
    char *node;
    char *file; /* QEMU's name of it: a path, json:{…}, nbd://… */
    char *format;
    char *backing_file; /* what the image records, NULL for none */
    uint64_t size;      /* virtual, bytes */
    bool read_only;
} ChainImage;

typedef struct Chain {
    char *root; /* the node that device or export uses: a filter, or the active image */
    ChainImage *images;
    size_t n;
} Chain;

/* An empty chain for root "" (a drive without a medium). -ENOENT: the node is not in the graph, or
 * was not described; -ELOOP: the graph is no tree; -ENOMEM. */
int chain_new_from_graph(const Graph *g, const char *root, Chain **ret);
/* Bytes of the strings that the chain would have, without making it. */
size_t chain_count_bytes(const Graph *g, const char *root);
Chain *chain_free(Chain *c);
DEFINE_CLEANUP(Chain, chain_free)

bool chain_equal(const Chain *a, const Chain *b);
/* Index of the image with that node, -1 for none. */
int chain_find_node(const Chain *c, const char *node);
/* Neither an absolute path nor a name with a protocol (block.c: path_has_protocol()). */
bool chain_is_relative(const char *name);
/* The name of the file that an image is in, below whatever it was opened with; relative to QEMU's
 * directory where it was given so. NULL where only "json:" tells. */
const char *chain_file_name(const Graph *g, const char *node);
/* The name by which an image could record a deeper one where all from there down to the one above
 * it record relative names: made of these. NULL where one does not, or without memory. The caller
 * frees. */
char *chain_relative_name(const Chain *c, size_t image, size_t deeper);
/* Whether libvirt named a node of the chain: that VM is libvirt's to change. */
bool chain_is_libvirt(const Chain *c);

/* Drivers that show the data of one child and are no image of their own. */
bool chain_driver_is_filter(const char *driver);
/* The node below the filters that QEMU puts above an image while a job runs; v itself for none, and
 * for too many. */
const GraphVertex *chain_skip_job_filters(const Graph *g, const GraphVertex *v);
/* The image below the filters that start at v, NULL where the graph does not tell, or for too many.
 */
const GraphVertex *chain_skip_filters(const Graph *g, const GraphVertex *v);
