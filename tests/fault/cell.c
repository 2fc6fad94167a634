/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cell.h"

#include <glib/gstdio.h>
#include <limits.h>
#include <signal.h>
#include <string.h>

#include "process.h"
#include "properties.h"
#include "wait.h"

#define TURN_USEC 1000
/* Of a caller, before it is taken for stuck. */
#define ATTEMPTS_MAX 6
/* While the daemon stands at the point, the guest goes on for so long, or so many writes: what
 * follows is to find it somewhere else. */
#define AHEAD_USEC (40 * 1000)
#define AHEAD_WRITES 12

static const char *const action_words[N_ACTIONS] = {
    [ACTION_DAEMON] = "stop",    [ACTION_QEMU] = "stop", [ACTION_BOTH] = "stop",
    [ACTION_ENOSPC] = "ENOSPC+", [ACTION_EIO] = "EIO",   [ACTION_EROFS] = "EROFS+",
};

static bool is_failure(Action a)
{
    return a == ACTION_ENOSPC || a == ACTION_EIO || a == ACTION_EROFS;
}

typedef struct Run {
    const Cell *cell;
    World *world;
    Caller *caller;
    bool struck;
    bool vm_gone;
    bool was_told;   /* before the strike: of a job */
    bool may_repeat; /* an end was told before the strike, and QEMU not that it was */
} Run;

static void let_guest_run_ahead(World *w)
{
    const gint64 end = g_get_monotonic_time() + AHEAD_USEC;
    const uint32_t aim = guest_acknowledged(w->guest, 0) + AHEAD_WRITES;

    while (guest_acknowledged(w->guest, 0) < aim && g_get_monotonic_time() < end)
        recorder_turn(w->recorder, TURN_USEC);
}

static bool knows_job(Qemu *vm, const char *id)
{
    json_object *jobs = qmp_client_command(qemu_monitor(vm), "query-jobs", NULL), *job_id;
    bool found = false;

    for (size_t i = 0; i < json_object_array_length(jobs); i++)
        found = found ||
                (json_object_object_get_ex(json_object_array_get_idx(jobs, i), "id", &job_id) &&
                 strcmp(json_object_get_string(job_id), id) == 0);
    json_object_put(jobs);
    return found;
}

/* The one place where nobody can know whether it was heard: between JobFinished on the bus and
 * job-dismiss. */
static bool is_told_and_not_dismissed(const Run *r)
{
    Recorder *recorder = r->world->recorder;
    int position = -1;

    while ((position = recorder_find(
                recorder, (unsigned)(position + 1),
                (Sought){.interface = DISK_INTERFACE, .member = "JobFinished"})) >= 0) {
        const char *job;

        recorder_read(recorder, (unsigned)position, "s", &job);
        if (knows_job(r->world->vm, job))
            return true;
    }
    return false;
}

/* The daemon stands at the point. */
static void strike(Run *r)
{
    World *w = r->world;
    const Action action = r->cell->action;

    r->struck = true;
    let_guest_run_ahead(w);
    r->was_told = caller_has_job(r->caller);
    r->may_repeat = is_told_and_not_dismissed(r);
    if (action == ACTION_QEMU || action == ACTION_BOTH) {
        qemu_kill(w->vm);
        r->vm_gone = true;
    }
    if (action == ACTION_QEMU) {
        daemon_signal(w->rig->daemon, SIGCONT);
        return;
    }
    daemon_kill(w->rig->daemon);
    recorder_wait_owner(w->recorder, false);
    world_restart_daemon(w);
    recorder_wait_owner(w->recorder, true);
    caller_doubt(r->caller);
}

/* Where writes of the record fail for ever, the flow may not come to its end: then there is room
 * again, which the daemon is to see by itself. */
static bool is_stuck(const Run *r)
{
    return is_failure(r->cell->action) && caller_attempts(r->caller) > ATTEMPTS_MAX;
}

static void make_room(Run *r)
{
    daemon_stop(r->world->rig->daemon);
    recorder_wait_owner(r->world->recorder, false);
    world_restart_daemon(r->world);
    recorder_wait_owner(r->world->recorder, true);
    caller_doubt(r->caller);
}

static void run_flow(Run *r)
{
    World *w = r->world;
    const gint64 deadline = wait_deadline();
    bool room = false;

    while (!r->vm_gone && !caller_turn(r->caller)) {
        recorder_turn(w->recorder, TURN_USEC);
        if (!r->struck && daemon_is_stopped(w->rig->daemon))
            strike(r);
        if (!room && is_stuck(r)) {
            room = true;
            g_print("# %u attempts: there is room again\n", caller_attempts(r->caller));
            qmp_client_do(qemu_monitor(w->vm), "stop", NULL);
            world_check_nothing_lost(w);
            qmp_client_do(qemu_monitor(w->vm), "cont", NULL);
            make_room(r);
        }
        if (g_get_monotonic_time() > deadline)
            g_error("Waited too long: the job comes to its result");
    }
}

typedef struct Ends {
    unsigned n, most; /* of the disk that has least; of the job that has most */
    bool as_wanted;   /* the last ones are */
    bool excess;      /* more jobs than one have ended on a disk */
} Ends;

/* JobFinished of one disk. */
static void count_ends(Run *r, unsigned disk, Ends *ends)
{
    g_autoptr(GHashTable) counts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Recorder *recorder = r->world->recorder;
    unsigned total = 0, most = 0;
    bool as_wanted = true;
    int position = -1;

    while ((position = recorder_find(recorder, (unsigned)(position + 1),
                                     (Sought){.path = r->world->disk[disk],
                                              .interface = DISK_INTERFACE,
                                              .member = "JobFinished"})) >= 0) {
        const char *job, *type, *result;
        unsigned n;

        recorder_read(recorder, (unsigned)position, "sss", &job, &type, &result);
        n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, job)) + 1;
        g_hash_table_replace(counts, g_strdup(job), GUINT_TO_POINTER(n));
        total++;
        most = MAX(most, n);
        as_wanted = strcmp(result, r->cell->flow->result) == 0;
        g_print("# JobFinished %s %s\n", job, result);
    }
    ends->n = MIN(ends->n, total);
    ends->most = MAX(ends->most, most);
    ends->as_wanted = ends->as_wanted && as_wanted;
    ends->excess = ends->excess || total > MAX(1, most);
}

/* A job that a failing record made fail is followed by another. A kill makes none fail; but of a
 * group, a start that is cut short before anybody was told of it is taken back. */
static bool may_start_again(const Run *r)
{
    return is_failure(r->cell->action) || (r->world->disks > 1 && !r->was_told);
}

/* JobsFinished of a group has no id: there are as many as groups that were started, or one is told
 * twice. */
static void count_group_ends(Run *r, Ends *ends)
{
    const unsigned n = recorder_count(
        r->world->recorder, 0,
        (Sought){.path = r->world->vm_path, .interface = VM_INTERFACE, .member = "JobsFinished"});

    g_print("# JobsFinished %u times\n", n);
    ends->n = MIN(ends->n, n);
    if (!may_start_again(r))
        ends->most = MAX(ends->most, n);
}

static Ends count_all_ends(Run *r)
{
    Ends ends = {.n = UINT_MAX, .as_wanted = true};

    for (unsigned i = 0; i < r->world->disks; i++)
        count_ends(r, i, &ends);
    if (r->world->disks > 1)
        count_group_ends(r, &ends);
    return ends;
}

static bool has_shown_job(const Run *r)
{
    for (unsigned i = 0; i < r->world->disks; i++)
        if (recorder_find(r->world->recorder, 0,
                          (Sought){.member = "InterfacesAdded",
                                   .object = r->world->disk[i],
                                   .part = JOB_INTERFACE}) >= 0)
            return true;
    return caller_has_job(r->caller);
}

/* QEMU is dead; the daemon has seen that, or was killed as well. */
static Outcome check_dead(Run *r)
{
    World *w = r->world;
    Ends ends;

    rig_wait_gone(w->rig, w->vm_path, VM_INTERFACE);
    recorder_settle(w->recorder);
    world_check_nothing_lost(w);
    ends = count_all_ends(r);
    world_check_boots(w);
    g_assert_cmpuint(ends.most, <=, 1);
    /* Where the daemon died with it, there is nobody left who could say anything. */
    if (r->cell->action == ACTION_QEMU && has_shown_job(r) && ends.n == 0)
        return OUTCOME_NEVER;
    return OUTCOME_OK;
}

static void check_on_record(World *w)
{
    for (unsigned i = 0; i < w->disks; i++) {
        g_autofree char *drive = g_strdup_printf("d%u", i);
        g_autofree char *boot = world_boot_image(w, i);
        g_autofree char *active = qemu_active_file(w->vm, drive);

        g_assert_cmpstr(boot, ==, active);
    }
}

/* What could not be written is not there; anything else may not be there either. */
static void check_last_jobs(Run *r)
{
    World *w = r->world;

    for (unsigned i = 0; i < w->disks; i++) {
        g_free(rig_wait_disk(w->rig, WORLD_VM, world_disk_name(i)));
        g_autofree char *last = property_last_job(w->recorder, w->disk[i], "result");

        if (last || !is_failure(r->cell->action))
            g_assert_cmpstr(last, ==, r->cell->flow->result);
    }
}

/* The job has come to its result; the guest lives. */
static Outcome check_living(Run *r)
{
    World *w = r->world;
    Ends ends;

    for (unsigned i = 0; i < w->disks; i++)
        guest_wait_more(w->guest, i, 5);
    recorder_settle(w->recorder);
    qmp_client_do(qemu_monitor(w->vm), "stop", NULL);
    check_on_record(w);
    world_check_nothing_lost(w);

    daemon_kill(w->rig->daemon);
    recorder_wait_owner(w->recorder, false);
    world_restart_daemon(w);
    recorder_wait_owner(w->recorder, true);
    check_last_jobs(r);
    recorder_settle(w->recorder);

    ends = count_all_ends(r);
    g_assert_true(ends.as_wanted);
    if (!may_start_again(r))
        g_assert_false(ends.excess);
    if (ends.most > 1 && !r->may_repeat)
        g_error("The end of a job was told twice, though nobody can have missed it");
    return ends.n == 0 ? OUTCOME_NEVER : ends.most > 1 ? OUTCOME_TWICE : OUTCOME_OK;
}

Outcome cell_run(const Cell *c)
{
    g_autofree char *fault = g_strdup_printf("%s:%s:%u:%s", c->point, c->after ? "after" : "before",
                                             c->nth, action_words[c->action]);
    g_autoptr(World) w = world_new(c->template, fault, /* log= */ NULL, c->redial);
    g_autoptr(Caller) caller = caller_new(w, c->flow);
    Run run = {.cell = c, .world = w, .caller = caller, .struck = is_failure(c->action)};

    g_print("# %s\n", fault);
    run_flow(&run);
    if (!run.struck && !daemon_is_stopped(w->rig->daemon)) {
        daemon_kill(w->rig->daemon); /* before it comes to the point yet */
        return OUTCOME_MISSED;
    }
    if (!run.struck)
        strike(&run); /* passed after the end */
    return run.vm_gone ? check_dead(&run) : check_living(&run);
}

char **cell_record(const Template *t, const Flow *flow)
{
    g_autofree char *log = g_build_filename(t->dir, "points", NULL);
    g_autofree char *text = NULL;
    g_autoptr(World) w = world_new(t, /* fault= */ NULL, log, /* redial= */ false);
    g_autoptr(Caller) caller = caller_new(w, flow);
    const Cell cell = {.flow = flow};
    Run run = {.cell = &cell, .world = w, .caller = caller, .struck = true};
    g_autoptr(GError) error = NULL;
    char **points;

    run_flow(&run);
    recorder_settle(w->recorder);
    g_file_get_contents(log, &text, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpint(check_living(&run), ==, OUTCOME_OK);
    g_unlink(log);
    points = g_strsplit(g_strchomp(text), "\n", -1);
    return points;
}
