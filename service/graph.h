/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * graph is QEMU's block graph as one reading of it found it: nodes, edges, devices, exports, jobs.
 * Plain data with look-ups; the engine fills it, chain and drive draw conclusions from it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/* Vertices of one graph, and edges: eight times the 200 images that are supported. A process that
 * claims more is not believed. Devices, exports and jobs are limited as vertices are. */
#define GRAPH_VERTICES_MAX 4096
#define GRAPH_EDGES_MAX 16384
/* Devices, exports and jobs of one graph, each. */
#define GRAPH_DEVICES_MAX 1024
#define GRAPH_EXPORTS_MAX 1024
#define GRAPH_JOBS_MAX 256
/* Dirty bitmaps of one node; a commit takes 256. A qcow2 image could hold 65535. */
#define GRAPH_BITMAPS_MAX 16384
/* Bytes of a name, id or word of QEMU's. */
#define GRAPH_NAME_MAX 4096
/* Bytes of a file name or an error text. json:{…} names nest: 200 images make one of 30 KB. */
#define GRAPH_TEXT_MAX (256U * 1024U)

typedef enum GraphVertexType {
    GRAPH_NODE,    /* a block node */
    GRAPH_BACKEND, /* what a device or an export uses a node through */
    GRAPH_JOB,
    GRAPH_VERTEX_TYPE_MAX_,
} GraphVertexType;

/* A dirty bitmap that has a name; those of jobs have none and are left out. */
typedef struct GraphBitmap {
    char *name;
    uint64_t granularity; /* bytes that a bit stands for */
    uint64_t count;       /* bytes that are marked */
    bool persistent;      /* stored in the image when QEMU closes it */
    bool recording;
    bool busy;         /* a job or an export works with it: it cannot be changed, or merged */
    bool inconsistent; /* not stored when its image was used last: of no use but to be removed */
} GraphBitmap;

typedef struct GraphVertex {
    GraphVertexType type;
    uint64_t id; /* QEMU's number, the same only within one reading */
    char *name;  /* node name, backend's name ("" for none) or job id */
    /* Of nodes only; driver is NULL where query-named-block-nodes did not know the node. */
    char *driver;
    char *file;
    char *backing_file; /* what the image records, NULL for none */
    uint64_t size;      /* virtual, bytes */
    uint64_t allocated; /* bytes that it takes where it is stored, 0 where QEMU does not tell */
    bool read_only;
    bool stores_bitmaps; /* the image's format has room for persistent bitmaps */
    GraphBitmap *bitmaps;
    size_t n_bitmaps;
} GraphVertex;

typedef struct GraphEdge {
    uint64_t parent, child; /* GraphVertex.id */
    char *name;             /* "file", "backing", "root"; of jobs "source", "target", … */
} GraphEdge;

typedef struct GraphDevice {
    char *drive; /* -drive id, "" for none */
    char *qdev;  /* QOM path or bare id, "" for none */
    char *node;  /* inserted node, "" for an empty drive */
    char *group; /* of its throttle, "" for none */
} GraphDevice;

typedef struct GraphExport {
    char *id;
    char *node;
} GraphExport;

/* QAPI type BlockDeviceIoStatus: what a job that an I/O error has paused was stopped by. */
typedef enum GraphIoStatus {
    GRAPH_IO_OK,
    GRAPH_IO_NO_SPACE,
    GRAPH_IO_FAILED,
} GraphIoStatus;

typedef struct GraphJob {
    char *id;
    char *type;   /* QAPI type JobType */
    char *status; /* QAPI type JobStatus */
    char *error;  /* NULL for none */
    uint64_t offset, length;
    uint64_t speed;
    bool block;         /* known to query-block-jobs, which says what follows, and the speed */
    bool paused;        /* somebody has paused it, or QEMU has for the time of a drain */
    bool auto_finalize; /* QEMU changes the graph without being asked */
    GraphIoStatus io_status;
} GraphJob;

typedef struct Graph {
    GraphVertex *vertices;
    size_t n_vertices;
    GraphEdge *edges;
    size_t n_edges;
    GraphDevice *devices;
    size_t n_devices;
    GraphExport *exports;
    size_t n_exports;
    GraphJob *jobs;
    size_t n_jobs;
} Graph;

Graph *graph_new(void);
Graph *graph_free(Graph *g);
DEFINE_CLEANUP(Graph, graph_free)

/* Appends a zeroed element and returns it, NULL without memory. Invalidates earlier pointers. */
GraphVertex *graph_add_vertex(Graph *g);
GraphBitmap *graph_add_bitmap(GraphVertex *v);
GraphEdge *graph_add_edge(Graph *g);
GraphDevice *graph_add_device(Graph *g);
GraphExport *graph_add_export(Graph *g);
GraphJob *graph_add_job(Graph *g);

/* Sorts for the look-ups below: call it once all vertices and edges are there. */
void graph_index(Graph *g);
GraphVertex *graph_find(const Graph *g, GraphVertexType type, const char *name);
/* The child behind the named edge; NULL for none. */
GraphVertex *graph_child(const Graph *g, const GraphVertex *parent, const char *edge);
/* The child behind the n-th edge of the parent, whatever its name; NULL at the end. */
GraphVertex *graph_nth_child(const Graph *g, const GraphVertex *parent, size_t n);
const GraphBitmap *graph_find_bitmap(const GraphVertex *v, const char *name);
const GraphJob *graph_find_job(const Graph *g, const char *id);
/* Whether both have nodes, the same ones with the same files. */
bool graph_same_files(const Graph *a, const Graph *b);
/* Whether an edge leads to the node from anything but a job, or from one that merges it into
 * another.
 */
bool graph_has_parent(const Graph *g, const GraphVertex *node);
