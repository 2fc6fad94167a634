/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger is the record, kept on disk, of what each image is to which VM and disk: a VM that is
 * started again from an overlay that has been merged would lose data, and the VM's own command line
 * cannot be corrected from here. One file a disk; each is replaced as a whole, or not at all.
 *
 * An image is known by the name that QEMU uses for it; of a json:{…} name, by the file name in it.
 * A relative name means something to one VM only and is compared within that VM. Of relative
 * backing files QEMU makes names such as /vm/web1/../base/b: names are compared as text_same_path()
 * does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain.h"
#include "cleanup.h"

/* Disks on record; beyond, the one that was written first makes room. */
#define LEDGER_GROUPS_MAX 16384
/* Bytes of one file. 200 images with names of 4 KiB take 1.6 MB. */
#define LEDGER_FILE_MAX (8U * 1024U * 1024U)
/* Stale images kept on record for one disk; beyond, the oldest goes. */
#define LEDGER_STALE_MAX 256

typedef enum LedgerState {
    LEDGER_ACTIVE,  /* the image to boot */
    LEDGER_BASE,    /* below the active one */
    LEDGER_MERGING, /* its content goes into use_instead, and QEMU may have switched already */
    LEDGER_STALE,   /* merged: use_instead has its content and more */
    LEDGER_STATE_MAX_,
} LedgerState;

typedef struct LedgerImage {
    char *file;
    LedgerState state;
    uint64_t since_usec; /* CLOCK_REALTIME */
    char *use_instead;   /* of merging and stale images, else NULL */
} LedgerImage;

/* The job of a disk that ended last, in the words of JobFinished. */
typedef struct LedgerJob {
    char *id; /* NULL for none */
    char *type, *result, *error, *message;
    uint64_t started_usec, finished_usec; /* CLOCK_REALTIME */
} LedgerJob;

typedef struct LedgerGroup {
    char *vm, *disk;
    char *instance; /* Peer.instance of the process that was seen last */
    char **keys;
    size_t n_keys;
    LedgerImage *images;
    size_t n_images;
    char *ready_job; /* id of the job whose JobReady has been announced, NULL for none */
    char *throttle;  /* of a disk whose guest is slowed down, see ledger_note_throttle(); or NULL */
    char *abort_job; /* id of the job that was told to keep the overlay, NULL for none */
    char *pivot_job; /* id of the job whose group is told to pivot, NULL for none */
    char *held_job; /* id of the job that has, or whose group has, been held, to be kept; or NULL */
    LedgerJob last;
    bool together; /* on record together with others, which counts more than a file of its own */
    bool unsaved;  /* the latter says less */
} LedgerGroup;

/* A disk as it is seen. The keys (Drive.keys) tell it again after a restart of the service,
 * whatever has become of its nodes meanwhile. */
typedef struct LedgerDisk {
    const char *vm, *disk, *instance;
    char *const *keys;
    size_t n_keys;
} LedgerDisk;

typedef struct Ledger Ledger;

/* Reads what is in the directory. A file that cannot be understood is logged, left where it is, and
 * counts for nothing. Fails only where the directory cannot be used. */
int ledger_new(const char *directory, Ledger **ret);
Ledger *ledger_free(Ledger *l);
DEFINE_CLEANUP(Ledger, ledger_free)

/* NULL first, NULL at the end. */
const LedgerGroup *ledger_next(const Ledger *l, const LedgerGroup *previous);
const LedgerGroup *ledger_find(const Ledger *l, const char *vm, const char *disk);
/* The name that the VM of this process had, NULL for none. */
const char *ledger_find_instance(const Ledger *l, const char *instance);
/* The record of a disk of this process that has one of the keys, NULL for none. */
const LedgerGroup *ledger_find_keys(const Ledger *l, const char *instance, char *const *keys,
                                    size_t n_keys);
/* The record that makes the file, as the VM names it, stale, or perhaps stale (merging); NULL for
 * none. */
const LedgerImage *ledger_find_stale(const Ledger *l, const char *vm, const char *file);
/* Other disks with other overlays that are known to be above the file, an image of the chain: how
 * many, of `max` at most. */
size_t ledger_find_overlays(const Ledger *l, const char *vm, const char *disk, const Chain *chain,
                            const char *file, const LedgerGroup **ret, size_t max);
/* One of them, NULL for none. */
const LedgerGroup *ledger_find_overlay(const Ledger *l, const char *vm, const char *disk,
                                       const Chain *chain, const char *file);

/* What follows is durable when 0 is returned; a negative errno leaves record and disk as they were.
 */

/* The chain of a disk as it is seen; nothing is written where nothing changed. -ESTALE: an image of
 * it is stale, and the process is not the one that was seen before: then it was started from the
 * wrong image. The process that was seen before is believed: it cannot have gone back by itself. */
int ledger_note_chain(Ledger *l, const LedgerDisk *disk, const Chain *chain);
/* A handover: the base is the image to boot, the images above it are stale. */
typedef struct LedgerPivot {
    const char *disk, *base_file;
    uint64_t since_usec; /* CLOCK_REALTIME, when it was asked for */
} LedgerPivot;

/* merging: QEMU is about to switch by itself, and the images above the base may be stale then. */
int ledger_note_pivot(Ledger *l, const char *vm, const LedgerPivot *pivot, bool merging);
/* Handovers of several disks, on record all or none, whenever we are killed. */
int ledger_note_pivots(Ledger *l, const char *vm, const LedgerPivot *pivots, size_t n);
/* Does all of either but the last step, so that a guest which waits for the call itself waits less
 * for it. Nothing is on record by that; and nothing comes of it where the record of the disks, or
 * one of another VM's handover, is written before. */
int ledger_prepare_pivot(Ledger *l, const char *vm, const LedgerPivot *pivot);
int ledger_prepare_pivots(Ledger *l, const char *vm, const LedgerPivot *pivots, size_t n);
int ledger_note_ready(Ledger *l, const char *vm, const char *disk, const char *job);
/* Whoever finds the job at the barrier must know that it is not a pivot. NULL takes it back. */
int ledger_note_abort(Ledger *l, const char *vm, const char *disk, const char *job);
/* Whoever finds some jobs of a group on their way to their end must know that it was a Pivot of
 * all; one of them tells for all. NULL takes it back. */
int ledger_note_wish(Ledger *l, const char *vm, const char *disk, const char *job);
/* Whoever finds that a job was cancelled must know that it had been held before, so that the copy
 * is kept. One of a group tells for all. */
int ledger_note_held(Ledger *l, const char *vm, const char *disk, const char *job);
/* As ledger_prepare_pivot(). */
int ledger_prepare_held(Ledger *l, const char *vm, const char *disk, const char *job);
/* The guest is about to be slowed down, or stopped; limits is what has to be set back then, as
 * disk-throttle writes it. Forgotten with the process that was seen. NULL takes it back. */
int ledger_note_throttle(Ledger *l, const char *vm, const char *disk, const char *limits);
/* A job has ended, with the chain as it is seen now; where it was merged, what was merging is
 * stale. NULL: nobody can see the chain any more, and what is on record of images holds. */
int ledger_note_end(Ledger *l, const LedgerDisk *disk, const Chain *chain, bool merged,
                    const LedgerJob *last);
/* Drops what is known of an image. -ENOENT: nothing is. */
int ledger_forget(Ledger *l, const char *file);

const char *ledger_state_to_string(LedgerState state);
/* -EINVAL for an unknown word. */
int ledger_state_from_string(const char *word, LedgerState *ret);
