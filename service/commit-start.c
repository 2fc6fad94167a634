/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The beginning of a commit: the command and the answer; and the taking up of a job that an earlier
 * process of ours has started.
 */
#include "commit-internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "group-internal.h"
#include "text.h"

uint64_t commit_now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

char *commit_make_id(const Commit *c, uint64_t usec)
{
    /* A job that is started again for its end has been ready in time. */
    bool over = c->machine.announced && c->on_deadline != JOB_ON_DEADLINE_SLOW_GUEST;
    const CommitId id = {
        .active = c->active,
        .base_read_only = c->base_read_only,
        /* It is started again for a Pivot, which a successor of ours must keep to. */
        .on_ready = c->machine.phase == JOB_STARTING ? c->on_ready : JOB_ON_READY_PIVOT,
        .on_error = c->on_error,
        .drop_bitmaps = c->drop_bitmaps,
        .deadline_usec = over ? 0 : c->deadline_usec,
        .on_deadline = c->on_deadline,
        .uid = c->uid,
        .started_usec = usec,
        .group = c->group_serial,
        .disk = (char *)disk_name(c->disk), /* borrowed */
        .top = c->top,
        .base = c->base,
    };

    return commit_id_make(&id);
}

/* Borrows from the job. */
static BlockCommit command_of(const Commit *c)
{
    const char *root = disk_chain(c->disk)->root;

    return (BlockCommit){
        .job = c->qemu_id,
        .root = root,
        /* Without a top QEMU starts at the root, and a pivot takes the filters above the active
         * image away with it: the disk would lose its throttle. */
        .top = strcmp(c->top, root) != 0 ? c->top : NULL,
        .base = c->base,
        .speed = c->speed,
        .on_error = job_on_error_to_string(c->on_error),
        .backing_file = c->backing_file,
        .auto_finalize = c->auto_finalize,
    };
}

int commit_send(Commit *c, QmpReplyFunc callback, void *userdata)
{
    BlockCommit command = command_of(c);

    /* A full queue would take the recorder and not the job, and no command to remove it either. */
    if (c->recorder && qmp_pending(commit_qmp(c)) + 2 > QMP_PENDING_MAX)
        return -EBUSY;
    commit_add_recorder(c);
    int r = block_commit(commit_qmp(c), &command, callback, userdata);
    if (r < 0)
        commit_remove_recorder(c);
    return r;
}

typedef struct CommitStart {
    CommitRef *ref;
    DoneFunc done;
    void *userdata;
} CommitStart;

/* QEMU's texts are not for parsing, but were the same from 7.2 to 11.1 (qmp.md, 2.3), and are all
 * there is; what is not recognised is passed on as it is. */
static RefusalKind classify(const char *text)
{
    static const struct {
        const char *part;
        RefusalKind kind;
    } known[] = {
        {"Failed to get \"write\" lock", REFUSAL_IMAGE_IN_USE},
        {"Failed to get shared \"write\" lock", REFUSAL_IMAGE_IN_USE},
        {"is busy: block device is in use by block job", REFUSAL_JOB_EXISTS},
        {"Need a root block node", REFUSAL_JOB_EXISTS},
        {"Block node is read-only", REFUSAL_READ_ONLY},
        {"Operation not permitted", REFUSAL_READ_ONLY},
        {"Permission denied", REFUSAL_READ_ONLY},
        {"Read-only file system", REFUSAL_READ_ONLY},
    };

    for (size_t i = 0; i < ELEMENTSOF(known); i++)
        if (strstr(text, known[i].part))
            return known[i].kind;
    return REFUSAL_QMP;
}

static const char *advice(RefusalKind kind)
{
    switch ((int)kind) {
    case REFUSAL_IMAGE_IN_USE:
        return " Another process or VM has an image of the chain open; close it and try again.";
    case REFUSAL_JOB_EXISTS:
        return " Another job works on the chain; wait until it has ended.";
    case REFUSAL_READ_ONLY:
        return " QEMU must be able to write to the base.";
    default:
        return "";
    }
}

void commit_refuse_start(const Disk *d, const Commit *c, const QmpReply *reply, Refusal *r)
{
    _cleanup_(freep) char *user = NULL;
    RefusalKind kind;

    switch (-reply->error) {
    case ETIMEDOUT:
        commit_refuse(
            d, r, REFUSAL_TIMED_OUT,
            "QEMU has not answered in time. If it starts the job yet, JobState shows it.");
        return;
    case ENOTCONN:
        commit_refuse(d, r, REFUSAL_DISCONNECTED,
                      "the VM went away. \"vmdiskctl list\" shows what is there.");
        return;
    case EBUSY:
        commit_refuse(d, r, REFUSAL_LIMIT_EXCEEDED,
                      "too many commands wait for this VM. Try again later.");
        return;
    case EREMOTEIO:
        break;
    default:
        commit_refuse(d, r, REFUSAL_QMP, "QEMU's answer was not understood.");
        return;
    }

    kind = classify(reply->error_text);
    if (kind == REFUSAL_IMAGE_IN_USE)
        user = vm_find_image_user(disk_vm(d), d, c->base);
    commit_refuse(d, r, kind, "QEMU refused: %s.%s%s", reply->error_text, advice(kind),
                  user ? user : "");
}

static void on_started(Qmp *q, const QmpReply *reply, void *userdata)
{
    CommitStart *s = userdata;
    Commit *c = commit_ref_free(s->ref);
    Refusal refusal = {REFUSAL_NONE, NULL};

    /* A job that is starting ends only here: the disk holds it. */
    Disk *d = c->disk;
    Vm *vm = disk_vm(d);

    c->starting = false;
    if (reply->error) {
        commit_refuse_start(d, c, reply, &refusal);
        if (reply->error != -ETIMEDOUT) {
            commit_remove_recorder(c);
            disk_set_job(d, NULL);
        }
    }
    s->done(&refusal, s->userdata);
    refusal_done(&refusal);
    free(s);

    if (reply->error == 0)
        commit_handle(c, JOB_EVENT_STARTED);
    if (reply->error != -ENOTCONN)
        vm_refresh_jobs(vm);
}

int commit_draft(Disk *d, const CommitPlan *plan, Commit **ret)
{
    _cleanup_(commit_freep) Commit *c = NULL;
    const Chain *chain = disk_chain(d);
    int r = commit_new(d, plan, &c);
    if (r < 0)
        return r;

    c->base_read_only = chain->images[chain_find_node(chain, plan->base)].read_only;
    c->started_usec = commit_now_usec();
    c->id = commit_make_id(c, c->started_usec);
    c->qemu_id = c->id ? strdup(c->id) : NULL;
    c->auto_finalize = plan->active && disk_has_export(d, vm_graph(disk_vm(d)));
    if (!c->qemu_id)
        return -ENOMEM;

    *ret = TAKE_PTR(c);
    return 0;
}

int commit_prepare(Disk *d, const CommitPlan *plan)
{
    Commit *c;
    int r = commit_draft(d, plan, &c);
    if (r < 0)
        return r;

    c->starting = true;
    disk_set_job(d, c);
    return 0;
}

/* Sends the start of what is prepared. */
static int send_start(Disk *d, DoneFunc done, void *userdata)
{
    CommitStart *s = calloc(1, sizeof(CommitStart));
    CommitRef *ref = s ? commit_ref_new(disk_job(d)) : NULL;
    int r = -ENOMEM;

    if (ref) {
        *s = (CommitStart){ref, done, userdata};
        r = commit_send(disk_job(d), on_started, s);
    }
    if (r < 0) {
        if (ref)
            commit_ref_free(ref);
        free(s);
    }
    return r;
}

void commit_start(Disk *d, const CommitPlan *plan, DoneFunc done, void *userdata)
{
    Refusal refusal = {REFUSAL_NONE, NULL};

    int r = commit_prepare(d, plan);
    if (r >= 0)
        r = send_start(d, done, userdata);
    if (r >= 0)
        return;

    commit_refuse_start(d, disk_job(d), &(QmpReply){.error = r}, &refusal);
    disk_set_job(d, NULL);
    done(&refusal, userdata);
    refusal_done(&refusal);
}

/* Its end was asked for before the restart: an Abort now would cancel at the barrier what is to be
 * kept, or to be pivoted. */
static bool is_ending(const char *status)
{
    return strcmp(status, "waiting") == 0 || strcmp(status, "pending") == 0 ||
           strcmp(status, "aborting") == 0 || strcmp(status, "concluded") == 0;
}

int commit_adopt(Disk *d, const CommitId *id, const GraphJob *job)
{
    _cleanup_(commit_freep) Commit *c = NULL;
    CommitPlan plan = {
        .active = id->active,
        .top = id->top,
        .base = id->base,
        .on_ready = id->on_ready,
        .on_error = id->on_error,
        .speed = job->speed,
        .drop_bitmaps = id->drop_bitmaps,
        .deadline_usec = id->deadline_usec,
        .on_deadline = id->on_deadline,
        .uid = id->uid,
    };

    int r = commit_new(d, &plan, &c);
    if (r < 0)
        return r;
    c->base_read_only = id->base_read_only;
    c->started_usec = id->started_usec;
    c->id = strdup(job->id);
    c->qemu_id = strdup(job->id);
    if (!c->id || !c->qemu_id)
        return -ENOMEM;

    c->adopted = true;
    c->group_serial = id->group;
    c->auto_finalize = job->auto_finalize;
    c->offset = job->offset;
    c->length = job->length;
    c->machine.phase = is_ending(job->status) ? JOB_ENDING : JOB_RUNNING;
    /* Its status would follow only when the job has finished what it has under way. */
    c->machine.paused = job->paused;
    /* Whoever was to cancel it for its deadline did so, or will not have to. */
    c->cut_off = c->machine.phase == JOB_ENDING && c->on_deadline == JOB_ON_DEADLINE_CANCEL &&
                 c->deadline_usec > 0 && commit_now_usec() >= c->deadline_usec;
    commit_adopt_io_status(c, job);
    disk_set_job(d, TAKE_PTR(c));
    if (id->group)
        group_adopt(disk_job(d), id->group);
    return 0;
}
