/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "block.h"
#include "commit.h"
#include "disk.h"
#include "group.h"
#include "log.h"
#include "text.h"
#include "vm-disks.h"

struct Vm {
    sd_event *event;
    Qmp *qmp;
    VmOrigin origin;
    Ledger *ledger;
    const VmOwner *owner;
    void *owner_userdata;
    const DomainObserver *observer;
    void *observer_userdata;

    Peer peer;
    char *name; /* NULL before it is published */
    char *qemu_name;
    char *state; /* QEMU's run state */
    char version[32];
    bool overdue;
    bool ready;
    bool published;

    Reading *all;     /* the whole graph, from which the disks are made */
    Reading *bitmaps; /* what counts at the barrier */
    VmDisks *disks;
    Group *group; /* frees itself, with its last job */
    size_t held;  /* bytes of names in the chains */

    bool reading_jobs;
    bool jobs_dirty; /* something happened since */
    bool reading_state;
    bool state_dirty;

    bool has_digest;
    uint64_t digest;
    sd_event_source *poll;
    sd_event_source *progress;
};

static void become_ready(Vm *vm)
{
    if (vm->ready || !vm_graph(vm) || !vm->state)
        return;

    vm->ready = true;
    vm->owner->ready(vm, vm->owner_userdata);
}

/* An answer that no QEMU gives, or a first reading that QEMU refuses: nothing can be done here. */
static bool is_hopeless(const Vm *vm, int error)
{
    return error == -EBADMSG || error == -E2BIG || (error == -EREMOTEIO && !vm->ready);
}

static int take_graph(Vm *vm, int error, const char *text)
{
    if (!error)
        return vm_disks_update(vm->disks, vm_graph(vm));
    if (error != -ENOTCONN)
        log_line(LOG_WARNING, &(LogContext){.vm = vm->name},
                 "VM '%s': the block graph cannot be read: %s", vm->name ? vm->name : "(new)",
                 text);
    return error;
}

static void on_graph_taken(Vm *vm, int error)
{
    if (is_hopeless(vm, error))
        vm->owner->closed(vm, error == -E2BIG ? error : -EPROTO, vm->owner_userdata);
    else
        become_ready(vm);
}

static const ReadingOwner graph_owner = {.take = take_graph, .over = on_graph_taken};

int vm_refresh(Vm *vm, ReadingFunc callback, void *userdata)
{
    return reading_wish(vm->all, callback, userdata);
}

static void on_nobody_waits(Vm *vm, int error, const char *text, void *userdata)
{
}

void vm_refresh_unasked(Vm *vm)
{
    if (!reading_is_wanted(vm->all))
        (void)vm_refresh(vm, on_nobody_waits, /* userdata= */ NULL);
}

int vm_read_bitmaps(Vm *vm, ReadingFunc callback, void *userdata)
{
    return reading_wish(vm->bitmaps, callback, userdata);
}

const Graph *vm_bitmaps(const Vm *vm)
{
    return reading_graph(vm->bitmaps);
}

static void on_jobs(const BlockReading *reading, void *userdata)
{
    Vm *vm = userdata;
    _cleanup_(graph_freep) Graph *jobs = reading->graph;

    vm->reading_jobs = false;
    if (jobs)
        vm_disks_handle_jobs(vm->disks, jobs);
    if (vm->jobs_dirty && reading->error != -ENOTCONN)
        vm_refresh_jobs(vm);
}

static void look_at_jobs(Vm *vm)
{
    vm->jobs_dirty = false;
    vm->reading_jobs = block_read_jobs(vm->qmp, on_jobs, vm) >= 0;
    (void)sd_event_source_set_time_relative(vm->progress, VM_PROGRESS_USEC);
    (void)sd_event_source_set_enabled(vm->progress,
                                      vm_count_jobs(vm) > 0 ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
}

void vm_refresh_jobs(Vm *vm)
{
    /* Jobs are driven only where they can be recorded and announced: not on a spare monitor. */
    if (!vm->published)
        return;
    if (vm->reading_jobs)
        vm->jobs_dirty = true;
    else
        look_at_jobs(vm);
}

static int on_progress_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    vm_refresh_jobs(userdata);
    return 0;
}

static void set_state(Vm *vm, const char *state)
{
    if (text_equal(vm->state, state))
        return;

    char *copy = strdup(state);
    if (!copy)
        return;
    free(vm->state);
    vm->state = copy;
    if (vm->published)
        vm->observer->vm_changed(vm, vm->observer_userdata);
}

static void refresh_state(Vm *vm);

static void on_state(const BlockIdentity *identity, void *userdata)
{
    Vm *vm = userdata;

    vm->reading_state = false;
    if (identity->error == 0)
        set_state(vm, identity->state);
    if (vm->state_dirty && identity->error != -ENOTCONN)
        refresh_state(vm);
}

/* A guest that resets without pause must not fill the queue of commands. */
static void refresh_state(Vm *vm)
{
    vm->state_dirty = vm->reading_state;
    if (!vm->reading_state)
        vm->reading_state = block_read_state(vm->qmp, on_state, vm) >= 0;
}

static void on_identity(const BlockIdentity *identity, void *userdata)
{
    Vm *vm = userdata;

    if (identity->error == -ENOTCONN)
        return;
    free(vm->qemu_name);
    vm->qemu_name = strdup(identity->name);
    set_state(vm, identity->state);
    become_ready(vm);
}

static void on_digest(int error, uint64_t digest, void *userdata)
{
    Vm *vm = userdata;

    if (error)
        return;
    if (!vm->has_digest || vm->digest != digest)
        vm_refresh_unasked(vm);
    vm->has_digest = true;
    vm->digest = digest;
}

static int on_poll_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    Vm *vm = userdata;

    /* A monitor that owes us answers is not asked for more. */
    if (!vm->overdue && qmp_pending(vm->qmp) == 0)
        (void)block_digest(vm->qmp, on_digest, vm);
    (void)sd_event_source_set_time_relative(source, VM_POLL_USEC);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
    return 0;
}

static void on_greeted(Qmp *q, const QmpGreeting *greeting, void *userdata)
{
    Vm *vm = userdata;

    (void)snprintf(vm->version, sizeof(vm->version), "%u.%u.%u", greeting->major, greeting->minor,
                   greeting->micro);
    (void)block_identify(vm->qmp, on_identity, vm);
    vm_refresh_unasked(vm);
    (void)sd_event_source_set_enabled(vm->poll, SD_EVENT_ONESHOT);
}

static void refresh_after_job_event(Vm *vm)
{
    /* Without a job of ours it is somebody else's, or one of an earlier process of ours. */
    if (vm_count_jobs(vm) > 0)
        vm_refresh_jobs(vm);
    else
        vm_refresh_unasked(vm);
}

static void on_event(Qmp *q, const char *name, json_object *data, void *userdata)
{
    Vm *vm = userdata;

    switch (block_event(name)) {
    case BLOCK_EVENT_JOB_STATUS:
        if (!vm->published || !vm_disks_handle_status(vm->disks, data))
            refresh_after_job_event(vm);
        return;
    case BLOCK_EVENT_JOB_ERROR:
        vm_disks_handle_io_error(vm->disks, data);
        refresh_after_job_event(vm);
        return;
    case BLOCK_EVENT_GRAPH:
        vm_refresh_unasked(vm);
        return;
    case BLOCK_EVENT_STATE:
        refresh_state(vm);
        return;
    case BLOCK_EVENT_OTHER:
        return;
    }
}

static void on_overdue(Qmp *q, bool overdue, void *userdata)
{
    Vm *vm = userdata;

    vm->overdue = overdue;
    if (!vm->published)
        return;
    if (overdue)
        log_line(LOG_WARNING, &(LogContext){.vm = vm->name},
                 "VM '%s': QEMU does not answer; its jobs and disks are as they were", vm->name);
    vm->observer->vm_changed(vm, vm->observer_userdata);
}

static void on_closed(Qmp *q, int error, void *userdata)
{
    Vm *vm = userdata;

    vm->owner->closed(vm, error, vm->owner_userdata);
}

static const QmpObserver qmp_observer = {
    .greeted = on_greeted,
    .event = on_event,
    .overdue = on_overdue,
    .closed = on_closed,
};

static int add_timer(Vm *vm, const char *description, sd_event_time_handler_t handler,
                     sd_event_source **ret)
{
    sd_event_source *source = NULL;
    int r = sd_event_add_time_relative(vm->event, &source, CLOCK_MONOTONIC, VM_POLL_USEC,
                                       /* accuracy= */ QMP_USEC_PER_SEC / 10, handler, vm);
    if (r < 0)
        return r;

    (void)sd_event_source_set_description(source, description);
    (void)sd_event_source_set_enabled(source, SD_EVENT_OFF);
    *ret = source;
    return 0;
}

int vm_new(sd_event *event, int fd, VmOrigin origin, QmpStart start, Ledger *ledger,
           const VmOwner *owner, void *owner_userdata, const DomainObserver *observer,
           void *observer_userdata, Vm **ret)
{
    _cleanup_(closep) int socket = fd;
    _cleanup_(vm_freep) Vm *vm = calloc(1, sizeof(Vm));
    if (!vm)
        return -ENOMEM;

    *vm = (Vm){
        .event = sd_event_ref(event),
        .origin = origin,
        .ledger = ledger,
        .owner = owner,
        .owner_userdata = owner_userdata,
        .observer = observer,
        .observer_userdata = observer_userdata,
    };
    int r = peer_init(&vm->peer, socket);
    if (r < 0)
        return r;
    r = vm_disks_new(vm, &vm->disks);
    if (r < 0)
        return r;
    r = reading_new(vm, block_read, &graph_owner, &vm->all);
    if (r < 0)
        return r;
    r = reading_new(vm, block_read_bitmaps, /* owner= */ NULL, &vm->bitmaps);
    if (r < 0)
        return r;
    r = add_timer(vm, "vm-poll", on_poll_timer, &vm->poll);
    if (r < 0)
        return r;
    r = add_timer(vm, "vm-progress", on_progress_timer, &vm->progress);
    if (r < 0)
        return r;
    r = qmp_new(event, TAKE_FD(socket), start, &qmp_observer, vm, &vm->qmp);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(vm);
    return 0;
}

Vm *vm_free(Vm *vm)
{
    if (!vm)
        return NULL;

    /* First the open calls, whose callbacks know the VM and its disks; then what hangs on them. */
    vm->qmp = qmp_free(vm->qmp);
    if (vm->all)
        reading_give_up(vm->all);
    if (vm->bitmaps)
        reading_give_up(vm->bitmaps);
    vm->disks = vm_disks_free(vm->disks);
    if (vm->published)
        vm->observer->vm_removed(vm, vm->observer_userdata);

    sd_event_source_disable_unref(vm->poll);
    sd_event_source_disable_unref(vm->progress);
    reading_free(vm->all);
    reading_free(vm->bitmaps);
    peer_done(&vm->peer);
    free(vm->name);
    free(vm->qemu_name);
    free(vm->state);
    sd_event_unref(vm->event);
    free(vm);
    return NULL;
}

void vm_set_name(Vm *vm, char *name)
{
    vm->name = name;
}

bool vm_is_published(const Vm *vm)
{
    return vm->published;
}

void vm_withdraw(Vm *vm)
{
    vm->published = false;
}

void vm_publish(Vm *vm)
{
    vm->published = true;
    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
        disk_record(d);
    vm->observer->vm_added(vm, vm->observer_userdata);
    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
        vm->observer->disk_added(d, vm->observer_userdata);
    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d)) {
        disk_recall_throttle(d);
        if (disk_job(d))
            commit_recall(disk_job(d));
    }
    group_resume(vm);
    if (vm_count_jobs(vm) > 0)
        vm_refresh_jobs(vm);
}

const char *vm_name(const Vm *vm)
{
    return vm->name;
}

const char *vm_qemu_name(const Vm *vm)
{
    return vm->qemu_name ? vm->qemu_name : "";
}

const char *vm_state(const Vm *vm)
{
    if (vm->overdue)
        return "unresponsive";
    return vm->state ? vm->state : "connecting";
}

bool vm_is_running(const Vm *vm)
{
    return !vm->reading_state && strcmp(vm_state(vm), "running") == 0;
}

const char *vm_version(const Vm *vm)
{
    return vm->version;
}

const Peer *vm_peer(const Vm *vm)
{
    return &vm->peer;
}

VmOrigin vm_origin(const Vm *vm)
{
    return vm->origin;
}

Qmp *vm_qmp(const Vm *vm)
{
    return vm->qmp;
}

Ledger *vm_ledger(const Vm *vm)
{
    return vm->ledger;
}

const Graph *vm_graph(const Vm *vm)
{
    return reading_graph(vm->all);
}

sd_event *vm_event(const Vm *vm)
{
    return vm->event;
}

Group *vm_group(const Vm *vm)
{
    return vm->group;
}

void vm_set_group(Vm *vm, Group *group)
{
    vm->group = group;
}

const DomainObserver *vm_observer(const Vm *vm, void **ret_userdata)
{
    *ret_userdata = vm->observer_userdata;
    return vm->observer;
}

bool vm_may_hold(Vm *vm, size_t bytes)
{
    if (bytes > VM_NAMES_MAX || !vm->owner->may_hold(bytes, vm->owner_userdata))
        return false;

    vm->held = bytes;
    return true;
}

size_t vm_held(const Vm *vm)
{
    return vm->held;
}

bool vm_may_add_disk(const Vm *vm)
{
    return vm_count_disks(vm) < VM_DISKS_MAX && vm->owner->may_add_disk(vm->owner_userdata);
}

char *vm_find_image_user(const Vm *vm, const Disk *except, const char *node)
{
    const GraphVertex *v = graph_find(vm_graph(vm), GRAPH_NODE, node);

    return v && v->file ? vm->owner->find_image_user(except, v->file, vm->owner_userdata) : NULL;
}

Disk *vm_next_disk(const Vm *vm, const Disk *previous)
{
    return vm_disks_next(vm->disks, previous);
}

Disk *vm_find_disk(const Vm *vm, const char *name)
{
    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
        if (strcmp(disk_name(d), name) == 0)
            return d;
    return NULL;
}

unsigned vm_count_disks(const Vm *vm)
{
    unsigned n = 0;

    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
        n++;
    return n;
}

unsigned vm_count_jobs(const Vm *vm)
{
    unsigned n = 0;

    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
        n += disk_job(d) != NULL;
    return n;
}

bool vm_is_holding(const Vm *vm)
{
    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
        if (disk_job(d) && commit_is_holding(disk_job(d)))
            return true;
    return false;
}

void vm_check_detach(const Vm *vm, Refusal *ret_refusal)
{
    if (vm->origin == VM_DIALLED_IN) {
        refusal_set(ret_refusal, REFUSAL_NOT_SUPPORTED,
                    "VM '%s' dials in by itself (its -chardev has reconnect) and would dial again. "
                    "To end that, remove the monitor from QEMU's command line.",
                    vm->name);
        return;
    }
    for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d)) {
        if (!disk_job(d) || commit_is_foreign(disk_job(d)))
            continue;
        refusal_set(ret_refusal, REFUSAL_JOB_EXISTS,
                    "VM '%s', disk '%s': a job runs, and nobody else would see its end. End it "
                    "with Pivot or Abort, then detach.",
                    vm->name, disk_name(d));
        return;
    }
}
