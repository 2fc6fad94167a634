/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * drive finds the disks in a graph: what a guest's devices use, or, in a storage daemon, what its
 * exports use and the top nodes that nobody uses.
 *
 * A disk is known by its keys, not by its node: a pivot changes the node under a device or an
 * export. Two readings show the same disk if they share a key.
 */
#pragma once

#include "graph.h"

/* Bytes of a disk's name; a device with a longer one is not shown. */
#define DRIVE_NAME_MAX 255
/* Keys of a disk: device, drive, root node, and one per export of the node. */
#define DRIVE_KEYS_MAX 64

typedef struct Drive {
    char *name;   /* what people call it: device id, else drive id, else node */
    char *device; /* QEMU's qdev, "" for none */
    char *root;   /* node that the device or export uses, "" for an empty drive */
    char **keys;
    size_t n_keys;
    bool firmware; /* flash of the machine: shown, not offered for jobs */
} Drive;

typedef struct Drives {
    Drive *drives;
    size_t n;
} Drives;

/* 0 or -ENOMEM. Names need not be unique. */
int drives_new_from_graph(const Graph *g, Drives **ret);
Drives *drives_free(Drives *d);
DEFINE_CLEANUP(Drives, drives_free)

/* Whether both lists of keys have one in common. */
bool drive_keys_meet(char *const *a, size_t n_a, char *const *b, size_t n_b);
