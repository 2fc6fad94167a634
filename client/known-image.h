/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * known-image: what the service has on record of each image, whether its VM runs or not. Model is
 * what it publishes of the VMs that do.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "client.h"
#include "cleanup.h"
#include "record.h"

typedef struct KnownImage {
    char *file, *vm, *disk, *state;
    char *use_instead; /* of merging and stale images, else NULL */
    uint64_t since_usec;
    char *disk_name;           /* "VM/DISK" */
    char *vm_path, *disk_path; /* the objects as they are named when the VM runs */
    size_t place;              /* in the service's list: the active image before its base */
} KnownImage;

typedef struct KnownImages {
    KnownImage *images; /* by VM, disk and place */
    size_t n;
} KnownImages;

extern const RecordField known_image_fields[];

int known_images_read(Client *c, KnownImages **ret, sd_bus_error *error);
KnownImages *known_images_free(KnownImages *k);
DEFINE_CLEANUP(KnownImages, known_images_free)
/* Drops all but the images of the VM or disk that the word names. */
void known_images_keep(KnownImages *k, const char *word);

bool known_image_is(const KnownImage *image, const char *state);
/* Whether the word is the name or the object path of the image's disk. */
bool known_image_has_disk(const KnownImage *image, const char *word);
