/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * status shows one VM, or one disk with its chain and its job, and what can be done next.
 */
#include "verbs.h"

#include <inttypes.h>
#include <pwd.h>
#include <string.h>

#include "conclude.h"
#include "describe.h"
#include "exit-code.h"
#include "memory.h"
#include "model.h"
#include "output.h"
#include "table.h"
#include "target.h"

/* What the service says where the kernel knows no uid. */
#define UID_UNKNOWN UINT32_MAX

/* Takes over the value; a NULL or empty one is left out. */
static void add(Table *t, const char *title, char *value)
{
    if (!value || *value == '\0') {
        free(value);
        return;
    }
    table_add(t, TINT_FAINT, need(strdup(title)));
    table_add(t, TINT_NONE, value);
}

static char *shown(const char *text)
{
    return text ? text_for_people(text, look_of(stdout)) : NULL;
}

/* "alice (uid 1000)". The caller frees. */
static char *user_for_people(uint32_t uid)
{
    const struct passwd *user = uid == UID_UNKNOWN ? NULL : getpwuid(uid);

    if (uid == UID_UNKNOWN)
        return need(strdup("somebody unknown"));
    return user ? need_format("%s (uid %" PRIu32 ")", user->pw_name, uid)
                : need_format("uid %" PRIu32, uid);
}

static void add_job(Table *t, const Job *job)
{
    _cleanup_(freep) char *started = time_for_people(job->started_usec);
    _cleanup_(freep) char *user = user_for_people(job->started_by_uid);
    _cleanup_(freep) char *offset = size_for_people(job->offset);
    _cleanup_(freep) char *length = size_for_people(job->length);
    _cleanup_(freep) char *speed = size_for_people(job->speed);
    _cleanup_(freep) char *top = shown(job->top ? job->top : "");
    _cleanup_(freep) char *base = shown(job->base ? job->base : "");

    add(t, "Job:", describe_job(job, look_of(stdout)));
    add(t, "", shown(job->id));
    if (job->error && *job->error) {
        _cleanup_(freep) char *trouble = shown(job->error);

        add(t, "", need_format("paused by an I/O error: %s", trouble));
    }
    add(t, "", need_format("%s of %s copied", offset, length));
    if (job->remaining > 0 || job->rate > 0) {
        _cleanup_(freep) char *remaining = size_for_people(job->remaining);
        _cleanup_(freep) char *rate = size_for_people(job->rate);

        add(t, "", need_format("%s left, at %s/s", remaining, rate));
    }
    if (describe_on_ready(job->on_ready))
        add(t, "", need_format("%s by itself when it is ready", describe_on_ready(job->on_ready)));
    if (job->speed > 0)
        add(t, "", need_format("limited to %s/s", speed));
    if (*top && *base)
        add(t, "", need_format("from node %s into node %s", top, base));
    add(t, "", need_format("started %s by %s", started, user));
}

static void add_last_job(Table *t, const LastJob *last)
{
    _cleanup_(freep) char *finished = time_for_people(last->finished_usec);
    _cleanup_(freep) char *type = shown(last->type ? last->type : "job");
    _cleanup_(freep) char *result = shown(last->result ? last->result : "");

    add(t, "Last job:", need_format("%s %s, %s", type, result, finished));
    add(t, "", shown(last->message));
}

/* A job that is ready waits for a person. */
static void add_next(Table *t, const Client *c, const Target *target)
{
    const char *state = target->disk->job.state;

    if (!state || strcmp(state, "ready") != 0 || describe_on_ready(target->disk->job.on_ready))
        return;
    _cleanup_(freep) char *pivot = conclude_command(c, "pivot", target);
    _cleanup_(freep) char *abort = conclude_command(c, "abort", target);
    add(t, "Next:", need_format("%s: the guest continues on the base", pivot));
    add(t, "", need_format("%s: the guest stays on the overlay", abort));
}

static void add_chain(Table *t, const Disk *d)
{
    for (size_t i = 0; i < d->n_chain; i++) {
        const Image *image = &d->chain[i];
        _cleanup_(freep) char *size = size_for_people(image->size);
        _cleanup_(freep) char *file = shown(image->file ? image->file : "");
        _cleanup_(freep) char *format = shown(image->format ? image->format : "");

        add(t, i == 0 ? "Chain:" : "",
            need_format("%" PRIu32 ": %s (%s, %s%s)", image->index, file, format, size,
                        image->read_only ? ", read-only" : ""));
    }
    if (d->n_chain == 0)
        add(t, "Chain:", need(strdup("no medium")));
}

static void print_title(const Target *target)
{
    Look look = look_of(stdout);
    _cleanup_(freep) char *title = shown(target->name);

    printf("%s%s%s\n", tint_begin(look, TINT_STRONG), title, tint_end(look, TINT_STRONG));
}

static void print_disk(const Client *c, const Target *target)
{
    _cleanup_(table_freep) Table *t = table_new(2, /* right= */ 0);
    const Disk *d = target->disk;

    for (size_t i = 0; d->warnings && d->warnings[i]; i++)
        add(t, "Warning:", shown(d->warnings[i]));
    add(t, "Device:", shown(d->device));
    add(t, "Node:", shown(d->node));
    add(t, "Format:", shown(d->format));
    add(t, "Size:", d->n_chain > 0 ? size_for_people(d->size) : NULL);
    add(t, "Read-only:", d->read_only ? need(strdup("yes")) : NULL);
    add_chain(t, d);
    if (d->job.id)
        add_job(t, &d->job);
    add_next(t, c, target);
    if (d->last_job.id)
        add_last_job(t, &d->last_job);
    add(t, "Path:", shown(d->path));

    print_title(target);
    table_print(t, stdout, look_of(stdout));
}

static void print_vm(const Target *target)
{
    _cleanup_(table_freep) Table *t = table_new(2, /* right= */ 0);
    const Vm *vm = target->vm;

    add(t, "State:", shown(vm->state));
    add(t, "QEMU:", shown(vm->qemu_version));
    add(t, "Process:", vm->process_id > 0 ? need_format("%" PRIu32, vm->process_id) : NULL);
    add(t, "User:", user_for_people(vm->user_id));
    add(t, "Unit:", shown(vm->unit));
    if (vm->jobs_disks && *vm->jobs_disks) {
        _cleanup_(freep) char *state = shown(vm->jobs_state ? vm->jobs_state : "");

        add(t, "Jobs:", need_format("committed together: %s", state));
    }
    add(t, "Path:", shown(vm->path));

    print_title(target);
    table_print(t, stdout, look_of(stdout));
}

/* A VM is shown with all its disks. */
static void print_vm_and_disks(const Client *c, const Target *target)
{
    print_vm(target);
    for (size_t i = 0; i < target->vm->n_disks; i++) {
        const Disk *d = &target->vm->disks[i];
        _cleanup_(freep) char *name = target_disk_name(target->vm, d);

        putchar('\n');
        print_disk(c, &(Target){.vm = target->vm, .disk = d, .name = name});
    }
}

static void print_json(const Target *target, JsonMode mode)
{
    json_object *object;

    if (target->disk) {
        object = model_disk_to_json(target->disk);
        json_put(object, "vm", json_text(target->vm->name, /* empty_is_null= */ false));
    } else
        object = model_vm_to_json(target->vm);
    json_print(object, mode);
}

int verb_status(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};

    int r = model_read(c, &m, error);
    if (r < 0)
        return r;
    r = target_find(m, arguments[0], &target, error);
    if (r < 0)
        return r;

    if (c->options.json != JSON_OFF)
        print_json(&target, c->options.json);
    else if (target.disk)
        print_disk(c, &target);
    else
        print_vm_and_disks(c, &target);
    return EXIT_DONE;
}
