/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#include "bus.h"
#include "log.h"
#include "vm.h"

/* How often the loop looks whether its status changed and whether it is idle. */
#define LOOP_TICK_USEC UINT64_C(1000000)
/* Calls answered on the way out; who calls the unique name without end does not keep us. */
#define LOOP_LAST_CALLS_MAX 1024

struct Loop {
    sd_event *event;
    sd_bus *bus;
    Manager *manager;
    bool leave_when_idle;
    bool stopping;
    uint64_t idle_since; /* CLOCK_MONOTONIC, 0 while there is something to do */
    unsigned vms, jobs;  /* as last told to systemd */
    sd_event_source *tick;
    sd_event_source *stop;
    sd_event_source *wait;
    sd_event_source *signals[2];
};

static void tell_status(Loop *l)
{
    unsigned vms = 0, jobs = 0;

    for (Vm *vm = manager_next_vm(l->manager, NULL); vm; vm = manager_next_vm(l->manager, vm)) {
        vms++;
        jobs += vm_count_jobs(vm);
    }
    if (vms == l->vms && jobs == l->jobs)
        return;
    l->vms = vms;
    l->jobs = jobs;
    (void)sd_notifyf(/* unset_environment= */ 0, "STATUS=%u VMs, %u jobs.", vms, jobs);
}

/* The name goes first: calls from then on start a new process, those that are here are answered. */
static int leave_idle(Loop *l)
{
    (void)sd_notify(/* unset_environment= */ 0, "STOPPING=1\nSTATUS=No VM; leaving.");
    (void)sd_bus_release_name(l->bus, BUS_NAME);
    for (unsigned i = 0; i < LOOP_LAST_CALLS_MAX && sd_bus_process(l->bus, NULL) > 0; i++)
        ;
    (void)sd_bus_flush(l->bus);
    return sd_event_exit(l->event, 0);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *userdata)
{
    Loop *l = userdata;
    uint64_t now;

    tell_status(l);
    (void)sd_event_source_set_time_relative(source, LOOP_TICK_USEC);
    (void)sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);

    (void)sd_event_now(l->event, CLOCK_MONOTONIC, &now);
    if (!manager_is_idle(l->manager))
        l->idle_since = 0;
    else if (l->idle_since == 0)
        l->idle_since = now;
    else if (l->leave_when_idle && now - l->idle_since >= LOOP_IDLE_USEC)
        return leave_idle(l);
    return 0;
}

static int on_stop_deadline(sd_event_source *source, uint64_t usec, void *userdata)
{
    Loop *l = userdata;

    log_line(
        LOG_WARNING, NULL,
        manager_is_holding(l->manager)
            ? "A handover has not ended in time; the next start goes on with it"
            : "A guest that is slowed down for its commit has not been let go in time: QEMU does "
              "not answer. It stays slow, or stopped, until the next start");
    return sd_event_exit(l->event, 0);
}

/* No guest stands still, and none is slower than its user wants it. */
static bool may_leave(Loop *l)
{
    return manager_restore_guests(l->manager) && !manager_is_holding(l->manager);
}

/* Runs after each turn of the loop while the stop waits. */
static int on_turn(sd_event_source *source, void *userdata)
{
    Loop *l = userdata;

    return may_leave(l) ? sd_event_exit(l->event, 0) : 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
    Loop *l = userdata;

    if (l->stopping)
        return 0;
    l->stopping = true;
    (void)sd_notify(/* unset_environment= */ 0, "STOPPING=1");
    if (may_leave(l))
        return sd_event_exit(l->event, 0);

    int r = sd_event_add_post(l->event, &l->wait, on_turn, l);
    if (r < 0)
        return sd_event_exit(l->event, 0);
    return sd_event_add_time_relative(l->event, &l->stop, CLOCK_MONOTONIC, LOOP_STOP_USEC,
                                      /* accuracy= */ 0, on_stop_deadline, l);
}

static int add_signals(Loop *l)
{
    static const int numbers[] = {SIGTERM, SIGINT};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < ELEMENTSOF(numbers); i++)
        sigaddset(&set, numbers[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;

    for (size_t i = 0; i < ELEMENTSOF(numbers); i++) {
        int r = sd_event_add_signal(l->event, &l->signals[i], numbers[i], on_signal, l);
        if (r < 0)
            return r;
        (void)sd_event_source_set_description(l->signals[i], "loop-signal");
    }
    return 0;
}

int loop_new(sd_event *event, sd_bus *bus, Manager *manager, bool leave_when_idle, Loop **ret)
{
    _cleanup_(loop_freep) Loop *l = calloc(1, sizeof(Loop));
    if (!l)
        return -ENOMEM;

    *l = (Loop){
        .event = sd_event_ref(event),
        .bus = sd_bus_ref(bus),
        .manager = manager,
        .leave_when_idle = leave_when_idle,
    };
    int r = add_signals(l);
    if (r < 0)
        return r;
    r = sd_event_add_time_relative(event, &l->tick, CLOCK_MONOTONIC, LOOP_TICK_USEC,
                                   /* accuracy= */ LOOP_TICK_USEC / 4, on_tick, l);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(l->tick, "loop-tick");
    r = sd_event_set_watchdog(event, true);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(l);
    return 0;
}

Loop *loop_free(Loop *l)
{
    if (!l)
        return NULL;

    sd_event_source_disable_unref(l->tick);
    sd_event_source_disable_unref(l->stop);
    sd_event_source_disable_unref(l->wait);
    for (size_t i = 0; i < ELEMENTSOF(l->signals); i++)
        sd_event_source_disable_unref(l->signals[i]);
    sd_bus_unref(l->bus);
    sd_event_unref(l->event);
    free(l);
    return NULL;
}

int loop_run(Loop *l)
{
    (void)sd_notify(/* unset_environment= */ 0, "READY=1\nSTATUS=No VM yet.");
    return sd_event_loop(l->event);
}
