/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Somebody else's job, started through another monitor: shown as it is, with its type, progress and
 * state, and left alone. It has no JobReady and no JobFinished of ours: only its starter knows what
 * it was for.
 */
#include "commit-internal.h"

#include <errno.h>
#include <string.h>

/* The node behind an edge of the job, "" for none. Active commits and mirrors have source and
 * target, commits below the active layer base (QEMU 7.2 to 10.0). */
static const char *job_node(const Graph *g, const char *job, const char *edge)
{
    const GraphVertex *v = graph_find(g, GRAPH_JOB, job);
    const GraphVertex *node = v ? graph_child(g, v, edge) : NULL;

    return node ? node->name : "";
}

static JobPhase phase_of(const char *status)
{
    static const char *const ready[] = {"ready", "standby"};
    static const char *const ending[] = {"waiting", "pending", "aborting"};

    for (size_t i = 0; i < ELEMENTSOF(ready); i++)
        if (strcmp(status, ready[i]) == 0)
            return JOB_READY;
    for (size_t i = 0; i < ELEMENTSOF(ending); i++)
        if (strcmp(status, ending[i]) == 0)
            return JOB_ENDING;
    return JOB_RUNNING;
}

int commit_show_foreign(Disk *d, const GraphJob *job, const Graph *g)
{
    _cleanup_(commit_freep) Commit *c = NULL;
    const char *target = job_node(g, job->id, "target");
    CommitPlan plan = {
        .top = job_node(g, job->id, "source"),
        .base = *target ? target : job_node(g, job->id, "base"),
        .speed = job->speed,
        .uid = (uid_t)-1,
    };

    int r = commit_new(d, &plan, &c);
    if (r < 0)
        return r;
    free(c->type);
    c->type = strdup(job->type);
    c->id = strdup(job->id);
    c->qemu_id = strdup(job->id);
    if (!c->type || !c->id || !c->qemu_id)
        return -ENOMEM;

    c->foreign = true;
    c->started_usec = commit_now_usec(); /* when it was first seen; QEMU does not tell */
    c->offset = job->offset;
    c->length = job->length;
    c->machine.phase = phase_of(job->status);
    disk_set_job(d, TAKE_PTR(c));
    return 0;
}

void commit_handle_foreign(Commit *c, const GraphJob *job)
{
    Vm *vm = disk_vm(c->disk);
    JobState before = job_state(&c->machine);
    void *userdata;
    const DomainObserver *o = vm_observer(vm, &userdata);

    if (!job || strcmp(job->status, "concluded") == 0) {
        disk_drop_job(c->disk);
        o->job_hidden(c, userdata);
        commit_free(c);
        return;
    }

    commit_take_progress(c, job);
    c->machine.phase = phase_of(job->status);
    if (job_state(&c->machine) != before)
        commit_announce(c, COMMIT_CHANGE_STATE);
}
