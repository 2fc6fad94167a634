/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of one VM that are committed together, on a real QEMU, under a guest that writes the same
 * counter to all of them in lock step.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "guest.h"
#include "rig.h"

#define CREW_DISKS_MAX 8

typedef enum Oddity {
    ODDITY_NONE,
    ODDITY_SLOW,      /* the base of the last disk takes 64 KiB/s, or slow_speed */
    ODDITY_FULL,      /* the base of the last disk takes no writes */
    ODDITY_ALONE,     /* the last disk has no backing image */
    ODDITY_READ_ONLY, /* the last disk is one more, read-only */
} Oddity;

typedef struct CrewOptions {
    unsigned disks;
    Oddity oddity;
    bool iothreads;      /* each disk is served by a thread of its own */
    bool drive;          /* -drive instead of -blockdev; without an oddity */
    unsigned slots;      /* of the guest, on each disk; 0: as it likes */
    unsigned shift;      /* GuestOptions.shift */
    unsigned slow_speed; /* bytes/s of a slow base */
} CrewOptions;

typedef struct Crew {
    Rig *rig;
    Recorder *recorder;
    Qemu *vm;
    Guest *guest;
    CrewOptions options;
    unsigned disks;
    char *path; /* of the VM */
    /* Images, and the objects of the disks. The node of an image is named as its file. */
    char *base[CREW_DISKS_MAX], *top[CREW_DISKS_MAX], *disk[CREW_DISKS_MAX];
} Crew;

/* As many disks as the guest writes to; the oddity is of the last one. Each slot is in the
 * overlays: what a base gets later does not show through. */
Crew *crew_new(const CrewOptions *options);
void crew_free(Crew *c);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Crew, crew_free)

/* Waits until the guest has written each slot anew. */
void crew_fill_slots(Crew *c);
/* A method of the VM without arguments. */
void crew_call(Crew *c, const char *member);
/* VM.Commit(true); the position from which its signals are to be sought. */
unsigned crew_commit(Crew *c);
void crew_wait_ready(Crew *c, unsigned from);
unsigned crew_commit_until_ready(Crew *c);
/* JobsFinished, once, with these results in the order of the disks; "" for one that is left out. */
void crew_check_finished(Crew *c, unsigned from, const char *const *results);
void crew_check_all_finished(Crew *c, unsigned from, const char *result);
/* The images hold one instant: that of disk 0, which is written first, is ahead of each other by
 * one write at most. */
void crew_check_one_instant(Crew *c, char *const *files);
/* Kills the VM: these images hold all that the guest was told is there. */
void crew_check_nothing_lost(Crew *c, char *const *files, unsigned disks);
