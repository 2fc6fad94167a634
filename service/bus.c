/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commit.h"
#include "disk.h"
#include "errors.h"
#include "log.h"
#include "text.h"
#include "vm.h"

#define VM_TEMPLATE BUS_PATH_VMS "/%"
#define DISK_TEMPLATE BUS_PATH_VMS "/%/%"

struct Bus {
    sd_bus *connection;
    Gate *gate;
    Manager *manager;
    sd_bus_slot *slots[8];
};

Bus *bus_of(const Vm *vm)
{
    void *userdata;

    (void)vm_observer(vm, &userdata);
    return userdata;
}

sd_bus *bus_connection(const Bus *b)
{
    return b->connection;
}

Manager *bus_manager(const Bus *b)
{
    return b->manager;
}

uid_t bus_caller_uid(const Bus *b, sd_bus_message *call)
{
    return gate_caller_uid(b->gate, sd_bus_message_get_sender(call));
}

char *bus_vm_path(const Vm *vm)
{
    char *path;

    return sd_bus_path_encode_many(&path, VM_TEMPLATE, vm_name(vm)) < 0 ? NULL : path;
}

char *bus_disk_path_of(const Vm *vm, const char *disk)
{
    char *path;

    return sd_bus_path_encode_many(&path, DISK_TEMPLATE, vm_name(vm), disk) < 0 ? NULL : path;
}

char *bus_disk_path(const Disk *d)
{
    return bus_disk_path_of(disk_vm(d), disk_name(d));
}

Vm *bus_find_vm(const Bus *b, const char *path)
{
    _cleanup_(freep) char *vm = NULL;

    if (!b->manager || sd_bus_path_decode_many(path, VM_TEMPLATE, &vm) <= 0)
        return NULL;
    return manager_find_vm(b->manager, vm);
}

Disk *bus_find_disk(const Bus *b, const char *path)
{
    _cleanup_(freep) char *vm_label = NULL, *disk_label = NULL;

    if (!b->manager || sd_bus_path_decode_many(path, DISK_TEMPLATE, &vm_label, &disk_label) <= 0)
        return NULL;

    Vm *vm = manager_find_vm(b->manager, vm_label);
    return vm ? vm_find_disk(vm, disk_label) : NULL;
}

Commit *bus_find_job(const Bus *b, const char *path)
{
    Disk *d = bus_find_disk(b, path);
    Commit *job = d ? disk_job(d) : NULL;

    return job && commit_is_started(job) ? job : NULL;
}

/* What a path below /org/vmdisk1/vm stands for, for the gate. */
static int resolve(const char *path, GateTarget *ret, void *userdata)
{
    const Bus *b = userdata;
    _cleanup_(freep) char *vm_label = NULL, *disk_label = NULL;

    if (sd_bus_path_decode_many(path, DISK_TEMPLATE, &vm_label, &disk_label) <= 0 &&
        sd_bus_path_decode_many(path, VM_TEMPLATE, &vm_label) <= 0)
        return 0;

    Vm *vm = b->manager ? manager_find_vm(b->manager, vm_label) : NULL;
    Disk *d = vm && disk_label ? vm_find_disk(vm, disk_label) : NULL;
    Commit *job = bus_find_job(b, path);
    ret->object = !vm           ? GATE_OBJECT_NO_VM
                  : !disk_label ? GATE_OBJECT_VM
                  : d           ? GATE_OBJECT_DISK
                                : GATE_OBJECT_NO_DISK;
    ret->owner = vm ? vm_peer(vm)->uid : (uid_t)-1;
    ret->job = job ? strdup(commit_id(job)) : NULL;
    ret->vm = TAKE_PTR(vm_label);
    ret->disk = TAKE_PTR(disk_label);
    return job && !ret->job ? -ENOMEM : 0;
}

static int find_vm(sd_bus *connection, const char *path, const char *interface, void *userdata,
                   void **ret, sd_bus_error *error)
{
    *ret = bus_find_vm(userdata, path);
    return *ret ? 1 : 0;
}

static int find_disk(sd_bus *connection, const char *path, const char *interface, void *userdata,
                     void **ret, sd_bus_error *error)
{
    *ret = bus_find_disk(userdata, path);
    return *ret ? 1 : 0;
}

static int find_job(sd_bus *connection, const char *path, const char *interface, void *userdata,
                    void **ret, sd_bus_error *error)
{
    *ret = bus_find_job(userdata, path);
    return *ret ? 1 : 0;
}

static void paths_free(char **paths)
{
    for (size_t i = 0; paths && paths[i]; i++)
        free(paths[i]);
    free(paths);
}

static int list_paths(sd_bus *connection, const char *prefix, void *userdata, char ***ret,
                      sd_bus_error *error)
{
    const Bus *b = userdata;
    size_t n = 0, used = 0;

    for (Vm *vm = manager_next_vm(b->manager, NULL); vm; vm = manager_next_vm(b->manager, vm))
        n += 1 + vm_count_disks(vm);

    char **paths = calloc(n + 1, sizeof(char *));
    if (!paths)
        return -ENOMEM;

    for (Vm *vm = manager_next_vm(b->manager, NULL); vm; vm = manager_next_vm(b->manager, vm)) {
        paths[used++] = bus_vm_path(vm);
        for (Disk *d = vm_next_disk(vm, NULL); paths[used - 1] && d; d = vm_next_disk(vm, d))
            paths[used++] = bus_disk_path(d);
        if (!paths[used - 1]) {
            paths_free(paths);
            return -ENOMEM;
        }
    }
    *ret = paths;
    return 0;
}

void bus_emit_changed(const Bus *b, const char *path, const char *interface,
                      const char *const *properties)
{
    /* sd-bus takes a list that it does not change. */
    (void)sd_bus_emit_properties_changed_strv(b->connection, path, interface, (char **)properties);
}

void bus_reply_done(const Refusal *refusal, void *userdata)
{
    sd_bus_message *call = userdata;
    int r = refusal->kind == REFUSAL_NONE ? sd_bus_reply_method_return(call, NULL)
                                          : errors_reply(call, refusal);

    if (r < 0)
        log_line(LOG_WARNING, NULL, "A reply to %s cannot be sent: %s",
                 sd_bus_message_get_sender(call), strerror(-r));
    sd_bus_message_unref(call);
}

static void on_vm_added(Vm *vm, void *userdata)
{
    const Bus *b = userdata;
    _cleanup_(freep) char *path = bus_vm_path(vm);

    if (path)
        (void)sd_bus_emit_object_added(b->connection, path);
}

static void on_vm_changed(Vm *vm, void *userdata)
{
    bus_vm_changed(userdata, vm);
}

static void on_vm_removed(Vm *vm, void *userdata)
{
    const Bus *b = userdata;
    _cleanup_(freep) char *path = bus_vm_path(vm);

    if (path)
        (void)sd_bus_emit_object_removed(b->connection, path);
}

static void on_disk_added(Disk *d, void *userdata)
{
    const Bus *b = userdata;
    _cleanup_(freep) char *path = bus_disk_path(d);

    if (path)
        (void)sd_bus_emit_object_added(b->connection, path);
}

static void on_disk_changed(Disk *d, unsigned changes, void *userdata)
{
    bus_disk_changed(userdata, d, changes);
}

static void on_disk_removed(Disk *d, void *userdata)
{
    const Bus *b = userdata;
    _cleanup_(freep) char *path = bus_disk_path(d);

    if (path)
        (void)sd_bus_emit_object_removed(b->connection, path);
}

static void on_job_started(Commit *job, void *userdata)
{
    Bus *b = userdata;
    _cleanup_(freep) char *path = bus_disk_path(commit_disk(job));

    if (path)
        (void)sd_bus_emit_interfaces_added(b->connection, path, BUS_INTERFACE_JOB, NULL);
    bus_disk_job_changed(b, commit_disk(job), /* last= */ false);
}

static void on_job_changed(Commit *job, unsigned changes, void *userdata)
{
    Bus *b = userdata;

    bus_job_changed(b, job, changes);
    if (changes & COMMIT_CHANGE_STATE)
        bus_disk_job_changed(b, commit_disk(job), /* last= */ false);
}

static void on_job_ready(Commit *job, void *userdata)
{
    bus_disk_signal_ready(userdata, job);
}

static void on_job_hidden(Commit *job, void *userdata)
{
    Bus *b = userdata;
    Disk *d = commit_disk(job);
    _cleanup_(freep) char *path = bus_disk_path(d);

    bus_disk_job_changed(b, d, /* last= */ false);
    if (path)
        (void)sd_bus_emit_interfaces_removed(b->connection, path, BUS_INTERFACE_JOB, NULL);
}

static void on_job_finished(Commit *job, void *userdata)
{
    Bus *b = userdata;
    Disk *d = commit_disk(job);
    _cleanup_(freep) char *path = bus_disk_path(d);

    bus_disk_job_changed(b, d, /* last= */ true);
    bus_disk_signal_finished(b, d);
    if (path)
        (void)sd_bus_emit_interfaces_removed(b->connection, path, BUS_INTERFACE_JOB, NULL);
}

static void on_jobs_changed(Vm *vm, void *userdata)
{
    bus_vm_jobs_changed(userdata, vm);
}

static void on_jobs_ready(Vm *vm, void *userdata)
{
    bus_vm_signal_ready(userdata, vm);
}

static void on_jobs_finished(Vm *vm, void *userdata)
{
    bus_vm_signal_finished(userdata, vm);
}

const DomainObserver bus_observer = {
    .vm_added = on_vm_added,
    .vm_changed = on_vm_changed,
    .vm_removed = on_vm_removed,
    .disk_added = on_disk_added,
    .disk_changed = on_disk_changed,
    .disk_removed = on_disk_removed,
    .job_started = on_job_started,
    .job_changed = on_job_changed,
    .job_ready = on_job_ready,
    .job_hidden = on_job_hidden,
    .job_finished = on_job_finished,
    .jobs_changed = on_jobs_changed,
    .jobs_ready = on_jobs_ready,
    .jobs_finished = on_jobs_finished,
};

int bus_new(sd_bus *connection, GateMode mode, Bus **ret)
{
    static const GateResolver resolver = {.resolve = resolve};
    _cleanup_(bus_freep) Bus *b = calloc(1, sizeof(Bus));
    if (!b)
        return -ENOMEM;

    b->connection = sd_bus_ref(connection);
    int r = gate_new(connection, mode, &resolver, b, &b->gate);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(b);
    return 0;
}

int bus_publish(Bus *b, Manager *manager)
{
    sd_bus_slot **slot = b->slots;
    int r;

    b->manager = manager;
    r = sd_bus_add_object_manager(b->connection, slot++, BUS_PATH);
    if (r < 0)
        return r;
    r = sd_bus_add_object_vtable(b->connection, slot++, BUS_PATH, BUS_INTERFACE_MANAGER,
                                 bus_manager_vtable, b);
    if (r < 0)
        return r;
    r = sd_bus_add_fallback_vtable(b->connection, slot++, BUS_PATH_VMS, BUS_INTERFACE_VM,
                                   bus_vm_vtable, find_vm, b);
    if (r < 0)
        return r;
    r = sd_bus_add_fallback_vtable(b->connection, slot++, BUS_PATH_VMS, BUS_INTERFACE_DISK,
                                   bus_disk_vtable, find_disk, b);
    if (r < 0)
        return r;
    r = sd_bus_add_fallback_vtable(b->connection, slot++, BUS_PATH_VMS, BUS_INTERFACE_JOB,
                                   bus_job_vtable, find_job, b);
    if (r < 0)
        return r;
    r = sd_bus_add_node_enumerator(b->connection, slot++, BUS_PATH_VMS, list_paths, b);
    return r < 0 ? r : 0;
}

Bus *bus_free(Bus *b)
{
    if (!b)
        return NULL;

    for (size_t i = 0; i < ELEMENTSOF(b->slots); i++)
        sd_bus_slot_unref(b->slots[i]);
    gate_free(b->gate);
    sd_bus_unref(b->connection);
    free(b);
    return NULL;
}
