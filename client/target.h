/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * target finds what a person means by VM/DISK. Names may contain any character, slashes too, so
 * nothing is cut apart: what is published is compared as a whole. An object path is taken as well.
 */
#pragma once

#include "model.h"

typedef struct Target {
    const Vm *vm;
    const Disk *disk; /* NULL where a VM was named */
    char *name;       /* "VM/DISK" as it is */
    char *label;      /* the same for people */
} Target;

/* The target points into the model. NoSuchVM or NoSuchDisk with near names, InvalidArgs where the
 * name fits several. */
int target_find_disk(const Model *m, const char *word, Target *ret, sd_bus_error *error);
int target_find_vm(const Model *m, const char *word, Target *ret, sd_bus_error *error);
int target_find(const Model *m, const char *word, Target *ret, sd_bus_error *error);
void target_done(Target *t);
/* Object path. */
const char *target_path(const Target *t);

/* "VM/DISK". The caller frees. */
char *target_disk_name(const Vm *vm, const Disk *disk);
