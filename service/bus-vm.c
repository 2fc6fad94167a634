/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmdisk1.VM.
 */
#include <errno.h>
#include <string.h>

#include "bus.h"
#include "bus-options.h"
#include "disk.h"
#include "errors.h"
#include "group.h"
#include "log.h"
#include "vm.h"

static int detach(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Vm *vm = userdata;

    manager_detach(bus_manager(bus_of(vm)), vm, bus_reply_done, sd_bus_message_ref(call));
    return 1;
}

static int start_group(sd_bus_message *call, Vm *vm, const CommitOptions *options,
                       char *const *disks)
{
    group_start(vm, options, disks, bus_caller_uid(bus_of(vm), call), bus_reply_done,
                sd_bus_message_ref(call));
    return 1;
}

static int commit(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    int active;

    int r = sd_bus_message_read(call, "b", &active);
    return r < 0 ? r
                 : start_group(call, userdata, &(CommitOptions){.active = active},
                               /* disks= */ NULL);
}

typedef struct GroupOptions {
    CommitOptions commit;
    char **disks;
} GroupOptions;

#define OPTION(key_, type_, field_, ...)                                                           \
    {                                                                                              \
        .key = (key_), .type = (type_), .offset = offsetof(GroupOptions, field_), __VA_ARGS__      \
    }

#define ONE_BY_ONE "is about the images of one disk. Commit the disks one by one to choose it."

/* Those of Disk.CommitWith() that make sense for several disks, and which disks. */
static const BusOption group_options[] = {
    OPTION("active", "b", commit.active),
    OPTION("disks", "as", disks),
    OPTION("shallow", "b", commit.shallow),
    OPTION("on-ready", "s", commit.on_ready, .parse = bus_options_parse_on_ready,
           .words = BUS_OPTIONS_ON_READY_WORDS),
    OPTION("on-error", "s", commit.on_error, .parse = bus_options_parse_on_error,
           .words = BUS_OPTIONS_ON_ERROR_WORDS),
    OPTION("speed", "t", commit.speed),
    OPTION("deadline-usec", "t", commit.deadline_usec),
    OPTION("on-deadline", "s", commit.on_deadline, .parse = bus_options_parse_on_deadline,
           .words = BUS_OPTIONS_ON_DEADLINE_WORDS),
    OPTION("relative", "b", commit.relative),
    OPTION("drop-bitmaps", "b", commit.drop_bitmaps),
    OPTION("override", "b", commit.override), /* the gate has asked for its action */
    {.key = "top", .refusal = ONE_BY_ONE},
    {.key = "base", .refusal = ONE_BY_ONE},
    {.key = "backing-file", .refusal = ONE_BY_ONE},
};

static int commit_with(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    GroupOptions options = {};
    Refusal refusal = {REFUSAL_NONE, NULL};

    int r = bus_options_read(call, group_options, ELEMENTSOF(group_options), &options, &refusal);
    if (r >= 0 && refusal.text)
        refusal_set(&refusal, refusal.kind, "VM '%s': %s", vm_name(userdata), refusal.text);
    if (r >= 0)
        r = refusal.kind == REFUSAL_NONE
                ? start_group(call, userdata, &options.commit, options.disks)
                : errors_reply(call, &refusal);
    bus_options_free_array(options.disks);
    refusal_done(&refusal);
    return r;
}

static int pivot(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    group_pivot(userdata, bus_reply_done, sd_bus_message_ref(call));
    return 1;
}

static int abort_jobs(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    group_abort(userdata, bus_reply_done, sd_bus_message_ref(call));
    return 1;
}

static int get_string(sd_bus *connection, const char *path, const char *interface,
                      const char *property, sd_bus_message *reply, void *userdata,
                      sd_bus_error *error)
{
    const Vm *vm = userdata;
    const Peer *peer = vm_peer(vm);
    const char *value;

    if (strcmp(property, "Name") == 0)
        value = vm_name(vm);
    else if (strcmp(property, "State") == 0)
        value = vm_state(vm);
    else if (strcmp(property, "QEMUVersion") == 0)
        value = vm_version(vm);
    else if (strcmp(property, "Unit") == 0)
        value = peer->unit;
    else if (strcmp(property, "Instance") == 0)
        value = peer->instance;
    else if (strcmp(property, "JobsState") == 0)
        value = job_state_to_string(group_state(vm));
    else
        return -ENOENT;
    return sd_bus_message_append(reply, "s", value);
}

static int get_process_id(sd_bus *connection, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error)
{
    return sd_bus_message_append(reply, "u", (uint32_t)vm_peer(userdata)->pid);
}

static int get_user_id(sd_bus *connection, const char *path, const char *interface,
                       const char *property, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error)
{
    return sd_bus_message_append(reply, "u", (uint32_t)vm_peer(userdata)->uid);
}

static int get_jobs_disks(sd_bus *connection, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error)
{
    const char *name;

    int r = sd_bus_message_open_container(reply, 'a', "o");
    for (size_t i = 0; r >= 0 && (name = group_disk(userdata, i)); i++) {
        _cleanup_(freep) char *disk = bus_disk_path_of(userdata, name);

        r = disk ? sd_bus_message_append(reply, "o", disk) : -ENOMEM;
    }
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

const sd_bus_vtable bus_vm_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Detach", NULL, NULL, detach, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Commit", SD_BUS_ARGS("b", active), SD_BUS_NO_RESULT, commit,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CommitWith", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT,
                            commit_with, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Pivot", NULL, NULL, pivot, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Abort", NULL, NULL, abort_jobs, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_SIGNAL("JobsReady", NULL, 0),
    SD_BUS_SIGNAL_WITH_ARGS("JobsFinished", SD_BUS_ARGS("a(oss)", results), 0),
    SD_BUS_PROPERTY("Name", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("State", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("QEMUVersion", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("ProcessID", "u", get_process_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("UserID", "u", get_user_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Unit", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Instance", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("JobsState", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("JobsDisks", "ao", get_jobs_disks, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END,
};

void bus_vm_changed(Bus *b, const Vm *vm)
{
    _cleanup_(freep) char *path = bus_vm_path(vm);

    if (path)
        (void)sd_bus_emit_properties_changed(bus_connection(b), path, BUS_INTERFACE_VM, "State",
                                             NULL);
}

void bus_vm_jobs_changed(Bus *b, const Vm *vm)
{
    _cleanup_(freep) char *path = bus_vm_path(vm);

    if (path)
        bus_emit_changed(b, path, BUS_INTERFACE_VM,
                         (const char *[]){"JobsState", "JobsDisks", NULL});
}

void bus_vm_signal_ready(Bus *b, const Vm *vm)
{
    _cleanup_(freep) char *path = bus_vm_path(vm);

    if (path)
        (void)sd_bus_emit_signal(bus_connection(b), path, BUS_INTERFACE_VM, "JobsReady", NULL);
}

static int append_ends(sd_bus_message *signal, const Vm *vm)
{
    const GroupEnd *end;

    int r = sd_bus_message_open_container(signal, 'a', "(oss)");
    for (size_t i = 0; r >= 0 && (end = group_end(vm, i)); i++) {
        _cleanup_(freep) char *disk = bus_disk_path_of(vm, end->disk);

        r = disk ? sd_bus_message_append(signal, "(oss)", disk, job_result_to_string(end->result),
                                         end->message)
                 : -ENOMEM;
    }
    return r < 0 ? r : sd_bus_message_close_container(signal);
}

void bus_vm_signal_finished(Bus *b, const Vm *vm)
{
    _cleanup_(freep) char *path = bus_vm_path(vm);
    sd_bus_message *signal = NULL;

    int r = path ? sd_bus_message_new_signal(bus_connection(b), &signal, path, BUS_INTERFACE_VM,
                                             "JobsFinished")
                 : -ENOMEM;
    if (r >= 0)
        r = append_ends(signal, vm);
    if (r >= 0)
        r = sd_bus_send(NULL, signal, NULL);
    if (r < 0)
        log_line(LOG_WARNING, NULL, "JobsFinished cannot be sent: %s", strerror(-r));
    sd_bus_message_unref(signal);
}
