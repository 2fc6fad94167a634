/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block-throttle is what QEMU throttles a guest's device to: read, set, and as text for a record.
 * Source: QEMU's QAPI types BlockDeviceInfo and BlockIOThrottle (block-core.json).
 */
#pragma once

#include "qmp.h"

typedef enum BlockLimit {
    BLOCK_LIMIT_BPS, /* total, bytes per second */
    BLOCK_LIMIT_BPS_RD,
    BLOCK_LIMIT_BPS_WR,
    BLOCK_LIMIT_IOPS, /* total, operations per second */
    BLOCK_LIMIT_IOPS_RD,
    BLOCK_LIMIT_IOPS_WR,
    BLOCK_LIMIT_MAX_,
} BlockLimit;

typedef struct BlockThrottle {
    uint64_t rate[BLOCK_LIMIT_MAX_];          /* 0 for no limit */
    uint64_t burst[BLOCK_LIMIT_MAX_];         /* 0 for none */
    uint64_t burst_seconds[BLOCK_LIMIT_MAX_]; /* of a burst, else 0 */
    uint64_t iops_size;                       /* 0 for none */
    char *group;                              /* NULL for none */
} BlockThrottle;

/* 0 or -ENOMEM. */
int block_throttle_copy(const BlockThrottle *t, BlockThrottle *ret);
void block_throttle_done(BlockThrottle *t);
/* A group that only one of them has counts for nothing: QEMU makes one up for limits without one.
 */
bool block_throttle_equal(const BlockThrottle *a, const BlockThrottle *b);

/* The caller frees; NULL without memory. */
char *block_throttle_to_text(const BlockThrottle *t);
/* -EBADMSG: not what the function above has written. */
int block_throttle_from_text(const char *text, BlockThrottle *ret);

typedef struct BlockThrottleReading {
    int error;                     /* as QmpReply.error, or -EBADMSG, -ENOMEM */
    const char *text;              /* QEMU's; never NULL */
    const BlockThrottle *throttle; /* borrowed; NULL: no such device, or it has no medium */
    bool shared;                   /* other devices are in the same group */
} BlockThrottleReading;

typedef void (*BlockThrottleFunc)(const BlockThrottleReading *reading, void *userdata);

/* device: as query-block names it (member qdev). The callback comes once, after 0 only. */
int block_read_throttle(Qmp *q, const char *device, BlockThrottleFunc callback, void *userdata);
int block_set_throttle(Qmp *q, const char *device, const BlockThrottle *t, QmpReplyFunc callback,
                       void *userdata);
