/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-watch.h"

#include <string.h>
#include <time.h>

#include "describe.h"
#include "memory.h"
#include "names.h"
#include "owner.h"
#include "progress.h"

/* How long a restarted service and the VMs that dial in to it again may take to come back. */
#define RETURN_SECONDS 30

struct GroupWatch {
    Client *client;
    const Target *target;
    Owner *owner;
    Progress *progress;
    sd_bus_slot *on_vm, *on_objects;
    sd_event_source *patience; /* while the VM is away */
    GroupMember *members;
    size_t n_members;
    bool following;
    bool ready, finished;
    bool two_phases;
    bool stale;     /* signals can have been missed, or objects have come or gone */
    bool restarted; /* the service was, so that the VM may be away for a while */
    bool given_up;  /* it was away for too long */
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
    const Vm *vm = w->target->vm;
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
static int on_jobs_finished(GroupWatch *w, sd_bus_message *m)
{
    const char *path, *result, *message;

    int r = sd_bus_message_enter_container(m, 'a', "(oss)");
    if (r < 0)
        return 0;
    while ((r = sd_bus_message_read(m, "(oss)", &path, &result, &message)) > 0) {
        GroupMember *member = find_member(w, path);

        /* It may have come and gone before we looked. */
        if (!member)
            member = add_member(w, path);
        set_result(member, result, message);
    }
    w->finished = r == 0;
    return 0;
}

static int on_job_properties(GroupWatch *w, sd_bus_message *m)
{
    GroupMember *member = find_member(w, sd_bus_message_get_path(m));
    const char *interface;

    int r = sd_bus_message_read(m, "s", &interface);
    if (r < 0 || !member || strcmp(interface, INTERFACE_JOB) != 0)
        return 0;
    (void)record_read(m, job_fields, /* other= */ NULL, &member->job);
    return 0;
}

/* Signals of the VM and of its disks. */
static int on_vm(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    GroupWatch *w = userdata;
    bool of_vm = same(sd_bus_message_get_path(m), w->target->vm->path);

    if (!w->following || !owner_sent(w->owner, m))
        return 0;
    if (of_vm && sd_bus_message_is_signal(m, INTERFACE_VM, "JobsReady"))
        w->ready = w->two_phases = true;
    else if (of_vm && sd_bus_message_is_signal(m, INTERFACE_VM, "JobsFinished"))
        return on_jobs_finished(w, m);
    else if (sd_bus_message_is_signal(m, INTERFACE_PROPERTIES, "PropertiesChanged"))
        return on_job_properties(w, m);
    return 0;
}

/* The VM has come or gone: the published state says what it means. */
static int on_objects(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    GroupWatch *w = userdata;

    if (owner_sent(w->owner, m))
        w->stale = true;
    return 0;
}

static void on_owner(void *userdata)
{
    GroupWatch *w = userdata;

    w->stale = true;
    w->restarted = true;
    if (owner_is_present(w->owner) || w->client->options.quiet || !w->following)
        return;
    progress_hide(w->progress);
    fprintf(stderr, "%s: the service has left the bus. Waiting for it to come back.\n",
            w->target->label);
}

static int on_patience(sd_event_source *s, uint64_t usec, void *userdata)
{
    GroupWatch *w = userdata;

    w->given_up = true;
    return 0;
}

/* Replies to AddMatch are awaited: what comes after that is seen. */
static int add_matches(GroupWatch *w)
{
    const char *path = w->target->vm->path;
    _cleanup_(freep) char *vm =
        need_format("type='signal',sender='" SERVICE "',path_namespace='%s'", path);
    _cleanup_(freep) char *objects =
        need_format("type='signal',sender='" SERVICE "',path='" PATH_ROOT
                    "',interface='" INTERFACE_OBJECTS "',arg0path='%s'",
                    path);

    int r = sd_bus_add_match(w->client->bus, &w->on_vm, vm, on_vm, w);
    return r < 0 ? r : sd_bus_add_match(w->client->bus, &w->on_objects, objects, on_objects, w);
}

int group_watch_new(Client *c, const Target *target, GroupWatch **ret, sd_bus_error *error)
{
    _cleanup_(group_watch_freep) GroupWatch *w = need(calloc(1, sizeof(*w)));
    bool quiet = c->options.quiet || c->options.json != JSON_OFF;

    w->client = c;
    w->target = target;
    w->two_phases = c->options.given & OPTION_ACTIVE;
    w->progress = progress_new(target->label, quiet);

    int r = owner_new(c, on_owner, w, &w->owner, error);
    if (r < 0)
        return r;
    r = add_matches(w);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "%s: cannot follow the jobs: %s.", target->label,
                                       strerrordesc_np(-r));
    *ret = TAKE_PTR(w);
    return 0;
}

GroupWatch *group_watch_free(GroupWatch *w)
{
    if (!w)
        return NULL;
    sd_event_source_unref(w->patience);
    sd_bus_slot_unref(w->on_objects);
    sd_bus_slot_unref(w->on_vm);
    owner_free(w->owner);
    progress_free(w->progress);
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

static void lose_all(GroupWatch *w, const char *why)
{
    for (size_t i = 0; i < w->n_members; i++)
        set_result(&w->members[i], "lost", why);
    w->finished = true;
}

/* After a restart of the service what is away may come back. */
static int handle_absence(GroupWatch *w, const char *why)
{
    if (!w->restarted) {
        lose_all(w, why);
        return 0;
    }
    if (w->patience)
        return 0;
    return sd_event_add_time_relative(w->client->event, &w->patience, CLOCK_MONOTONIC,
                                      UINT64_C(1000000) * RETURN_SECONDS, /* accuracy= */ 0,
                                      on_patience, w);
}

/* What the disk says of its job, or of the end of it. */
static void look_at_disk(GroupWatch *w, const Vm *vm, Disk *d, bool first)
{
    GroupMember *member = find_member(w, d->path);

    if (!member && first && model_is_grouped(vm, d))
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

static int look_at_vm(GroupWatch *w, const Model *m, bool first)
{
    const Vm *vm = NULL;

    for (size_t i = 0; m && i < m->n_vms; i++)
        if (strcmp(m->vms[i].path, w->target->vm->path) == 0)
            vm = &m->vms[i];
    if (!vm)
        return handle_absence(w, "The VM went away.");

    w->patience = sd_event_source_unref(w->patience);
    w->restarted = false;
    for (size_t i = 0; i < vm->n_disks; i++)
        look_at_disk(w, vm, &vm->disks[i], first);
    w->ready = w->ready || same(vm->jobs_state, "ready");
    /* JobsFinished comes after the last disk's JobFinished; after a restart it may not come. */
    w->finished = w->finished || all_have_results(w);
    return 0;
}

static int synchronise(GroupWatch *w, bool first, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;

    w->stale = false;
    int r = model_read(w->client, &m, error);
    if (r < 0 && !client_error_is_absence(error))
        return r;
    if (r < 0)
        w->restarted = true;
    sd_bus_error_free(error);
    return w->finished ? 0 : look_at_vm(w, m, first);
}

/* The jobs as one: what is copied of what there is, and the state of the one that is least far. */
static void show(GroupWatch *w)
{
    Job sum = {};

    for (size_t i = 0; i < w->n_members; i++) {
        const GroupMember *member = &w->members[i];

        sum.offset += member->job.offset;
        sum.length += member->job.length;
        if (!member->result && (!sum.state || same(sum.state, "ready")))
            sum.state = member->job.state;
    }
    progress_show(w->progress, &sum);
}

static int step(GroupWatch *w, sd_bus_error *error)
{
    if (w->stale)
        return synchronise(w, /* first= */ false, error);
    if (w->given_up) {
        lose_all(w, "It is not known any more after the service was restarted.");
        return 0;
    }
    if (!w->patience && w->n_members > 0)
        show(w);
    return client_turn(w->client, error);
}

int group_watch_follow(GroupWatch *w, sd_bus_error *error)
{
    w->following = true;
    int r = synchronise(w, /* first= */ true, error);

    return r < 0 ? r : client_start_deadline(w->client);
}

int group_watch_wait(GroupWatch *w, WatchGoal goal, sd_bus_error *error)
{
    int r = 0;

    while (r >= 0 && !w->finished && !(goal == WATCH_READY && w->ready && !w->stale))
        r = step(w, error);
    if (r >= 0 && !w->finished && w->n_members > 0)
        show(w);
    progress_hide(w->progress);
    return r < 0 ? r : 0;
}

const Target *group_watch_target(const GroupWatch *w)
{
    return w->target;
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
