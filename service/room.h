/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * room tells from a graph whether an image can become larger. Of a file system it knows nothing.
 */
#pragma once

#include <stdbool.h>

#include "graph.h"

/* Bytes of the device, export or the like that the image is on; 0 where that can grow, or the graph
 * does not tell. */
uint64_t room_of_image(const Graph *g, const GraphVertex *image);
/* The image has the size that it has: by its format, or because it is as large as what it is stored
 * on. */
bool room_is_fixed(const Graph *g, const GraphVertex *image);
