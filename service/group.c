/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group-internal.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "log.h"
#include "text.h"

uint64_t group_make_serial(uint64_t usec, size_t n)
{
    static_assert(VM_JOBS_MAX < 256, "the number of jobs fits into a byte");

    return usec << 8 | n;
}

size_t group_serial_count(uint64_t serial)
{
    return serial & 0xff;
}

static int on_patience_over(sd_event_source *source, uint64_t usec, void *userdata)
{
    Group *g = userdata;

    group_doom(g, "it took too long until all disks were held");
    vm_refresh_jobs(g->vm); /* what waits for answers does not any more */
    return 0;
}

int group_new(Vm *vm, uint64_t serial, bool active, JobOnReady on_ready, Group **ret)
{
    Group *g = calloc(1, sizeof(Group));
    if (!g)
        return -ENOMEM;

    *g = (Group){.vm = vm,
                 .serial = serial,
                 .active = active,
                 .on_ready = on_ready,
                 .phase = GROUP_STARTING};
    int r = sd_event_add_time(vm_event(vm), &g->patience, CLOCK_MONOTONIC, UINT64_MAX,
                              /* accuracy= */ 0, on_patience_over, g);
    if (r < 0) {
        free(g);
        return r;
    }
    (void)sd_event_source_set_description(g->patience, "group-barrier");
    (void)sd_event_source_set_enabled(g->patience, SD_EVENT_OFF);
    vm_set_group(vm, g);
    *ret = g;
    return 0;
}

static void group_free(Group *g)
{
    vm_set_group(g->vm, NULL);
    for (size_t i = 0; i < g->n_ends; i++) {
        free(g->ends[i].disk);
        free(g->ends[i].message);
    }
    sd_event_source_disable_unref(g->patience);
    refusal_done(&g->refusal);
    free(g->why);
    free(g);
}

void group_end_if_over(Group *g)
{
    if (g->n > 0 || g->open > 0)
        return;

    group_answer(g);
    group_free(g);
}

void group_add(Group *g, Commit *c)
{
    assert(g->n < VM_JOBS_MAX);
    c->group = g;
    g->members[g->n++] = c;
}

void group_answer(Group *g)
{
    DoneFunc done = TAKE_PTR(g->done);

    if (done)
        done(&g->refusal, g->userdata);
    refusal_done(&g->refusal);
}

JobState group_state(const Vm *vm)
{
    const Group *g = vm_group(vm);
    JobMachine as_one = {.phase = JOB_STARTING};

    if (g && g->phase == GROUP_RUNNING)
        as_one.phase = g->ready ? JOB_READY : JOB_RUNNING;
    else if (g && g->phase == GROUP_ENDING)
        as_one = (JobMachine){.phase = JOB_ENDING, .intent = g->intent};
    return job_state(&as_one);
}

static bool is_shown(const Group *g)
{
    return g->phase == GROUP_RUNNING || g->phase == GROUP_ENDING;
}

const char *group_disk(const Vm *vm, size_t n)
{
    const Group *g = vm_group(vm);

    if (!g || !is_shown(g) || n >= g->n_ends + g->n)
        return NULL;
    return n < g->n_ends ? g->ends[n].disk : disk_name(g->members[n - g->n_ends]->disk);
}

const GroupEnd *group_end(const Vm *vm, size_t n)
{
    const Group *g = vm_group(vm);

    return g && n < g->n_ends ? &g->ends[n] : NULL;
}

void group_announce_state(Group *g)
{
    void *userdata;
    const DomainObserver *o = vm_observer(g->vm, &userdata);

    g->announced = group_state(g->vm);
    o->jobs_changed(g->vm, userdata);
}

void group_set_phase(Group *g, GroupPhase phase, JobIntent intent)
{
    g->phase = phase;
    g->intent = intent;
    if (group_state(g->vm) != g->announced)
        group_announce_state(g);
}

static bool all_in(const Group *g, JobPhase phase)
{
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i]->machine.phase != phase)
            return false;
    return true;
}

void group_act_on_ready(Group *g)
{
    g->choice_usec = commit_monotonic_usec();
    if (g->on_ready == JOB_ON_READY_PIVOT)
        group_pivot(g->vm, commit_ignore_done, /* userdata= */ NULL);
    if (g->on_ready == JOB_ON_READY_KEEP)
        group_abort(g->vm, commit_ignore_done, /* userdata= */ NULL);
}

void group_member_ready(Commit *c)
{
    Group *g = c->group;
    void *userdata;
    const DomainObserver *o = vm_observer(disk_vm(c->disk), &userdata);

    if (!g)
        return;
    if (g->phase == GROUP_ENDING) {
        group_conclude_ready(g);
        return;
    }
    if (g->adopted || g->phase != GROUP_RUNNING || !all_in(g, JOB_READY))
        return;
    if (g->ready) {
        if (!g->done && commit_is_choice_due(g->choice_usec))
            group_act_on_ready(g);
        return;
    }

    g->ready = true;
    group_announce_state(g);
    o->jobs_ready(g->vm, userdata);
    group_act_on_ready(g);
}

void group_note_aborts(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        (void)ledger_note_abort(vm_ledger(g->vm), vm_name(g->vm), disk_name(g->members[i]->disk),
                                g->members[i]->id);
}

void group_doom(Group *g, const char *why)
{
    if (g->doomed || g->past || g->phase <= GROUP_WITHDRAWING)
        return;

    if (why)
        log_line(
            LOG_WARNING, &(LogContext){.vm = vm_name(g->vm)},
            "VM '%s': its disks are not committed together: %s. The guest stays on the overlays",
            vm_name(g->vm), why);
    g->why = why ? strdup(why) : NULL;
    g->doomed = true;
    if (g->active)
        group_note_aborts(g);
    group_set_phase(g, GROUP_ENDING, JOB_INTENT_ABORT);
    group_conclude_ready(g);
    for (size_t i = 0; i < g->n; i++)
        if (g->members[i]->machine.phase == JOB_HELD)
            group_member_held(g->members[i]);
}

bool group_is_decided(const Commit *c)
{
    return c->group->past || c->group->doomed || c->group->intent == JOB_INTENT_ABORT;
}

/* At the barrier, with its bitmaps carried where the images leave the chain. */
static bool is_held(const Commit *c)
{
    return c->machine.phase == JOB_HELD && (c->carried || group_is_decided(c));
}

static bool all_held(const Group *g)
{
    for (size_t i = 0; i < g->n; i++)
        if (!is_held(g->members[i]))
            return false;
    return true;
}

static void release(Group *g, JobEvent event)
{
    for (size_t i = 0; i < g->n; i++)
        if (is_held(g->members[i]))
            commit_handle(g->members[i], event);
}

int group_describe_pivots(const Group *g, LedgerPivot ret[static VM_JOBS_MAX])
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < g->n; i++)
        r = commit_describe_pivot(g->members[i], &ret[i]);
    return r;
}

/* All are held, and what must be on record is: from here on there is no way back. */
static void pass_barrier(Group *g)
{
    LedgerPivot pivots[VM_JOBS_MAX];

    if (group_describe_pivots(g, pivots) < 0) {
        group_doom(g, "a base is not in QEMU's graph any more");
        return;
    }

    int r = ledger_note_pivots(vm_ledger(g->vm), vm_name(g->vm), pivots, g->n);
    if (r < 0) {
        _cleanup_(freep) char *why =
            text_format("the image record cannot be written (%s)", strerror(-r));
        group_doom(g, why ? why : "the image record cannot be written");
        return;
    }
    g->past = true;
    release(g, JOB_EVENT_BARRIER_DONE);
}

/* A client of an export is not held, and could write meanwhile. */
static void on_exports(const BlockReading *reading, void *userdata)
{
    _cleanup_(graph_freep) Graph *exports = reading->graph;
    Commit *c = commit_ref_free(userdata);
    Group *g = c ? c->group : NULL;

    if (!g || reading->error == -ENOTCONN)
        return;
    g->asked = false;
    /* What found no room among the commands is asked again with the next look at the jobs. */
    if (!all_held(g) || g->doomed || reading->error == -EBUSY)
        return;
    if (!exports) {
        group_doom(g, reading->text);
        return;
    }
    for (size_t i = 0; i < g->n; i++)
        if (disk_has_export(g->members[i]->disk, exports)) {
            group_doom(g, "a disk is exported, whose clients cannot be held");
            return;
        }
    pass_barrier(g);
}

static void look_for_exports(Group *g)
{
    CommitRef *ref = g->asked ? NULL : commit_ref_new(g->members[0]);
    if (!ref)
        return;

    g->asked = block_read_exports(vm_qmp(g->vm), on_exports, ref) >= 0;
    if (!g->asked)
        commit_ref_free(ref);
}

/* The bases of commits below the active layer are held for each other, too, but no guest waits for
 * them, and nothing can be lost by going on alone. */
static bool waits_for_others(const Group *g)
{
    return !all_held(g) && (g->active || g->n_ends == 0);
}

bool group_is_asking(const Group *g)
{
    return g->open > 0 && !g->doomed;
}

bool group_is_patient(const Group *g)
{
    int enabled = SD_EVENT_OFF;

    (void)sd_event_source_get_enabled(g->patience, &enabled);
    return enabled != SD_EVENT_OFF;
}

void group_be_patient(Group *g)
{
    if (!g->active || group_is_patient(g))
        return;
    (void)sd_event_source_set_time(g->patience, commit_monotonic_usec() + GROUP_BARRIER_USEC);
    (void)sd_event_source_set_enabled(g->patience, SD_EVENT_ONESHOT);
}

/* All copies are whole. They go back by force: whoever else has told one of the jobs to complete,
 * it would pivot if it were finalized. Best effort: a restart claims the lesser without. */
static void keep_all(Group *g)
{
    const Commit *c = g->members[0];

    (void)ledger_note_held(vm_ledger(g->vm), vm_name(g->vm), disk_name(c->disk), c->id);
    release(g, JOB_EVENT_BARRIER_REFUSED);
}

void group_member_held(Commit *c)
{
    Group *g = c->group;

    if (g->phase == GROUP_RUNNING && !c->ending && g->active && !g->past) {
        /* Whether somebody else has told it to pivot or to keep, nobody can know. Comes back here.
         */
        group_doom(g, "the job of a disk was ended by somebody else, or with its device");
        return;
    }
    if (g->phase == GROUP_RUNNING && !g->active)
        group_set_phase(g, GROUP_ENDING, JOB_INTENT_NONE);

    if (g->past)
        commit_handle(c, JOB_EVENT_BARRIER_DONE);
    else if (g->doomed)
        commit_handle(c, JOB_EVENT_BARRIER_REFUSED); /* ends it with the copy kept, whatever for */
    else if (waits_for_others(g))
        group_be_patient(g);
    else if (!g->active)
        release(g, JOB_EVENT_BARRIER_DONE);
    else if (g->intent == JOB_INTENT_ABORT)
        keep_all(g);
    else
        look_for_exports(g);
}

void group_note_end(Group *g, const char *disk, JobResult result, const char *message)
{
    GroupEnd *end = &g->ends[g->n_ends];

    *end = (GroupEnd){strdup(disk), result, strdup(message)};
    if (end->disk && end->message) {
        g->n_ends++;
    } else {
        free(end->disk);
        free(end->message);
    }
}

/* Whether the others cannot come to the end that is intended any more. */
static bool is_failure(const Group *g, JobResult result)
{
    if (g->phase == GROUP_RUNNING)
        return true; /* nobody has asked for an end */
    if (g->intent == JOB_INTENT_ABORT)
        return false;
    return result != JOB_RESULT_COMPLETED;
}

static const char *own_message(const Group *g, JobResult result, const char *message)
{
    return !*message && result == JOB_RESULT_KEPT && g->why ? g->why : message;
}

void group_member_ended(Commit *c, JobResult result, const char *message)
{
    Group *g = c->group;
    void *userdata;
    const DomainObserver *o = vm_observer(disk_vm(c->disk), &userdata);
    if (!g)
        return;

    group_note_end(g, disk_name(c->disk), result, own_message(g, result, message));
    if (g->n == 1) {
        group_set_phase(g, GROUP_OVER, g->intent);
        o->jobs_finished(g->vm, userdata);
        return;
    }
    /* With the VM, all go. */
    if (g->active && is_failure(g, result) && vm_qmp(g->vm)) {
        _cleanup_(freep) char *why =
            text_format("disk '%s' %s", disk_name(c->disk), job_result_to_string(result));
        group_doom(g, why ? why : "a disk failed");
    }
}

void group_forget(Commit *c)
{
    Group *g = TAKE_PTR(c->group);
    if (!g)
        return;

    for (size_t i = 0; i < g->n; i++)
        if (g->members[i] == c) {
            g->n--;
            memmove(&g->members[i], &g->members[i + 1], (g->n - i) * sizeof(Commit *));
            break;
        }
    g->asked = false; /* the answer may have been for this one */
    group_end_if_over(g);
}
