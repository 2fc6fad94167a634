/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block-answer takes QEMU's answers to the questions of block-read into a Graph, member by member,
 * and believes none of them: -EBADMSG or -ENODATA for what no QEMU says, -E2BIG for more than
 * graph.h allows, -ENOMEM.
 */
#pragma once

#include <json-c/json.h>

#include "graph.h"

/* x-debug-query-block-graph: vertices and edges, ready for the look-ups. */
int block_take_graph(Graph *g, json_object *value);
/* query-named-block-nodes: fills in the vertices that are there; a node that came up since is left
 * to the next reading. */
int block_take_nodes(Graph *g, json_object *value);
/* The same answer, where there are no vertices: one, with no more than its name, for each node that
 * has a bitmap with a name. */
int block_take_bitmap_holders(Graph *g, json_object *value);
/* query-block. */
int block_take_devices(Graph *g, json_object *value);
/* query-block-exports. */
int block_take_exports(Graph *g, json_object *value);
/* query-jobs. */
int block_take_jobs(Graph *g, json_object *value);
/* query-block-jobs, for the jobs that are there. */
int block_take_block_jobs(Graph *g, json_object *value);
