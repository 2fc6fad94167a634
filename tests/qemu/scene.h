/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What most tests on a real QEMU begin with: the VM "web1" with the disk "vda" on a chain of
 * images, on which the 512-byte guest writes without pause.
 */
#pragma once

#include "base.h"
#include "guest.h"
#include "image.h"
#include "properties.h"
#include "rig.h"

/* Data that is in the active image before the start, beyond what the guest writes: what a commit
 * has to copy. */
#define SCENE_DATA_BYTE 0xa5
#define SCENE_DATA_OFFSET (16 * IMAGE_MIB)
#define SCENE_DATA_LENGTH (32 * IMAGE_MIB)
#define SCENE_DATA_LITTLE (4 * IMAGE_MIB)
#define SCENE_FULL_OFFSET (48 * IMAGE_MIB)
#define SCENE_FULL_SECTOR 100000 /* one sector behind it */
#define SCENE_SIZE (64 * IMAGE_MIB)

typedef struct Scene Scene;

typedef struct SceneOptions {
    const char *base_format; /* NULL: "qcow2" */
    BasePlace base_place;    /* not BASE_FILE: the format is "raw", and no guest of slow_base */
    unsigned depth;          /* images in the chain; 0: 2 */
    uint64_t base_size;      /* 0: SCENE_SIZE, which the images above always have */
    uint64_t base_speed;     /* of a slow base, bytes/s; 0: 1 MiB */
    bool little_data;        /* SCENE_DATA_LITTLE instead of SCENE_DATA_LENGTH */
    bool slow_base; /* the base takes 1 MiB/s until scene_release(): no commit ends before */
    bool blockdev;  /* -blockdev with node names "node0" (base) and up, instead of -drive */
    bool full_base; /* the same, and each write to the base fails for want of space */
    bool no_room;   /* the same, and until scene_make_room() the base has room for a little only */
    bool no_room_above;       /* the same, with room for all below SCENE_FULL_OFFSET; a raw base */
    const char *base_options; /* how the file of the base is opened, with blockdev; the last one is
                               * for its name */
    const char *base_suffix;  /* of that name */
    bool base_writable;       /* with blockdev: the base is open read-write from the start */
    bool relative; /* images record the names of their backing files without a directory */
    bool no_guest; /* the machine does not start (-S) and has no boot disk */
    GuestOptions guest;
    void (*prepare)(const Scene *s);  /* more data for the images, before the start; NULL */
    void (*add_disk)(const Scene *s); /* gives QEMU the disk "vda" in another way; NULL */
} SceneOptions;

struct Scene {
    Rig *rig;
    Recorder *recorder; /* that of the rig */
    Qemu *vm;
    Guest *guest;
    Base *base;
    char **chain; /* chain[0] is the base, as QEMU calls it */
    unsigned depth;
    const char *base_format;
    char *disk;  /* object path */
    char *small; /* mount point of a small file system, NULL for none */
};

/* options may be NULL. The guest has written, and the disk is on the bus. */
Scene *scene_new(const SceneOptions *options);
void scene_free(Scene *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Scene, scene_free)

/* The base's file, also where QEMU knows it by another name. */
const char *scene_base(const Scene *s);
const char *scene_top(const Scene *s);
/* The file of chain[index]. */
const char *scene_file(const Scene *s, unsigned index);
/* Format of chain[index]. */
const char *scene_format(const Scene *s, unsigned index);

/* For `prepare`: gives each image above the base data that it alone holds. */
void scene_mark_images(const Scene *s);
/* chain[image] and the images below it hold the marks of these, from first to last. */
void scene_check_marks(const Scene *s, unsigned image, unsigned first, unsigned last);

/* Writes the byte to the disk past the guest, as the guest would. */
void scene_write(Scene *s, uint8_t byte, uint64_t offset, uint64_t length);
/* Takes an external snapshot; the new overlay is the active image. Not with blockdev. The file's
 * name, which the caller frees. */
char *scene_snapshot(Scene *s, const char *name);
/* Lifts the limit of a slow base. */
void scene_release(Scene *s);
#define scene_commit_with(s, ...)                                                                  \
    recorder_call((s)->recorder, (s)->disk, DISK_INTERFACE, "CommitWith", "a{sv}", __VA_ARGS__)
/* The file system of the base grows. */
void scene_make_room(Scene *s);
/* Disk.Commit(active); returns the position from which the job's signals are to be sought. */
unsigned scene_commit(Scene *s, bool active);
/* Waits for the signal from that position on; its position. */
unsigned scene_wait_ready(Scene *s, unsigned from);
/* Waits for the end, which has to have that result (and, unless it is "failed", no error). */
unsigned scene_wait_finished(Scene *s, unsigned from, const char *result);
/* Commit(true), until it is ready. */
unsigned scene_commit_until_ready(Scene *s);
void scene_pivot(Scene *s);
void scene_abort(Scene *s);
/* Until the service has seen a change that QEMU announces with no event: a chain of that depth. */
void scene_wait_depth(Scene *s, unsigned depth);
/* Until the chain is that: indices in s->chain, the active one first. */
void scene_wait_chain(Scene *s, const unsigned *images, unsigned n);
/* Disk.ChainDepth, and the file of the active image as QEMU has it. */
void scene_check_active(Scene *s, unsigned depth, const char *file);
