/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmdisk1.Disk.
 */
#include <errno.h>
#include <string.h>

#include "bus.h"
#include "bus-options.h"
#include "commit.h"
#include "disk.h"
#include "errors.h"
#include "log.h"
#include "text.h"
#include "vm.h"

typedef struct CommitCall {
    sd_bus_message *message;
    const Bus *bus;
} CommitCall;

static void on_commit_done(const Refusal *refusal, void *userdata)
{
    CommitCall *call = userdata;
    int r;

    /* The job may be on another disk, which came under this name while QEMU was asked. */
    if (refusal->kind == REFUSAL_NONE)
        r = sd_bus_reply_method_return(
            call->message, "s",
            commit_id(disk_job(bus_find_disk(call->bus, sd_bus_message_get_path(call->message)))));
    else
        r = errors_reply(call->message, refusal);
    if (r < 0)
        log_line(LOG_WARNING, NULL, "A reply to Commit cannot be sent: %s", strerror(-r));
    sd_bus_message_unref(call->message);
    free(call);
}

static int start_commit(sd_bus_message *message, Disk *d, const CommitOptions *options)
{
    CommitCall *call = malloc(sizeof(CommitCall));
    if (!call)
        return -ENOMEM;

    const Bus *bus = bus_of(disk_vm(d));

    *call = (CommitCall){sd_bus_message_ref(message), bus};
    disk_commit(d, options, bus_caller_uid(bus, message), on_commit_done, call);
    return 1;
}

static int commit(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    int active;

    int r = sd_bus_message_read(message, "b", &active);
    return r < 0 ? r : start_commit(message, userdata, &(CommitOptions){.active = active});
}

#define OPTION(key_, type_, field_, ...)                                                           \
    {                                                                                              \
        .key = (key_), .type = (type_), .offset = offsetof(CommitOptions, field_), __VA_ARGS__     \
    }

static const BusOption commit_options[] = {
    OPTION("active", "b", active),
    OPTION("top", "s", top),
    OPTION("base", "s", base),
    OPTION("shallow", "b", shallow),
    OPTION("on-ready", "s", on_ready, .parse = bus_options_parse_on_ready,
           .words = BUS_OPTIONS_ON_READY_WORDS),
    OPTION("on-error", "s", on_error, .parse = bus_options_parse_on_error,
           .words = BUS_OPTIONS_ON_ERROR_WORDS),
    OPTION("speed", "t", speed),
    OPTION("deadline-usec", "t", deadline_usec),
    OPTION("on-deadline", "s", on_deadline, .parse = bus_options_parse_on_deadline,
           .words = BUS_OPTIONS_ON_DEADLINE_WORDS),
    OPTION("backing-file", "s", backing_file),
    OPTION("relative", "b", relative),
    OPTION("drop-bitmaps", "b", drop_bitmaps),
    OPTION("override", "b", override), /* for CommitWith the gate has asked for its action */
};

int bus_disk_read_options(sd_bus_message *message, const Disk *d, CommitOptions *ret,
                          Refusal *ret_refusal)
{
    int r = bus_options_read(message, commit_options, ELEMENTSOF(commit_options), ret, ret_refusal);

    if (r >= 0 && ret_refusal->text)
        refusal_set(ret_refusal, ret_refusal->kind, "VM '%s', disk '%s': %s", vm_name(disk_vm(d)),
                    disk_name(d), ret_refusal->text);
    return r;
}

static int commit_with(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    CommitOptions options = {};
    Refusal refusal = {REFUSAL_NONE, NULL};

    int r = bus_disk_read_options(message, userdata, &options, &refusal);
    if (r >= 0)
        r = refusal.kind == REFUSAL_NONE ? start_commit(message, userdata, &options)
                                         : errors_reply(message, &refusal);
    refusal_done(&refusal);
    return r;
}

static int pivot(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    disk_pivot(userdata, bus_reply_done, sd_bus_message_ref(message));
    return 1;
}

static int abort_job(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    disk_abort(userdata, bus_reply_done, sd_bus_message_ref(message));
    return 1;
}

static int get_string(sd_bus *connection, const char *path, const char *interface,
                      const char *property, sd_bus_message *reply, void *userdata,
                      sd_bus_error *error)
{
    const Disk *d = userdata;
    const Chain *chain = disk_chain(d);
    const char *value;

    if (strcmp(property, "Name") == 0)
        value = disk_name(d);
    else if (strcmp(property, "Device") == 0)
        value = disk_device(d);
    else if (strcmp(property, "Node") == 0)
        value = chain->n > 0 ? chain->images[0].node : "";
    else if (strcmp(property, "Format") == 0)
        value = chain->n > 0 ? chain->images[0].format : "";
    else if (strcmp(property, "JobState") == 0)
        value = job_state_to_string(disk_job_state(d));
    else
        return -ENOENT;
    return sd_bus_message_append(reply, "s", value);
}

static int get_vm(sd_bus *connection, const char *path, const char *interface, const char *property,
                  sd_bus_message *reply, void *userdata, sd_bus_error *error)
{
    _cleanup_(freep) char *vm = bus_vm_path(disk_vm(userdata));

    return vm ? sd_bus_message_append(reply, "o", vm) : -ENOMEM;
}

static int get_size(sd_bus *connection, const char *path, const char *interface,
                    const char *property, sd_bus_message *reply, void *userdata,
                    sd_bus_error *error)
{
    return sd_bus_message_append(reply, "t", disk_size(userdata));
}

static int get_read_only(sd_bus *connection, const char *path, const char *interface,
                         const char *property, sd_bus_message *reply, void *userdata,
                         sd_bus_error *error)
{
    return sd_bus_message_append(reply, "b", (int)disk_is_read_only(userdata));
}

static int get_depth(sd_bus *connection, const char *path, const char *interface,
                     const char *property, sd_bus_message *reply, void *userdata,
                     sd_bus_error *error)
{
    return sd_bus_message_append(reply, "u", (uint32_t)disk_chain(userdata)->n);
}

static int append_image(sd_bus_message *reply, size_t index, const ChainImage *image)
{
    int r = sd_bus_message_open_container(reply, 'a', "{sv}");
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "index", "u", (uint32_t)index,
                              "node", "s", image->node, "file", "s", image->file, "format", "s",
                              image->format, "size", "t", image->size, "read-only", "b",
                              (int)image->read_only);
    if (r < 0)
        return r;
    if (image->backing_file) {
        r = sd_bus_message_append(reply, "{sv}", "backing-file", "s", image->backing_file);
        if (r < 0)
            return r;
    }
    return sd_bus_message_close_container(reply);
}

static int get_chain(sd_bus *connection, const char *path, const char *interface,
                     const char *property, sd_bus_message *reply, void *userdata,
                     sd_bus_error *error)
{
    const Chain *chain = disk_chain(userdata);

    int r = sd_bus_message_open_container(reply, 'a', "a{sv}");
    if (r < 0)
        return r;
    for (size_t i = 0; i < chain->n; i++) {
        r = append_image(reply, i, &chain->images[i]);
        if (r < 0)
            return r;
    }
    return sd_bus_message_close_container(reply);
}

static int get_last_job(sd_bus *connection, const char *path, const char *interface,
                        const char *property, sd_bus_message *reply, void *userdata,
                        sd_bus_error *error)
{
    const LastJob *last = disk_last_job(userdata);

    if (!last->id)
        return sd_bus_message_append(reply, "a{sv}", 0);
    return sd_bus_message_append(reply, "a{sv}", 7, "id", "s", last->id, "type", "s", last->type,
                                 "result", "s", job_result_to_string(last->result), "error", "s",
                                 refusal_kind_to_string(last->error), "message", "s", last->message,
                                 "started-usec", "t", last->started_usec, "finished-usec", "t",
                                 last->finished_usec);
}

static int get_warnings(sd_bus *connection, const char *path, const char *interface,
                        const char *property, sd_bus_message *reply, void *userdata,
                        sd_bus_error *error)
{
    const Disk *d = userdata;
    const char *instead = disk_stale_for(d);

    int r = sd_bus_message_open_container(reply, 'a', "s");
    if (r >= 0 && instead) {
        _cleanup_(freep) char *text = text_format(
            "The VM runs on an image that has been merged; stop it and start it from '%s'.",
            instead);
        r = text ? sd_bus_message_append(reply, "s", text) : -ENOMEM;
    }
    if (r >= 0 && disk_is_unrecorded(d))
        r = sd_bus_message_append(reply, "s", "The image record cannot be written.");
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

const sd_bus_vtable bus_disk_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Commit", SD_BUS_ARGS("b", active), SD_BUS_RESULT("s", job), commit,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CommitWith", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("s", job),
                            commit_with, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Check", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("a{sv}", report),
                            bus_disk_check, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Pivot", NULL, NULL, pivot, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Abort", NULL, NULL, abort_job, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL_WITH_ARGS("JobReady", SD_BUS_ARGS("s", job, "s", type), 0),
    SD_BUS_SIGNAL_WITH_ARGS(
        "JobFinished", SD_BUS_ARGS("s", job, "s", type, "s", result, "s", error, "s", message), 0),
    SD_BUS_PROPERTY("Name", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("VM", "o", get_vm, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Device", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Node", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Format", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Size", "t", get_size, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("ReadOnly", "b", get_read_only, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("ChainDepth", "u", get_depth, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Warnings", "as", get_warnings, 0, SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
    SD_BUS_PROPERTY("Chain", "aa{sv}", get_chain, 0, SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
    SD_BUS_PROPERTY("JobState", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("LastJob", "a{sv}", get_last_job, 0, SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION),
    SD_BUS_VTABLE_END,
};

static void emit_changed(const Bus *b, const Disk *d, const char *const *properties)
{
    _cleanup_(freep) char *path = bus_disk_path(d);

    if (path)
        bus_emit_changed(b, path, BUS_INTERFACE_DISK, properties);
}

void bus_disk_changed(Bus *b, const Disk *d, unsigned changes)
{
    static const struct {
        DiskChange change;
        const char *property;
    } table[] = {
        {DISK_CHANGE_DEVICE, "Device"},      {DISK_CHANGE_NODE, "Node"},
        {DISK_CHANGE_FORMAT, "Format"},      {DISK_CHANGE_SIZE, "Size"},
        {DISK_CHANGE_READ_ONLY, "ReadOnly"}, {DISK_CHANGE_DEPTH, "ChainDepth"},
        {DISK_CHANGE_CHAIN, "Chain"},        {DISK_CHANGE_WARNINGS, "Warnings"},
    };
    const char *properties[ELEMENTSOF(table) + 1] = {};
    size_t n = 0;

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (changes & table[i].change)
            properties[n++] = table[i].property;
    emit_changed(b, d, properties);
}

void bus_disk_job_changed(Bus *b, const Disk *d, bool last)
{
    emit_changed(b, d, (const char *[]){"JobState", last ? "LastJob" : NULL, NULL});
}

void bus_disk_signal_ready(Bus *b, const Commit *job)
{
    _cleanup_(freep) char *path = bus_disk_path(commit_disk(job));

    if (path)
        (void)sd_bus_emit_signal(bus_connection(b), path, BUS_INTERFACE_DISK, "JobReady", "ss",
                                 commit_id(job), COMMIT_TYPE);
}

void bus_disk_signal_finished(Bus *b, const Disk *d)
{
    _cleanup_(freep) char *path = bus_disk_path(d);
    const LastJob *last = disk_last_job(d);

    if (path)
        (void)sd_bus_emit_signal(bus_connection(b), path, BUS_INTERFACE_DISK, "JobFinished",
                                 "sssss", last->id, last->type, job_result_to_string(last->result),
                                 refusal_kind_to_string(last->error), last->message);
}
