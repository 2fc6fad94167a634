/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * block is the typed face of QEMU's block layer: requests with C arguments, answers as checked C
 * data. The only module that knows the names of QMP commands and their members; it decides nothing.
 * Source: QEMU's QAPI schema, block-core.json, job.json, block-export.json, control.json.
 */
#pragma once

#include "bitmap.h"
#include "graph.h"
#include "qmp.h"

typedef struct BlockReading {
    int error;        /* as QmpReply.error, or -E2BIG, -EBADMSG, -ENOMEM: graph is NULL then */
    const char *text; /* QEMU's text or ours; never NULL */
    Graph *graph;     /* owned by the callee */
} BlockReading;

typedef void (*BlockReadFunc)(const BlockReading *reading, void *userdata);

/* Reads nodes, edges, devices, exports and jobs, in one pipelined batch. The callback is called
 * exactly once, after a return of 0 only. */
int block_read(Qmp *q, BlockReadFunc callback, void *userdata);
/* Reads the jobs only. */
int block_read_jobs(Qmp *q, BlockReadFunc callback, void *userdata);
/* For the barrier, where a guest waits. Reads the exports, and the graph without the properties of
 * its nodes; an empty one where there is no export. */
int block_read_exports(Qmp *q, BlockReadFunc callback, void *userdata);
/* The same with the properties of the nodes; empty where there is no export, and no bitmap with a
 * name either. */
int block_read_bitmaps(Qmp *q, BlockReadFunc callback, void *userdata);

/* Answers a number that changes when the graph does; for polling. */
typedef void (*BlockDigestFunc)(int error, uint64_t digest, void *userdata);
int block_digest(Qmp *q, BlockDigestFunc callback, void *userdata);

typedef struct BlockIdentity {
    int error;
    const char *name;  /* QEMU's -name, "" for none */
    const char *state; /* QAPI type RunState; "running" for a storage daemon, which has none */
} BlockIdentity;

typedef void (*BlockIdentityFunc)(const BlockIdentity *identity, void *userdata);
int block_identify(Qmp *q, BlockIdentityFunc callback, void *userdata);
/* The run state again; name is "". */
int block_read_state(Qmp *q, BlockIdentityFunc callback, void *userdata);

typedef struct BlockCommit {
    const char *job;
    const char *root;         /* node that the device uses */
    const char *top;          /* node; NULL: the active layer */
    const char *base;         /* node */
    uint64_t speed;           /* bytes/s, 0 for unlimited */
    const char *on_error;     /* QAPI type BlockdevOnError */
    const char *backing_file; /* for the image above top to record; NULL: QEMU's choice */
    bool auto_finalize;
} BlockCommit;

int block_commit(Qmp *q, const BlockCommit *c, QmpReplyFunc callback, void *userdata);
int block_job_complete(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
/* Soft: a ready job ends with the copy kept; before, it is cancelled. QEMU refuses it for a job
 * that a user has paused. */
int block_job_cancel(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
int block_job_force_cancel(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
int block_job_finalize(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
int block_job_dismiss(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
int block_job_pause(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
int block_job_resume(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata);
int block_job_set_speed(Qmp *q, const char *job, uint64_t speed, QmpReplyFunc callback,
                        void *userdata);

/* 0: what the node holds is on stable storage. -EIO: the flush failed; else as QmpReply.error. */
typedef void (*BlockFlushFunc)(int error, const char *text, void *userdata);
int block_flush(Qmp *q, const char *node, BlockFlushFunc callback, void *userdata);
/* Sets a node that nobody writes to back to read-only. A storage daemon cannot: CommandNotFound. */
int block_set_read_only(Qmp *q, const char *node, QmpReplyFunc callback, void *userdata);
/* QEMU's "stop" and "cont", of the whole machine. */
int block_stop_guest(Qmp *q, QmpReplyFunc callback, void *userdata);
int block_continue_guest(Qmp *q, QmpReplyFunc callback, void *userdata);
/* Closes a node that nobody uses and that a user has opened by name; refused for any other. */
int block_close_node(Qmp *q, const char *node, QmpReplyFunc callback, void *userdata);

/* Makes a bitmap on the node that is not stored, and records from now on. */
int block_add_bitmap(Qmp *q, const char *node, const char *name, QmpReplyFunc callback,
                     void *userdata);
int block_remove_bitmap(Qmp *q, const char *node, const char *name, QmpReplyFunc callback,
                        void *userdata);
/* Carries out all that is BITMAP_CARRIED in the plan, or nothing. */
int block_carry_bitmaps(Qmp *q, const char *base, const BitmapPlan *plan, QmpReplyFunc callback,
                        void *userdata);

typedef enum BlockEvent {
    BLOCK_EVENT_JOB_STATUS, /* a job has changed, block_event_job_status() tells which: read the
                               jobs */
    BLOCK_EVENT_JOB_ERROR,  /* the same with block_event_job_error() */
    BLOCK_EVENT_GRAPH,      /* disks or chains may have changed: read all */
    BLOCK_EVENT_STATE,      /* the run state may have changed */
    BLOCK_EVENT_OTHER,
} BlockEvent;

/* What a QMP event asks for. */
BlockEvent block_event(const char *name);

/* QAPI type JobStatus, as far as it matters when an event tells of it. */
typedef enum BlockJobStatus {
    BLOCK_JOB_WAITING,
    BLOCK_JOB_PENDING,
    BLOCK_JOB_CONCLUDED,
    BLOCK_JOB_NULL,
    BLOCK_JOB_OTHER,
} BlockJobStatus;

/* Which job has come to which status. Borrows from data; -EBADMSG. */
int block_event_job_status(json_object *data, const char **ret_job, BlockJobStatus *ret_status);
/* Which job met an I/O error, and whether it read or wrote. Borrows from data; -EBADMSG. */
int block_event_job_error(json_object *data, const char **ret_job, bool *ret_read);
