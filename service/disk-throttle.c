/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One command at a time, each after a look at what QEMU has now:
 *
 *     free ── wanted: look, record, set ──→ slowed ── not wanted: look, set back ──→ free, no
 * record │  ↑ └──┘ each step: look, set the next limit
 *
 * A guest that is slowed may be stopped for a blink besides, on record as well. Whatever fails is
 * tried again with the next step.
 */
#include "disk-throttle.h"

#include <errno.h>
#include <string.h>

#include "block-throttle.h"
#include "commit-internal.h"
#include "log.h"
#include "message-ids.h"
#include "slowdown.h"
#include "text.h"

/* An answer that is still to come, to a disk that may be gone by then. */
typedef struct ThrottleCall ThrottleCall;
struct ThrottleCall {
    DiskThrottle *throttle; /* NULL: it is gone */
    ThrottleCall **slot;    /* in it */
};

struct DiskThrottle {
    Disk *disk;
    bool wanted;
    bool given_up;      /* for this job */
    bool leaving;       /* the service is */
    bool slowed;        /* the record says so */
    bool stopped;       /* the guest is, or may be, and the record says so */
    unsigned stops;     /* that did not help this job */
    BlockThrottle own;  /* the user's limits, of a disk that is slowed */
    uint64_t limit;     /* bytes per second; 0: what QEMU has is still to be seen */
    uint64_t enough;    /* the limit with which the job became ready last, 0 for none */
    uint64_t remaining; /* of the job, when the limit was set */
    ThrottleCall *call;
    ThrottleCall *run; /* "stop" or "cont" */
    sd_event_source *timer;
};

/* How long a guest is stopped for once QEMU has stopped it, and how often for one job. */
#define STANDSTILL_USEC UINT64_C(1000000)
#define STANDSTILLS_MAX 3

static void look(DiskThrottle *t);

static LogContext context_of(const DiskThrottle *t, const char *message_id)
{
    return (LogContext){.message_id = message_id,
                        .vm = vm_name(disk_vm(t->disk)),
                        .disk = disk_name(t->disk),
                        .job = disk_job(t->disk) ? commit_id(disk_job(t->disk)) : NULL};
}

static bool wishes(const DiskThrottle *t)
{
    return t->wanted && !t->given_up && !t->leaving;
}

static void announce(DiskThrottle *t)
{
    Commit *job = disk_job(t->disk);

    if (job && !commit_is_foreign(job) && commit_is_started(job))
        commit_announce(job, COMMIT_CHANGE_SLOWED);
}

static int note(DiskThrottle *t, const char *text)
{
    const Vm *vm = disk_vm(t->disk);

    return ledger_note_throttle(vm_ledger(vm), vm_name(vm), disk_name(t->disk), text);
}

/* On record, before the user's limits: the guest is stopped. */
#define STOPPED "stopped "

static int note_own(DiskThrottle *t)
{
    _cleanup_(freep) char *limits = block_throttle_to_text(&t->own);
    _cleanup_(freep) char *text =
        limits ? text_format("%s%s", t->stopped ? STOPPED : "", limits) : NULL;

    return text ? note(t, text) : -ENOMEM;
}

static void set_timer(DiskThrottle *t, uint64_t usec)
{
    (void)sd_event_source_set_time_relative(t->timer, usec);
    (void)sd_event_source_set_enabled(t->timer, SD_EVENT_ONESHOT);
}

/* What the call was for; frees it. NULL: the disk is gone. */
static DiskThrottle *call_end(ThrottleCall *call)
{
    DiskThrottle *t = call->throttle;

    if (t)
        *call->slot = NULL;
    free(call);
    return t;
}

static ThrottleCall *call_new(DiskThrottle *t, ThrottleCall **slot)
{
    ThrottleCall *call = malloc(sizeof(ThrottleCall));

    if (call)
        *call = (ThrottleCall){t, slot};
    *slot = call;
    return call;
}

static void forget_call(ThrottleCall *call)
{
    if (call)
        call->throttle = NULL;
}

typedef int (*RunFunc)(Qmp *q, QmpReplyFunc callback, void *userdata);

/* Whether it was sent. */
static bool run(DiskThrottle *t, RunFunc send, QmpReplyFunc callback)
{
    Qmp *q = vm_qmp(disk_vm(t->disk));
    ThrottleCall *call = q ? call_new(t, &t->run) : NULL;

    if (call && send(q, callback, call) < 0)
        (void)call_end(call);
    return t->run;
}

static void on_continued(Qmp *q, const QmpReply *reply, void *userdata)
{
    DiskThrottle *t = call_end(userdata);
    if (!t || reply->error == -ENOTCONN)
        return;

    LogContext context = context_of(t, NULL);
    if (reply->error) {
        log_line(LOG_ERR, &context,
                 "VM '%s', disk '%s': QEMU does not let the guest go on (cont): %s. It is tried "
                 "again",
                 context.vm, context.disk, reply->error_text);
        set_timer(t, SLOWDOWN_STEP_USEC);
        return;
    }
    t->stopped = false;
    (void)note_own(t);
    if (!wishes(t))
        look(t);
}

/* What cannot be sent now is sent with the next step. */
static void continue_guest(DiskThrottle *t)
{
    if (t->stopped && !t->run)
        (void)run(t, block_continue_guest, on_continued);
}

static void on_stopped(Qmp *q, const QmpReply *reply, void *userdata)
{
    DiskThrottle *t = call_end(userdata);
    if (!t || reply->error == -ENOTCONN)
        return;

    /* The blink begins now: before, QEMU has waited for what was under way on all disks. */
    if (reply->error == 0 && wishes(t))
        set_timer(t, STANDSTILL_USEC);
    else
        continue_guest(t);
}

static void stop_guest(DiskThrottle *t)
{
    LogContext context = context_of(t, NULL);

    t->stopped = true;
    if (note_own(t) < 0 || !run(t, block_stop_guest, on_stopped)) {
        t->stopped = false;
        (void)note_own(t);
        return;
    }
    log_line(
        LOG_NOTICE, &context,
        "VM '%s', disk '%s': the guest is stopped for the instant that the end of the job needs",
        context.vm, context.disk);
}

static void give_up(DiskThrottle *t, const char *why)
{
    LogContext context = context_of(t, NULL);

    t->given_up = true;
    log_line(LOG_WARNING, &context,
             "VM '%s', disk '%s': the guest is not slowed down: %s. The commit waits on",
             context.vm, context.disk, why);
}

/* The disk is the user's again. A record that cannot be taken back is harmless: what it is about is
 * looked at before anything is set. */
static void release(DiskThrottle *t, const char *how)
{
    LogContext context = context_of(t, NULL);

    t->slowed = false;
    t->enough = t->limit;
    t->limit = 0;
    block_throttle_done(&t->own);
    (void)note(t, NULL);
    log_line(LOG_NOTICE, &context, "VM '%s', disk '%s': the guest is not slowed down any more%s",
             context.vm, context.disk, how);
    announce(t);
}

static uint64_t least(uint64_t limit, uint64_t a, uint64_t b)
{
    if (a > 0 && a < limit)
        limit = a;
    return b > 0 && b < limit ? b : limit;
}

/* QEMU takes a total or limits for reads and writes. A user's total holds for each of them then. */
static void split(BlockThrottle *t, BlockLimit total, BlockLimit reads)
{
    if (t->rate[total] == 0)
        return;

    t->rate[reads] = t->rate[total];
    t->burst[reads] = t->burst[total];
    t->burst_seconds[reads] = t->burst_seconds[total];
    t->rate[total] = t->burst[total] = t->burst_seconds[total] = 0;
}

/* The user's limits, and for writes no more than this. Borrows the group. */
static BlockThrottle slowed_limits(const BlockThrottle *own, uint64_t limit)
{
    static const BlockLimit writes[] = {BLOCK_LIMIT_BPS_WR, BLOCK_LIMIT_IOPS_WR};
    BlockThrottle t = *own;
    uint64_t bytes = least(limit, own->rate[BLOCK_LIMIT_BPS], own->rate[BLOCK_LIMIT_BPS_WR]);

    split(&t, BLOCK_LIMIT_BPS, BLOCK_LIMIT_BPS_RD);
    split(&t, BLOCK_LIMIT_IOPS, BLOCK_LIMIT_IOPS_RD);
    t.rate[BLOCK_LIMIT_BPS_WR] = bytes;
    t.rate[BLOCK_LIMIT_IOPS_WR] = least(slowdown_operations(bytes), own->rate[BLOCK_LIMIT_IOPS],
                                        own->rate[BLOCK_LIMIT_IOPS_WR]);
    for (size_t i = 0; i < ELEMENTSOF(writes); i++)
        t.burst[writes[i]] = t.burst_seconds[writes[i]] = 0;
    return t;
}

/* Whether these are limits that this module sets, at any step, in whichever process. */
static bool is_ours(const DiskThrottle *t, const BlockThrottle *now)
{
    uint64_t limit = now->rate[BLOCK_LIMIT_BPS_WR];
    BlockThrottle ours = slowed_limits(&t->own, limit);

    return limit > 0 && block_throttle_equal(&ours, now);
}

static void on_set(Qmp *q, const QmpReply *reply, void *userdata)
{
    DiskThrottle *t = call_end(userdata);

    if (t && reply->error)
        t->limit = 0;
    if (t && reply->error == -EREMOTEIO && wishes(t))
        give_up(t, reply->error_text);
    if (t && reply->error != -ENOTCONN && wishes(t) != t->slowed)
        look(t);
}

static void on_restored(Qmp *q, const QmpReply *reply, void *userdata)
{
    DiskThrottle *t = call_end(userdata);

    if (t && reply->error == 0)
        release(t, t->leaving ? ": the service is stopping" : "");
    if (t && reply->error == 0 && wishes(t))
        look(t);
}

/* Whether it was sent. */
static bool set(DiskThrottle *t, const BlockThrottle *limits, QmpReplyFunc callback)
{
    ThrottleCall *call = call_new(t, &t->call);
    if (!call)
        return false;

    int r =
        block_set_throttle(vm_qmp(disk_vm(t->disk)), disk_device(t->disk), limits, callback, call);
    if (r < 0)
        (void)call_end(call);
    return r >= 0;
}

static void set_limit(DiskThrottle *t, uint64_t limit)
{
    BlockThrottle limits = slowed_limits(&t->own, limit);
    const Commit *job = disk_job(t->disk);

    t->remaining = job ? commit_remaining(job) : 0;
    t->limit = set(t, &limits, on_set) ? limit : 0;
}

static void set_first_limit(DiskThrottle *t)
{
    const Commit *job = disk_job(t->disk);

    set_limit(t, t->enough > 0 ? t->enough : slowdown_first(job ? commit_rate(job) : 0));
}

static void begin(DiskThrottle *t, const BlockThrottleReading *reading)
{
    _cleanup_(freep) char *text = NULL;
    LogContext context = context_of(t, MESSAGE_GUEST_SLOWED);

    if (!reading->throttle || reading->shared) {
        give_up(t, reading->shared ? "other disks share its throttle group"
                                   : "QEMU does not show its device");
        return;
    }
    text = block_throttle_to_text(reading->throttle);
    if (!text || block_throttle_copy(reading->throttle, &t->own) < 0)
        return;
    int r = note(t, text);
    if (r < 0) {
        block_throttle_done(&t->own);
        give_up(t, "the record of it cannot be written");
        return;
    }

    t->slowed = true;
    log_line(
        LOG_NOTICE, &context,
        "VM '%s', disk '%s': the commit cannot keep up with the guest, whose writes are slowed "
        "down until it is ready",
        context.vm, context.disk);
    announce(t);
    set_first_limit(t);
}

/* Somebody waits for the end, little remains, and the guest is there to be stopped. */
static bool is_standstill_due(const DiskThrottle *t, const Commit *job)
{
    return commit_awaits_instant(job) && t->stops < STANDSTILLS_MAX &&
           vm_is_running(disk_vm(t->disk)) &&
           slowdown_is_close(commit_remaining(job), commit_rate(job));
}

/* A step is over. */
static void step(DiskThrottle *t, const BlockThrottle *now)
{
    const Commit *job = disk_job(t->disk);

    if (!job)
        return;
    /* An earlier process may have come to the record only, and our command not to QEMU. */
    if (t->limit == 0 && block_throttle_equal(now, &t->own)) {
        set_first_limit(t);
        return;
    }
    if (!is_ours(t, now)) {
        release(t, ": somebody else has set other limits, which stay");
        t->given_up = true;
        return;
    }
    if (t->limit == 0) {
        t->limit = now->rate[BLOCK_LIMIT_BPS_WR];
        t->remaining = commit_remaining(job);
        return;
    }

    if (is_standstill_due(t, job)) {
        stop_guest(t);
        return;
    }

    uint64_t limit = slowdown_next(t->limit, t->remaining, commit_remaining(job));
    t->remaining = commit_remaining(job);
    if (limit != t->limit)
        set_limit(t, limit);
}

static void end(DiskThrottle *t, const BlockThrottle *now)
{
    if (!now)
        release(t, ": its device is gone");
    else if (is_ours(t, now))
        (void)set(t, &t->own, on_restored);
    else if (block_throttle_equal(now, &t->own))
        release(t, "");
    else
        release(t, ": somebody else has set other limits, which stay");
}

static void on_look(const BlockThrottleReading *reading, void *userdata)
{
    DiskThrottle *t = call_end(userdata);
    if (!t || reading->error)
        return;

    if (!t->slowed && wishes(t))
        begin(t, reading);
    else if (t->slowed && !wishes(t))
        end(t, reading->throttle);
    else if (t->slowed && reading->throttle)
        step(t, reading->throttle);
}

static void look(DiskThrottle *t)
{
    Qmp *q = vm_qmp(disk_vm(t->disk));

    /* The VM is going. What is on record stays there, for the case that it comes back. */
    if (!q)
        return;
    if (t->slowed || wishes(t))
        set_timer(t, SLOWDOWN_STEP_USEC);
    else
        (void)sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
    if (!wishes(t))
        continue_guest(t);
    if (t->call || t->stopped || (!t->slowed && !wishes(t)))
        return;

    ThrottleCall *call = call_new(t, &t->call);
    if (call && block_read_throttle(q, disk_device(t->disk), on_look, call) < 0)
        (void)call_end(call);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    DiskThrottle *t = userdata;

    /* The blink was not enough, or an earlier process has left it so. */
    if (t->stopped && !t->run) {
        t->stops++;
        continue_guest(t);
    }
    look(t);
    return 0;
}

void disk_throttle_want(DiskThrottle *t, bool slow)
{
    if (t->wanted == slow)
        return;
    t->wanted = slow;
    look(t);
}

void disk_throttle_end_job(DiskThrottle *t)
{
    disk_throttle_want(t, false);
    t->given_up = false;
    t->enough = 0;
    t->stops = 0;
}

void disk_throttle_leave(DiskThrottle *t)
{
    if (t->leaving)
        return;
    t->leaving = true;
    look(t);
}

bool disk_throttle_is_slowed(const DiskThrottle *t)
{
    return t->slowed;
}

/* What an earlier process has left. Looked at when the loop runs: the job may want it so. */
static void recall(DiskThrottle *t)
{
    const Vm *vm = disk_vm(t->disk);
    const LedgerGroup *g = ledger_find(vm_ledger(vm), vm_name(vm), disk_name(t->disk));

    if (!g || !g->throttle)
        return;
    t->stopped = text_has_prefix(g->throttle, STOPPED);
    if (block_throttle_from_text(g->throttle + (t->stopped ? strlen(STOPPED) : 0), &t->own) < 0) {
        t->stopped = false;
        (void)note(t, NULL);
        return;
    }
    t->slowed = true;
    set_timer(t, 0);
}

int disk_throttle_new(Disk *d, DiskThrottle **ret)
{
    _cleanup_(disk_throttle_freep) DiskThrottle *t = calloc(1, sizeof(DiskThrottle));
    if (!t)
        return -ENOMEM;

    t->disk = d;
    int r = sd_event_add_time_relative(vm_event(disk_vm(d)), &t->timer, CLOCK_MONOTONIC,
                                       SLOWDOWN_STEP_USEC, /* accuracy= */ 0, on_timer, t);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(t->timer, "guest-slowdown");
    (void)sd_event_source_set_enabled(t->timer, SD_EVENT_OFF);
    recall(t);
    *ret = TAKE_PTR(t);
    return 0;
}

DiskThrottle *disk_throttle_free(DiskThrottle *t)
{
    if (!t)
        return NULL;

    if (t->stopped && vm_qmp(disk_vm(t->disk)))
        (void)block_continue_guest(vm_qmp(disk_vm(t->disk)), /* callback= */ NULL, NULL);
    forget_call(t->call);
    forget_call(t->run);
    sd_event_source_disable_unref(t->timer);
    block_throttle_done(&t->own);
    free(t);
    return NULL;
}

static const GraphDevice *device_of(const Graph *g, const char *qdev)
{
    for (size_t i = 0; i < g->n_devices; i++)
        if (*qdev && strcmp(g->devices[i].qdev, qdev) == 0)
            return &g->devices[i];
    return NULL;
}

bool disk_throttle_refuse(const Disk *d, Refusal *r)
{
    const Graph *g = vm_graph(disk_vm(d));
    const GraphDevice *device = device_of(g, disk_device(d));

    if (!device) {
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "'on-deadline' is 'slow-guest', but QEMU can throttle the devices of a "
                      "machine only, and the disk is on none. Choose 'keep-waiting' or 'cancel'.");
        return true;
    }
    for (size_t i = 0; i < g->n_devices; i++) {
        if (&g->devices[i] == device || !*device->group ||
            strcmp(g->devices[i].group, device->group) != 0)
            continue;
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "'on-deadline' is 'slow-guest', but the disk shares the throttle group '%s' "
                      "with others, which would be slowed down too. Choose 'keep-waiting' or "
                      "'cancel'.",
                      device->group);
        return true;
    }
    return false;
}
