/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bitmap tells what a commit means for the named dirty bitmaps of the images that it merges: which
 * are carried into the base, what the base's have to mark then, and which are lost. Drawn from a
 * graph; it asks nobody.
 *
 * A bitmap marks writes to its own image only. So what has changed on a disk since its bitmap "n"
 * was started is what n marks, in each image that has it, and all that is in the images above the
 * deepest of these: an image that lacks n, or whose n was started later, held writes that no n
 * marks. After a commit, the base's n has to mark as much of it as has come into the base; more is
 * safe, less is a backup that lacks data.
 *
 *   n of the base             n of the merged images      the base's n afterwards
 *   records                   any                         as it is: it marks what the commit writes
 *   is not there              in the top only             made; marks what top's marks
 *   is not there              deeper, too; one records    made; marks what theirs do, and all that
 *                                                         the commit writes
 *   does not record           one records                 the same, and records from here on
 *   either of the two above   none records                marks what theirs do; does not record
 *
 * All that the commit writes is what the recorder marks: a bitmap of ours on the base, not stored,
 * there from before the job until its end. Bitmaps that are inconsistent are worth nothing and
 * count as not there; one in the base that is in the way makes n lost. Bitmaps that are not stored
 * are carried as what they are.
 */
#pragma once

#include "graph.h"

/* Names of one commit. */
#define BITMAPS_MAX 256
/* Bytes of the command that carries them, roughly: QEMU takes 3 µs for each, while guest I/O stands
 * still. */
#define BITMAPS_COMMAND_MAX (64U * 1024U)
/* The recorder's name. One that is left of an earlier commit has marked more, and serves as well.
 */
#define BITMAP_RECORDER "vmdisk-recorder"

typedef enum BitmapFate {
    BITMAP_RECORDED,  /* the base's own bitmap marks all of it */
    BITMAP_CARRIED,   /* made in the base, or merged into the one there */
    BITMAP_WORTHLESS, /* inconsistent before: nothing to lose */
    /* Lost: … */
    BITMAP_LOST_FORMAT,       /* the base's format stores no bitmaps */
    BITMAP_LOST_TRANSIENT,    /* the base's bitmap of that name is not stored */
    BITMAP_LOST_INCONSISTENT, /* the base's bitmap of that name is */
    BITMAP_LOST_BUSY,         /* a job or an export has it, or the base's */
    BITMAP_LOST_SIZE,         /* its image will differ in size from the base */
    BITMAP_LOST_UNRECORDED, /* came up during the job: what had been written before is not known */
    BITMAP_LOST_MANY,       /* beyond the limits above */
    BITMAP_FATE_MAX_,
} BitmapFate;

typedef struct BitmapItem {
    char *name;
    char *image; /* file of the uppermost image that has it */
    BitmapFate fate;
    char **sources; /* nodes of the images whose bitmap is merged, uppermost first */
    size_t n_sources;
    /* The base's, afterwards. */
    bool missing;    /* has to be made, with: */
    bool persistent; /* … */
    uint64_t granularity;
    bool recording;
    bool recorder; /* marks all that the job wrote, too */
    /* What the counts tell of it: the bytes that the fullest source marks, and how much of that may
     * lie beyond the end of the disk. */
    uint64_t least, slack;
} BitmapItem;

typedef struct BitmapPlan {
    BitmapItem *items;
    size_t n;
    bool carries;  /* there is something to do */
    bool recorder; /* … for which the recorder is needed */
} BitmapPlan;

/* What becomes of the bitmaps of the images from top down to the one above base, both nodes.
 * running: the job is there, and so should be the recorder. -ENOENT: these are no chain; -ELOOP,
 * -ENOMEM. */
int bitmap_plan_new(const Graph *g, const char *top, const char *base, bool running,
                    BitmapPlan **ret);
BitmapPlan *bitmap_plan_free(BitmapPlan *p);
DEFINE_CLEANUP(BitmapPlan, bitmap_plan_free)

/* The first item that is lost; NULL for none. */
const BitmapItem *bitmap_plan_find_lost(const BitmapPlan *p);
/* The first item that the graph does not show as carried; NULL for none. */
const BitmapItem *bitmap_plan_find_missing(const BitmapPlan *p, const Graph *g, const char *base);

bool bitmap_fate_is_lost(BitmapFate fate);
/* A clause that says why, for people. */
const char *bitmap_fate_to_text(BitmapFate fate);
