/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-watch.h"

#include <string.h>

#include "describe.h"
#include "follow.h"
#include "memory.h"
#include "names.h"

struct GroupWatch {
    Follow follow;
    GroupMember *members;
    size_t n_members;
    bool looked; /* the members are known */
    bool ready, finished;
    bool two_phases;
};

static bool same(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

static GroupMember *find_member(GroupWatch *w, const char *path)
{
    for (size_t i = 0; i < w->n_members; i++)
        if (strcmp(w->members[i].path, path) == 0)
            return &w->members[i];
    return NULL;
}

static GroupMember *add_member(GroupWatch *w, const char *path)
{
    const Vm *vm = w->follow.target->vm;
    const char *name = path;

    for (size_t i = 0; i < vm->n_disks; i++)
        if (strcmp(vm->disks[i].path, path) == 0)
            name = vm->disks[i].name;
    w->members = need_grow(w->members, w->n_members, sizeof(*w->members));
    GroupMember *member = &w->members[w->n_members++];

    member->path = need(strdup(path));
    member->name = need(strdup(name));
    return member;
}

/* The first word is good. */
static void set_result(GroupMember *member, const char *result, const char *message)
{
    if (member->result)
        return;
    member->result = need(strdup(result));
    member->message = need(strdup(message ? message : ""));
}

static bool all_have_results(const GroupWatch *w)
{
    for (size_t i = 0; i < w->n_members; i++)
        if (!w->members[i].result)
            return false;
    return w->n_members > 0;
}

/* a(oss): the result of each disk. */
static void on_jobs_finished(GroupWatch *w, sd_bus_message *m)
{
    const char *path, *result, *message;

    int r = sd_bus_message_enter_container(m, 'a', "(oss)");
    if (r < 0)
        return;
    while ((r = sd_bus_message_read(m, "(oss)", &path, &result, &message)) > 0) {
        GroupMember *member = find_member(w, path);

        /* It may have come and gone before we looked. */
        if (!member)
            member = add_member(w, path);
        set_result(member, result, message);
    }
    w->finished = r == 0;
}

static void on_job_properties(GroupWatch *w, sd_bus_message *m)
{
    GroupMember *member = find_member(w, sd_bus_message_get_path(m));
    const char *interface;

    int r = sd_bus_message_read(m, "s", &interface);
    if (r < 0 || !member || strcmp(interface, INTERFACE_JOB) != 0)
        return;
    (void)record_read(m, job_fields, /* other= */ NULL, &member->job);
}

/* Of the VM and of its disks. */
static void on_signal(void *userdata, sd_bus_message *m)
{
    GroupWatch *w = userdata;
    bool of_vm = same(sd_bus_message_get_path(m), w->follow.target->vm->path);

    if (of_vm && sd_bus_message_is_signal(m, INTERFACE_VM, "JobsReady"))
        w->ready = w->two_phases = true;
    else if (of_vm && sd_bus_message_is_signal(m, INTERFACE_VM, "JobsFinished"))
        on_jobs_finished(w, m);
    else if (sd_bus_message_is_signal(m, INTERFACE_PROPERTIES, "PropertiesChanged"))
        on_job_properties(w, m);
}

GroupWatch *group_watch_free(GroupWatch *w)
{
    if (!w)
        return NULL;
    follow_done(&w->follow);
    for (size_t i = 0; i < w->n_members; i++) {
        free(w->members[i].path);
        free(w->members[i].name);
        free(w->members[i].result);
        free(w->members[i].message);
        record_done(job_fields, &w->members[i].job);
    }
    free(w->members);
    free(w);
    return NULL;
}

static void lose_all(void *userdata, const char *why)
{
    GroupWatch *w = userdata;

    for (size_t i = 0; i < w->n_members; i++)
        set_result(&w->members[i], "lost", why);
    w->finished = true;
}

/* What the disk says of its job, or of the end of it. */
static void look_at_disk(GroupWatch *w, const Vm *vm, Disk *d)
{
    GroupMember *member = find_member(w, d->path);

    if (!member && !w->looked && model_is_grouped(vm, d))
        member = add_member(w, d->path);
    if (!member)
        return;
    if (d->job.id && (!member->job.id || same(d->job.id, member->job.id))) {
        Job seen = d->job;

        d->job = member->job; /* for the model to free */
        member->job = seen;
        if (same(seen.top, d->node))
            w->two_phases = true;
    } else if (same(d->last_job.id, member->job.id)) {
        set_result(member, d->last_job.result ? d->last_job.result : "lost", d->last_job.message);
    }
}

static void look_at_vm(GroupWatch *w, const Vm *vm)
{
    follow_handle_presence(&w->follow);
    for (size_t i = 0; i < vm->n_disks; i++)
        look_at_disk(w, vm, &vm->disks[i]);
    w->ready = w->ready || same(vm->jobs_state, "ready");
    /* JobsFinished comes after the last disk's JobFinished; after a restart it may not come. */
    w->finished = w->finished || all_have_results(w);
}

static int look(void *userdata, const Model *m)
{
    GroupWatch *w = userdata;
    const Vm *vm = NULL;
    int r = 0;

    for (size_t i = 0; m && i < m->n_vms; i++)
        if (strcmp(m->vms[i].path, w->follow.target->vm->path) == 0)
            vm = &m->vms[i];
    if (vm && !w->finished)
        look_at_vm(w, vm);
    else if (!w->finished)
        r = follow_handle_absence(&w->follow, "The VM went away.");
    w->looked = true;
    return r;
}

/* The jobs as one: what is copied of what there is, and the state of the one that is least far. */
static void show(void *userdata)
{
    const GroupWatch *w = userdata;
    Job sum = {};

    if (w->n_members == 0)
        return;
    for (size_t i = 0; i < w->n_members; i++) {
        const GroupMember *member = &w->members[i];

        sum.offset += member->job.offset;
        sum.length += member->job.length;
        if (!member->result && (!sum.state || same(sum.state, "ready")))
            sum.state = member->job.state;
    }
    progress_show(w->follow.progress, &sum);
}

static const FollowHandler handler = {
    .signal = on_signal,
    .look = look,
    .lose = lose_all,
    .show = show,
};

int group_watch_new(Client *c, const Target *target, GroupWatch **ret, sd_bus_error *error)
{
    _cleanup_(group_watch_freep) GroupWatch *w = need(calloc(1, sizeof(*w)));

    w->two_phases = c->options.given & OPTION_ACTIVE;
    int r = follow_init(&w->follow, c, target, "the jobs", &handler, w, error);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(w);
    return 0;
}

int group_watch_follow(GroupWatch *w, sd_bus_error *error)
{
    return follow_begin(&w->follow, error);
}

int group_watch_wait(GroupWatch *w, WatchGoal goal, sd_bus_error *error)
{
    int r = 0;

    while (r >= 0 && !w->finished && !(goal == WATCH_READY && w->ready && !w->follow.stale))
        r = follow_step(&w->follow, error);
    if (r >= 0 && !w->finished)
        show(w);
    progress_hide(w->follow.progress);
    return r < 0 ? r : 0;
}

const Target *group_watch_target(const GroupWatch *w)
{
    return w->follow.target;
}

const GroupMember *group_watch_members(const GroupWatch *w, size_t *ret_n)
{
    *ret_n = w->n_members;
    return w->members;
}

bool group_watch_is_finished(const GroupWatch *w)
{
    return w->finished;
}

const char *group_watch_on_ready(const GroupWatch *w)
{
    for (size_t i = 0; i < w->n_members; i++)
        if (describe_on_ready(w->members[i].job.on_ready))
            return w->members[i].job.on_ready;
    return NULL;
}

bool group_watch_has_two_phases(const GroupWatch *w)
{
    return w->two_phases;
}
