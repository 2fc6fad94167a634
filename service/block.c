/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "block.h"

#include <errno.h>
#include <string.h>

#include "json.h"
#include "text.h"

static json_object *args_with(const char *key, const char *value)
{
    json_object *args = json_object_new_object();

    if (args)
        json_object_object_add(args, key, json_object_new_string(value));
    return args;
}

static int call_with(Qmp *q, const char *command, const char *key, const char *value,
                     uint64_t timeout, QmpReplyFunc callback, void *userdata)
{
    json_object *args = args_with(key, value);

    return args ? qmp_call(q, command, args, timeout, callback, userdata) : -ENOMEM;
}

int block_commit(Qmp *q, const BlockCommit *c, QmpReplyFunc callback, void *userdata)
{
    json_object *args = args_with("job-id", c->job);
    if (!args)
        return -ENOMEM;

    json_object_object_add(args, "device", json_object_new_string(c->root));
    if (c->top)
        json_object_object_add(args, "top-node", json_object_new_string(c->top));
    json_object_object_add(args, "base-node", json_object_new_string(c->base));
    if (c->speed > 0)
        json_object_object_add(args, "speed", json_object_new_int64((int64_t)c->speed));
    json_object_object_add(args, "on-error", json_object_new_string(c->on_error));
    if (c->backing_file)
        json_object_object_add(args, "backing-file", json_object_new_string(c->backing_file));
    json_object_object_add(args, "auto-finalize", json_object_new_boolean(c->auto_finalize));
    json_object_object_add(args, "auto-dismiss", json_object_new_boolean(false));
    return qmp_call(q, "block-commit", args, QMP_DRAIN_USEC, callback, userdata);
}

int block_job_complete(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "job-complete", "id", job, QMP_DRAIN_USEC, callback, userdata);
}

/* The only soft way: job-cancel always forces (job-qmp.c). Not deprecated as of QEMU 11.1. */
int block_job_cancel(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "block-job-cancel", "device", job, QMP_DRAIN_USEC, callback, userdata);
}

int block_job_force_cancel(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "job-cancel", "id", job, QMP_DRAIN_USEC, callback, userdata);
}

int block_job_finalize(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "job-finalize", "id", job, QMP_DRAIN_USEC, callback, userdata);
}

int block_job_dismiss(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "job-dismiss", "id", job, QMP_DRAIN_USEC, callback, userdata);
}

int block_job_pause(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "job-pause", "id", job, QMP_COMMAND_USEC, callback, userdata);
}

int block_job_resume(Qmp *q, const char *job, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "job-resume", "id", job, QMP_COMMAND_USEC, callback, userdata);
}

int block_job_set_speed(Qmp *q, const char *job, uint64_t speed, QmpReplyFunc callback,
                        void *userdata)
{
    json_object *args = args_with("device", job);
    if (!args)
        return -ENOMEM;

    json_object_object_add(args, "speed", json_object_new_int64((int64_t)speed));
    return qmp_call(q, "block-job-set-speed", args, QMP_COMMAND_USEC, callback, userdata);
}

typedef struct BlockFlush {
    BlockFlushFunc callback;
    void *userdata;
} BlockFlush;

/* The refusals that come after the flush; everything else comes before it, or is its failure. */
static bool was_flushed(const QmpReply *reply)
{
    static const char *const after[] = {
        "Cannot change the option ",
        "backing is missing for ",
        "Option '",
    };

    for (size_t i = 0; i < ELEMENTSOF(after); i++)
        if (reply->error == -EREMOTEIO && text_has_prefix(reply->error_text, after[i]))
            return true;
    return false;
}

static void on_flush(Qmp *q, const QmpReply *reply, void *userdata)
{
    BlockFlush *f = userdata;
    int error = was_flushed(reply)                           ? 0
                : reply->error && reply->error != -EREMOTEIO ? reply->error
                                                             : -EIO;

    f->callback(error, reply->error_text, f->userdata);
    free(f);
}

/*
 * QMP has no command to flush a node. blockdev-reopen flushes (bdrv_reopen_prepare) before it looks
 * at the options, so that one which must be refused, because no node can change its driver, flushes
 * and changes nothing. Measured on 7.2.22 and 10.0.13, for named and generated nodes, in QEMU and
 * in the storage daemon. stop/cont flushes the guest's own node only, and HMP's flush hides errors.
 */
int block_flush(Qmp *q, const char *node, BlockFlushFunc callback, void *userdata)
{
    json_object *args = json_object_new_object(), *list = json_object_new_array();
    json_object *options = args_with("node-name", node);
    BlockFlush *f = malloc(sizeof(BlockFlush));

    if (!args || !list || !options || !f) {
        json_object_put(args);
        json_object_put(list);
        json_object_put(options);
        free(f);
        return -ENOMEM;
    }

    *f = (BlockFlush){callback, userdata};
    json_object_object_add(options, "driver", json_object_new_string("null-co"));
    json_object_array_add(list, options);
    json_object_object_add(args, "options", list);
    int r = qmp_call(q, "blockdev-reopen", args, QMP_DRAIN_USEC, on_flush, f);
    if (r < 0)
        free(f);
    return r;
}

/* blockdev-reopen would reset every option that it does not repeat, and cannot be used on nodes
 * with generated names; qemu-io's reopen keeps them. Node names have no character that HMP would
 * split. */
int block_set_read_only(Qmp *q, const char *node, QmpReplyFunc callback, void *userdata)
{
    _cleanup_(freep) char *line = text_format("qemu-io %s \"reopen -r\"", node);

    return line ? call_with(q, "human-monitor-command", "command-line", line, QMP_DRAIN_USEC,
                            callback, userdata)
                : -ENOMEM;
}

int block_stop_guest(Qmp *q, QmpReplyFunc callback, void *userdata)
{
    return qmp_call(q, "stop", /* args= */ NULL, QMP_DRAIN_USEC, callback, userdata);
}

int block_continue_guest(Qmp *q, QmpReplyFunc callback, void *userdata)
{
    return qmp_call(q, "cont", /* args= */ NULL, QMP_DRAIN_USEC, callback, userdata);
}

int block_close_node(Qmp *q, const char *node, QmpReplyFunc callback, void *userdata)
{
    return call_with(q, "blockdev-del", "node-name", node, QMP_DRAIN_USEC, callback, userdata);
}

/* Not BLOCK_JOB_READY, _PENDING, _COMPLETED and _CANCELLED: each comes with a JOB_STATUS_CHANGE
 * that says the same, and a question more costs a guest time that waits at the barrier, or has just
 * left it. */
static const struct {
    const char *name;
    BlockEvent event;
} events[] = {
    {"BLOCK_EXPORT_DELETED", BLOCK_EVENT_GRAPH},
    {"BLOCK_JOB_ERROR", BLOCK_EVENT_JOB_ERROR},
    {"DEVICE_DELETED", BLOCK_EVENT_GRAPH},
    {"DEVICE_TRAY_MOVED", BLOCK_EVENT_GRAPH},
    {"GUEST_PANICKED", BLOCK_EVENT_STATE},
    {"JOB_STATUS_CHANGE", BLOCK_EVENT_JOB_STATUS},
    {"RESET", BLOCK_EVENT_STATE},
    {"RESUME", BLOCK_EVENT_STATE},
    {"SHUTDOWN", BLOCK_EVENT_STATE},
    {"STOP", BLOCK_EVENT_STATE},
    {"SUSPEND", BLOCK_EVENT_STATE},
    {"WAKEUP", BLOCK_EVENT_STATE},
};

BlockEvent block_event(const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(events); i++)
        if (strcmp(events[i].name, name) == 0)
            return events[i].event;
    return BLOCK_EVENT_OTHER;
}

int block_event_job_status(json_object *data, const char **ret_job, BlockJobStatus *ret_status)
{
    static const char *const words[] = {
        [BLOCK_JOB_WAITING] = "waiting",
        [BLOCK_JOB_PENDING] = "pending",
        [BLOCK_JOB_CONCLUDED] = "concluded",
        [BLOCK_JOB_NULL] = "null",
    };
    const char *status;

    if (!data || json_get_string(data, "id", ret_job) < 0 ||
        json_get_string(data, "status", &status) < 0)
        return -EBADMSG;

    *ret_status = BLOCK_JOB_OTHER;
    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        if (strcmp(words[i], status) == 0)
            *ret_status = (BlockJobStatus)i;
    return 0;
}

int block_event_job_error(json_object *data, const char **ret_job, bool *ret_read)
{
    const char *job, *operation;

    if (!data || json_get_string(data, "device", &job) < 0 ||
        json_get_string(data, "operation", &operation) < 0)
        return -EBADMSG;
    *ret_job = job;
    *ret_read = strcmp(operation, "read") == 0;
    return 0;
}
