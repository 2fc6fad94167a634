/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Graphs by hand, written as text. One thing a line, words separated by one space, "-" for an empty
 * word:
 *
 *     node NAME DRIVER [ro]      DRIVER "?": query-named-block-nodes did not know the node
 *     bitmap NODE NAME [stored] [recording] [busy] [inconsistent] [GRANULARITY COUNT]
 *     backend NAME
 *     job NAME
 *     edge PARENT NAME CHILD     NAME: "_" for a space
 *     device DRIVE QDEV NODE
 *     export ID NODE
 *
 * The file of a node is "/NAME", its size 1 MiB; a bitmap has no marks and a granularity of 64 KiB.
 * Numbers of vertices are in no order.
 */
#pragma once

#include <glib.h>

#include "graph.h"

Graph *make_graph(const char *text);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Graph, graph_free)
