/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "target.h"

#include <string.h>

#include "memory.h"
#include "names.h"
#include "near.h"
#include "output.h"

/* Disks that a message lists before it refers to "vmdiskctl list". */
#define LISTED_MAX 10

char *target_disk_name(const Vm *vm, const Disk *disk)
{
    return need_format("%s/%s", vm->name, disk->name);
}

void target_done(Target *t)
{
    free(t->name);
    free(t->label);
    *t = (Target){};
}

const char *target_path(const Target *t)
{
    return t->disk ? t->disk->path : t->vm->path;
}

static void target_set(Target *t, const Vm *vm, const Disk *disk)
{
    target_done(t);
    t->vm = vm;
    t->disk = disk;
    t->name = disk ? target_disk_name(vm, disk) : need(strdup(vm->name));
    t->label = text_for_people(t->name, look_of(stderr));
}

/* Sets the target where the word is its name or its path. A second one that fits is an error. */
static int consider(const char *word, const Vm *vm, const Disk *disk, Target *t,
                    sd_bus_error *error)
{
    _cleanup_(freep) char *disk_name = disk ? target_disk_name(vm, disk) : NULL;
    const char *name = disk ? disk_name : vm->name;
    const char *path = disk ? disk->path : vm->path;

    if (strcmp(word, name) != 0 && strcmp(word, path) != 0)
        return 0;
    if (t->vm)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "%s can be two things. Name it by its object path: %s or %s.",
                                 word, t->disk ? t->disk->path : t->vm->path, path);
    target_set(t, vm, disk);
    return 0;
}

/* 1 where something fits, 0 where nothing does. */
static int match(const Model *m, const char *word, bool vms, bool disks, Target *t,
                 sd_bus_error *error)
{
    for (const Vm *vm = m->vms; vm < m->vms + m->n_vms; vm++) {
        int r = vms ? consider(word, vm, /* disk= */ NULL, t, error) : 0;

        for (size_t i = 0; r >= 0 && disks && i < vm->n_disks; i++)
            r = consider(word, vm, &vm->disks[i], t, error);
        if (r < 0)
            return r;
    }
    return t->vm != NULL;
}

/* "a, b, c". The caller frees. */
static char *join(const char *const *names, size_t n)
{
    char *list = need(strdup(""));

    for (size_t i = 0; i < n; i++) {
        char *longer = need_format("%s%s%s", list, i > 0 ? ", " : "", names[i]);
        free(list);
        list = longer;
    }
    return list;
}

/* The names of a VM's disks; cut short where they are many. The caller frees. */
static char *list_disks(const Vm *vm)
{
    const char *names[LISTED_MAX + 1];
    size_t n = 0;

    for (; n < vm->n_disks && n < LISTED_MAX; n++)
        names[n] = vm->disks[n].name;
    if (n < vm->n_disks)
        names[n++] = "…";
    return join(names, n);
}

static int refuse_vm_as_disk(const Vm *vm, sd_bus_error *error)
{
    _cleanup_(freep) char *disks = list_disks(vm);

    if (vm->n_disks == 0)
        return sd_bus_error_setf(error, ERROR_NO_SUCH_DISK, "The VM %s has no disks.", vm->name);
    return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                             "%s is a VM. Name one of its disks as %s/DISK: %s.", vm->name,
                             vm->name, disks);
}

/* The VM that the word names before its last part; NULL where there is none. */
static const Vm *vm_of_word(const Model *m, const char *word)
{
    const char *slash = strrchr(word, '/');
    size_t length = slash ? (size_t)(slash - word) : 0;

    for (const Vm *vm = m->vms; vm < m->vms + m->n_vms; vm++)
        if (length > 0 && strlen(vm->name) == length && memcmp(vm->name, word, length) == 0)
            return vm;
    return NULL;
}

static int refuse_disk(const Vm *vm, const char *word, sd_bus_error *error)
{
    _cleanup_(freep) char *disks = list_disks(vm);

    if (vm->n_disks == 0)
        return sd_bus_error_setf(error, ERROR_NO_SUCH_DISK, "The VM %s has no disks.", vm->name);
    return sd_bus_error_setf(error, ERROR_NO_SUCH_DISK, "The VM %s has no disk \"%s\". It has: %s.",
                             vm->name, strrchr(word, '/') + 1, disks);
}

/* Nothing fits: the error names what is near, among VMs, or among disks where a disk was meant. */
static int refuse(const Model *m, const char *word, bool disks, sd_bus_error *error)
{
    size_t n = 0, n_all = disks ? m->n_disks : m->n_vms;
    char **all = need(calloc(n_all + 1, sizeof(*all)));
    const char *near[NEAR_MAX];

    for (const Vm *vm = m->vms; vm < m->vms + m->n_vms; vm++) {
        if (!disks)
            all[n++] = need(strdup(vm->name));
        for (size_t i = 0; disks && i < vm->n_disks; i++)
            all[n++] = target_disk_name(vm, &vm->disks[i]);
    }

    size_t n_near = near_names(word, all, n, near);
    _cleanup_(freep) char *list = join(near, n_near);
    const char *what = disks ? "disk" : "VM";

    if (m->n_vms == 0)
        sd_bus_error_setf(error, ERROR_NO_SUCH_VM,
                          "There is no %s %s: no VM is attached. \"vmdiskctl list\" says how one "
                          "is.",
                          what, word);
    else if (n_near == 0)
        sd_bus_error_setf(error, ERROR_NO_SUCH_VM,
                          "There is no %s %s. \"vmdiskctl list\" shows what there is.", what, word);
    else
        sd_bus_error_setf(error, ERROR_NO_SUCH_VM, "There is no %s %s. Did you mean: %s?", what,
                          word, list);

    for (size_t i = 0; i < n; i++)
        free(all[i]);
    free(all);
    return -sd_bus_error_get_errno(error);
}

int target_find_disk(const Model *m, const char *word, Target *ret, sd_bus_error *error)
{
    Target vm = {};

    int r = match(m, word, /* vms= */ false, /* disks= */ true, ret, error);
    if (r != 0)
        return r;

    r = match(m, word, /* vms= */ true, /* disks= */ false, &vm, error);
    if (r > 0)
        r = refuse_vm_as_disk(vm.vm, error);
    target_done(&vm);
    if (r != 0)
        return r;

    const Vm *parent = vm_of_word(m, word);
    return parent ? refuse_disk(parent, word, error) : refuse(m, word, /* disks= */ true, error);
}

int target_find_vm(const Model *m, const char *word, Target *ret, sd_bus_error *error)
{
    int r = match(m, word, /* vms= */ true, /* disks= */ false, ret, error);

    return r != 0 ? r : refuse(m, word, /* disks= */ false, error);
}

int target_find(const Model *m, const char *word, Target *ret, sd_bus_error *error)
{
    int r = match(m, word, /* vms= */ true, /* disks= */ true, ret, error);
    if (r != 0)
        return r;
    if (!strchr(word, '/'))
        return refuse(m, word, /* disks= */ false, error);
    return target_find_disk(m, word, ret, error);
}
