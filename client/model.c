/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "model.h"

#include <errno.h>
#include <string.h>

#include "memory.h"
#include "names.h"
#include "output.h"

static const RecordField vm_fields[] = {
    {"Name", "name", 's', offsetof(Vm, name)},
    {"State", "state", 's', offsetof(Vm, state)},
    {"QEMUVersion", "qemu-version", 's', offsetof(Vm, qemu_version)},
    {"ProcessID", "process-id", 'u', offsetof(Vm, process_id)},
    {"UserID", "user-id", 'u', offsetof(Vm, user_id)},
    {"JobsState", "jobs-state", 's', offsetof(Vm, jobs_state)},
    {"Unit", "unit", 's', offsetof(Vm, unit)},
    {"Instance", "instance", 's', offsetof(Vm, instance)},
    {},
};

static const RecordField disk_fields[] = {
    {"VM", /* key= */ NULL, 'o', offsetof(Disk, vm_path)},
    {"Name", "name", 's', offsetof(Disk, name)},
    {"Device", "device", 's', offsetof(Disk, device)},
    {"Node", "node", 's', offsetof(Disk, node)},
    {"Format", "format", 's', offsetof(Disk, format)},
    {"Size", "size", 't', offsetof(Disk, size)},
    {"ReadOnly", "read-only", 'b', offsetof(Disk, read_only)},
    {"ChainDepth", "chain-depth", 'u', offsetof(Disk, chain_depth)},
    {"JobState", "job-state", 's', offsetof(Disk, job_state)},
    {},
};

static const RecordField image_fields[] = {
    {"index", "index", 'u', offsetof(Image, index)},
    {"node", "node", 's', offsetof(Image, node)},
    {"file", "file", 's', offsetof(Image, file)},
    {"format", "format", 's', offsetof(Image, format)},
    {"size", "size", 't', offsetof(Image, size)},
    {"read-only", "read-only", 'b', offsetof(Image, read_only)},
    {"backing-file", "backing-file", 's', offsetof(Image, backing_file)},
    {},
};

const RecordField job_fields[] = {
    {"Id", "id", 's', offsetof(Job, id)},
    {"Type", "type", 's', offsetof(Job, type)},
    {"State", "state", 's', offsetof(Job, state)},
    {"Error", "error", 's', offsetof(Job, error)},
    {"Offset", "offset", 't', offsetof(Job, offset)},
    {"Length", "length", 't', offsetof(Job, length)},
    {"Remaining", "remaining", 't', offsetof(Job, remaining)},
    {"Rate", "rate", 't', offsetof(Job, rate)},
    {"Speed", "speed", 't', offsetof(Job, speed)},
    {"OnReady", "on-ready", 's', offsetof(Job, on_ready)},
    {"Top", "top", 's', offsetof(Job, top)},
    {"Base", "base", 's', offsetof(Job, base)},
    {"StartedByUID", "started-by-uid", 'u', offsetof(Job, started_by_uid)},
    {"StartedUSec", "started-usec", 't', offsetof(Job, started_usec)},
    {},
};

static const RecordField last_job_fields[] = {
    {"id", "id", 's', offsetof(LastJob, id)},
    {"type", "type", 's', offsetof(LastJob, type)},
    {"result", "result", 's', offsetof(LastJob, result)},
    {"error", "error", 's', offsetof(LastJob, error)},
    {"message", "message", 's', offsetof(LastJob, message)},
    {"started-usec", "started-usec", 't', offsetof(LastJob, started_usec)},
    {"finished-usec", "finished-usec", 't', offsetof(LastJob, finished_usec)},
    {},
};

static void free_texts(char **texts)
{
    for (size_t i = 0; texts && texts[i]; i++)
        free(texts[i]);
    free(texts);
}

static void disk_done(Disk *d)
{
    for (size_t i = 0; i < d->n_chain; i++)
        record_done(image_fields, &d->chain[i]);
    free(d->chain);
    free_texts(d->warnings);
    record_done(job_fields, &d->job);
    record_done(last_job_fields, &d->last_job);
    record_done(disk_fields, d);
    free(d->path);
}

Model *model_free(Model *m)
{
    if (!m)
        return NULL;
    for (size_t i = 0; i < m->n_disks; i++)
        disk_done(&m->disks[i]);
    for (size_t i = 0; i < m->n_vms; i++) {
        record_done(vm_fields, &m->vms[i]);
        free_texts(m->vms[i].jobs_disks);
        free(m->vms[i].path);
    }
    free(m->disks);
    free(m->vms);
    free(m->service);
    free(m);
    return NULL;
}

static int read_chain(sd_bus_message *message, Disk *d)
{
    int r = sd_bus_message_enter_container(message, 'a', "a{sv}");
    if (r < 0)
        return r;

    while ((r = sd_bus_message_at_end(message, /* complete= */ false)) == 0) {
        d->chain = need_grow(d->chain, d->n_chain, sizeof(*d->chain));
        r = record_read(message, image_fields, /* other= */ NULL, &d->chain[d->n_chain++]);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

static int read_disk_other(sd_bus_message *message, const char *name, const char *type,
                           void *record)
{
    Disk *d = record;
    int r = 0;

    if (strcmp(name, "Chain") == 0 && strcmp(type, "aa{sv}") == 0)
        r = read_chain(message, d);
    else if (strcmp(name, "Warnings") == 0 && strcmp(type, "as") == 0)
        r = sd_bus_message_read_strv(message, &d->warnings);
    else if (strcmp(name, "LastJob") == 0 && strcmp(type, "a{sv}") == 0)
        r = record_read(message, last_job_fields, /* other= */ NULL, &d->last_job);
    else
        return 0;
    return r < 0 ? r : 1;
}

static int read_vm_other(sd_bus_message *message, const char *name, const char *type, void *record)
{
    Vm *vm = record;

    if (strcmp(name, "JobsDisks") != 0 || strcmp(type, "ao") != 0)
        return 0;
    int r = sd_bus_message_read_strv(message, &vm->jobs_disks);
    return r < 0 ? r : 1;
}

bool model_is_grouped(const Vm *vm, const Disk *d)
{
    for (size_t i = 0; vm->jobs_disks && vm->jobs_disks[i]; i++)
        if (strcmp(vm->jobs_disks[i], d->path) == 0)
            return true;
    return false;
}

/* Reads one interface of an object into what the object is to become. */
static int read_interface(sd_bus_message *message, Vm *vm, Disk *d)
{
    const char *interface;

    int r = sd_bus_message_read_basic(message, 's', &interface);
    if (r < 0)
        return r;
    if (strcmp(interface, INTERFACE_VM) == 0)
        return record_read(message, vm_fields, read_vm_other, vm);
    if (strcmp(interface, INTERFACE_DISK) == 0)
        return record_read(message, disk_fields, read_disk_other, d);
    if (strcmp(interface, INTERFACE_JOB) == 0)
        return record_read(message, job_fields, /* other= */ NULL, &d->job);
    return sd_bus_message_skip(message, "a{sv}");
}

static int read_interfaces(sd_bus_message *message, Vm *vm, Disk *d)
{
    int r = sd_bus_message_enter_container(message, 'a', "{sa{sv}}");
    if (r < 0)
        return r;

    while ((r = sd_bus_message_enter_container(message, 'e', "sa{sv}")) > 0) {
        r = read_interface(message, vm, d);
        if (r < 0)
            return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(message);
}

/* An object is a VM or a disk by what it was possible to read of it; one without a name is of no
 * use here. */
static int read_object(sd_bus_message *message, Model *m)
{
    const char *path;
    Vm vm = {};
    Disk d = {};

    int r = sd_bus_message_read_basic(message, 'o', &path);
    if (r < 0)
        return r;

    r = read_interfaces(message, &vm, &d);
    if (vm.name) {
        vm.path = need(strdup(path));
        m->vms = need_grow(m->vms, m->n_vms, sizeof(vm));
        m->vms[m->n_vms++] = vm;
    } else
        record_done(vm_fields, &vm);

    if (d.name && d.vm_path) {
        d.path = need(strdup(path));
        m->disks = need_grow(m->disks, m->n_disks, sizeof(d));
        m->disks[m->n_disks++] = d;
    } else
        disk_done(&d);
    return r;
}

static int read_objects(sd_bus_message *message, Model *m)
{
    int r = sd_bus_message_enter_container(message, 'a', "{oa{sa{sv}}}");
    if (r < 0)
        return r;

    while ((r = sd_bus_message_enter_container(message, 'e', "oa{sa{sv}}")) > 0) {
        r = read_object(message, m);
        if (r < 0)
            return r;
        r = sd_bus_message_exit_container(message);
        if (r < 0)
            return r;
    }
    return r;
}

static int compare_vms(const void *a, const void *b)
{
    const Vm *x = a, *y = b;

    return strverscmp(x->name, y->name);
}

static int compare_disks(const void *a, const void *b)
{
    const Disk *x = a, *y = b;
    int order = strcmp(x->vm_path, y->vm_path);

    return order != 0 ? order : strverscmp(x->name, y->name);
}

/* Sorts, and gives each VM its part of the disks. */
static void arrange(Model *m)
{
    if (m->n_vms > 0)
        qsort(m->vms, m->n_vms, sizeof(*m->vms), compare_vms);
    if (m->n_disks > 0)
        qsort(m->disks, m->n_disks, sizeof(*m->disks), compare_disks);

    for (Vm *vm = m->vms; vm < m->vms + m->n_vms; vm++)
        for (Disk *d = m->disks; d < m->disks + m->n_disks; d++)
            if (strcmp(d->vm_path, vm->path) == 0) {
                if (!vm->disks)
                    vm->disks = d;
                vm->n_disks++;
            }
}

int model_read(Client *c, Model **ret, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(model_freep) Model *m = need(calloc(1, sizeof(*m)));

    int r = client_call(c, PATH_ROOT, INTERFACE_OBJECTS, "GetManagedObjects", &reply, error,
                        /* types= */ NULL);
    if (r < 0)
        return r;

    r = read_objects(reply, m);
    if (r < 0)
        return sd_bus_error_set(error, SD_BUS_ERROR_INCONSISTENT_MESSAGE,
                                "The service's list of VMs and disks cannot be read.");
    arrange(m);

    const char *sender = sd_bus_message_get_sender(reply);
    m->service = need(strdup(sender ? sender : ""));
    *ret = TAKE_PTR(m);
    return 0;
}

Disk *model_disk_at(const Model *m, const char *path)
{
    for (size_t i = 0; i < m->n_disks; i++)
        if (strcmp(m->disks[i].path, path) == 0)
            return &m->disks[i];
    return NULL;
}

const Vm *model_vm_of(const Model *m, const Disk *d)
{
    for (size_t i = 0; i < m->n_vms; i++)
        if (strcmp(m->vms[i].path, d->vm_path) == 0)
            return &m->vms[i];
    return NULL;
}

json_object *model_disk_to_json(const Disk *d)
{
    json_object *object = record_to_json(disk_fields, d);
    json_object *chain = need(json_object_new_array());
    json_object *warnings = need(json_object_new_array());

    for (size_t i = 0; i < d->n_chain; i++)
        json_append(chain, record_to_json(image_fields, &d->chain[i]));
    for (size_t i = 0; d->warnings && d->warnings[i]; i++)
        json_append(warnings, json_text(d->warnings[i], /* empty_is_null= */ false));

    json_put(object, "path", json_text(d->path, /* empty_is_null= */ false));
    json_put(object, "warnings", warnings);
    json_put(object, "chain", chain);
    json_put(object, "job", d->job.id ? record_to_json(job_fields, &d->job) : NULL);
    json_put(object, "last-job",
             d->last_job.id ? record_to_json(last_job_fields, &d->last_job) : NULL);
    return object;
}

json_object *model_vm_to_json(const Vm *vm)
{
    json_object *object = record_to_json(vm_fields, vm);
    json_object *disks = need(json_object_new_array());

    for (size_t i = 0; i < vm->n_disks; i++)
        json_append(disks, model_disk_to_json(&vm->disks[i]));

    json_put(object, "path", json_text(vm->path, /* empty_is_null= */ false));
    json_put(object, "disks", disks);
    return object;
}
