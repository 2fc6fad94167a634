/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The world of one fault: a VM whose guest writes without pause on a chain of images, and a daemon
 * that goes wrong where it is told to. A thousand of them are made, so that the guest is not booted
 * each time: a template holds its images and its running state.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "guest.h"
#include "qemu.h"
#include "rig.h"

#define WORLD_VM "web1"
#define WORLD_DISKS_MAX 2

/* Made once for each number of disks and depth of their chains; its directory outlives the process
 * that made it. */
typedef struct Template {
    char *dir;
    unsigned disks, depth;
} Template;

Template *template_new(unsigned disks, unsigned depth);
void template_free(Template *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Template, template_free)

typedef struct World {
    const Template *template;
    Rig *rig;
    Recorder *recorder; /* that of the rig */
    Qemu *vm;
    Guest *guest;
    unsigned disks;
    char *vm_path;
    char *top[WORLD_DISKS_MAX];  /* the images that the VM was started from */
    char *disk[WORLD_DISKS_MAX]; /* object paths */
} World;

/* "vda" and up. */
const char *world_disk_name(unsigned disk);

/* fault: for VMDISK_FAULT, NULL for none. log: for VMDISK_FAULT_LOG, NULL for none. redial: there
 * is no descriptor store, QEMU dials in again. Daemon and VM run when it returns. */
World *world_new(const Template *t, const char *fault, const char *log, bool redial);
void world_free(World *w);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(World, world_free)

/* Starts the daemon again, after its end; nothing goes wrong any more. */
void world_restart_daemon(World *w);
/* What is on record as the image to boot, as ListImages says; that of the command line where
 * nothing is. Needs the daemon. */
char *world_boot_image(World *w, unsigned disk);
/* QEMU being dead or paused: the images to boot hold every write that the guest was told is there;
 * either all are those that the VM was started from, or none is. */
void world_check_nothing_lost(World *w);
/* Starts a VM from the images to boot, as an operator would: it must not be warned of. */
void world_check_boots(World *w);
