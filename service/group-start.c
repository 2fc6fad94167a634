/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The beginning of a group: which disks are in it, the commands all at once, and the answers. What
 * has been started is announced when all is; where one start fails, the others are taken back.
 */
#include "group-internal.h"

#include <errno.h>
#include <string.h>

#include "text.h"

/* A group that waits for a fresh reading. */
typedef struct GroupWish {
    char **disks; /* ends with NULL; or NULL for all */
    CommitOptions options;
    uid_t uid;
    DoneFunc done;
    void *userdata;
} GroupWish;

typedef struct Choice {
    Disk *disks[VM_JOBS_MAX];
    CommitPlan plans[VM_JOBS_MAX];
    size_t n;
} Choice;

static GroupWish *group_wish_free(GroupWish *w)
{
    if (!w)
        return NULL;

    for (size_t i = 0; w->disks && w->disks[i]; i++)
        free(w->disks[i]);
    free(w->disks);
    commit_options_done(&w->options);
    free(w);
    return NULL;
}
DEFINE_CLEANUP(GroupWish, group_wish_free)

static int copy_names(char *const *names, char ***ret)
{
    size_t n = 0;

    *ret = NULL;
    if (!names)
        return 0;
    while (names[n])
        n++;
    *ret = calloc(n + 1, sizeof(char *));
    for (size_t i = 0; *ret && i < n; i++) {
        (*ret)[i] = strdup(names[i]);
        if (!(*ret)[i])
            return -ENOMEM;
    }
    return *ret ? 0 : -ENOMEM;
}

static void choice_done(Choice *choice)
{
    for (size_t i = 0; i < choice->n; i++)
        commit_plan_done(&choice->plans[i]);
}

/* It has nothing to commit, or takes no commits at all. */
bool group_leaves_out(const Disk *d, RefusalKind kind)
{
    return kind == REFUSAL_NOTHING_TO_COMMIT || kind == REFUSAL_READ_ONLY ||
           kind == REFUSAL_ACTIVE_LAYER || (kind == REFUSAL_NOT_SUPPORTED && disk_is_firmware(d));
}

bool group_refuse_disk(const Disk *d, bool active, Refusal *r)
{
    if (disk_job(d))
        commit_refuse(
            d, r, REFUSAL_JOB_EXISTS,
            "a job is on the disk already. Wait until it has ended, or end it, then commit "
            "the disks together.");
    else if (active && disk_has_export(d, vm_graph(disk_vm(d))))
        commit_refuse(d, r, REFUSAL_NOT_SUPPORTED,
                      "the disk is exported, and clients of an export cannot be held at the common "
                      "instant. Commit it by itself, or name the disks without it.");
    else
        return false;
    return true;
}

/* False with a refusal: none is committed. */
static bool choose_disk(Disk *d, const CommitOptions *options, bool named, Choice *choice,
                        Refusal *r)
{
    CommitPlan plan = {};

    commit_plan(d, options, r, &plan);
    if (r->kind != REFUSAL_NONE && !named && group_leaves_out(d, r->kind)) {
        refusal_done(r);
        return true;
    }
    if (r->kind == REFUSAL_NONE && choice->n == VM_JOBS_MAX)
        refusal_set(r, REFUSAL_LIMIT_EXCEEDED,
                    "VM '%s': more than %d disks. Name some of them, and commit the others later.",
                    vm_name(disk_vm(d)), VM_JOBS_MAX);
    if (r->kind != REFUSAL_NONE || group_refuse_disk(d, options->active, r)) {
        commit_plan_done(&plan);
        return false;
    }
    choice->disks[choice->n] = d;
    choice->plans[choice->n++] = plan;
    return true;
}

static bool is_chosen(const Choice *choice, const Disk *d)
{
    for (size_t i = 0; i < choice->n; i++)
        if (choice->disks[i] == d)
            return true;
    return false;
}

static void choose_named(Vm *vm, const GroupWish *w, Choice *choice, Refusal *r)
{
    for (size_t i = 0; w->disks[i]; i++) {
        Disk *d = vm_find_disk(vm, w->disks[i]);

        if (!d)
            refusal_set(r, REFUSAL_NO_SUCH_DISK,
                        "VM '%s' has no disk '%s'. \"vmdiskctl list\" shows the disks.",
                        vm_name(vm), strlen(w->disks[i]) <= 255 ? w->disks[i] : "…");
        else if (is_chosen(choice, d))
            refusal_set(r, REFUSAL_INVALID_ARGS, "VM '%s', disk '%s': the disk is named twice.",
                        vm_name(vm), disk_name(d));
        if (r->kind != REFUSAL_NONE || !choose_disk(d, &w->options, /* named= */ true, choice, r))
            return;
    }
}

static void choose(Vm *vm, const GroupWish *w, Choice *choice, Refusal *r)
{
    if (w->disks)
        choose_named(vm, w, choice, r);
    else
        for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
            if (!choose_disk(d, &w->options, /* named= */ false, choice, r))
                return;
    if (r->kind == REFUSAL_NONE && choice->n == 0)
        refusal_set(r, REFUSAL_NOTHING_TO_COMMIT,
                    "VM '%s': no disk has %s. \"vmdiskctl status\" shows the chains.", vm_name(vm),
                    w->options.active ? "a backing image to commit into"
                                      : "images between its active layer and its base; to commit "
                                        "active layers, set 'active' "
                                        "(\"vmdiskctl commit --active\")");
}

static void on_withdrawn(Qmp *q, const QmpReply *reply, void *userdata)
{
    Commit *c = commit_ref_free(userdata);

    if (c && reply->error && reply->error != -ENOTCONN)
        c->asked = false;
}

/* What cannot be sent now is sent with the next look at the job. */
static void withdraw_member(Commit *c)
{
    CommitRef *ref = c->asked ? NULL : commit_ref_new(c);
    if (!ref)
        return;

    c->asked = block_job_force_cancel(commit_qmp(c), c->qemu_id, on_withdrawn, ref) >= 0;
    if (!c->asked)
        commit_ref_free(ref);
}

void group_member_withdrawn(Commit *c, const GraphJob *job)
{
    if (job && strcmp(job->status, "concluded") != 0) {
        withdraw_member(c);
        return;
    }
    commit_remove_recorder(c);
    if (job)
        (void)block_job_dismiss(commit_qmp(c), c->qemu_id, /* callback= */ NULL, NULL);
    /* An active commit leaves its base open for writing. */
    if (job && c->active && c->base_read_only)
        (void)block_set_read_only(commit_qmp(c), c->base, /* callback= */ NULL, NULL);
    disk_withdraw_job(c->disk);
}

/* What has been started is ended again; nobody has heard of it. The ends are waited for, so that
 * the disks are free again when the caller is told. */
static void withdraw(Group *g)
{
    g->phase = GROUP_WITHDRAWING;
    for (size_t i = 0; i < g->n; i++) {
        g->members[i]->starting = false;
        g->members[i]->withdrawn = true;
        withdraw_member(g->members[i]);
    }
}

static void announce(Group *g)
{
    Commit *members[VM_JOBS_MAX];
    size_t n = g->n;

    memcpy(members, g->members, sizeof(members));
    group_answer(g);
    group_set_phase(g, GROUP_RUNNING, JOB_INTENT_NONE);
    for (size_t i = 0; i < n; i++) {
        members[i]->starting = false;
        commit_handle(members[i], JOB_EVENT_STARTED);
    }
}

/* A member counts as starting until all are answered: nothing is announced before. */
static void on_member_started(Qmp *q, const QmpReply *reply, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    Group *g = c->group;
    Vm *vm = g->vm;

    if (reply->error && g->refusal.kind == REFUSAL_NONE)
        commit_refuse_start(c->disk, c, reply, &g->refusal);
    /* Where it may have been started yet, the next look at the jobs tells. */
    if (reply->error && reply->error != -ETIMEDOUT) {
        commit_remove_recorder(c);
        disk_set_job(c->disk, NULL);
    }
    if (--g->open == 0 && g->refusal.kind == REFUSAL_NONE)
        announce(g);
    else if (g->open == 0 && reply->error != -ENOTCONN)
        withdraw(g);
    group_end_if_over(g);
    if (reply->error != -ENOTCONN)
        vm_refresh_jobs(vm);
}

static void send_member(Group *g, Commit *c)
{
    CommitRef *ref = commit_ref_new(c);
    int r = ref ? commit_send(c, on_member_started, ref) : -ENOMEM;

    if (r >= 0) {
        g->open++;
        return;
    }
    if (ref)
        commit_ref_free(ref);
    if (g->refusal.kind == REFUSAL_NONE)
        commit_refuse_start(c->disk, c, &(QmpReply){.error = r}, &g->refusal);
}

static void abandon(Group *g)
{
    g->open = 1;
    while (g->n > 0)
        disk_set_job(g->members[g->n - 1]->disk, NULL);
    g->open = 0;
    group_end_if_over(g);
}

static void start_chosen(Vm *vm, Choice *choice, const GroupWish *w)
{
    uint64_t serial = group_make_serial(commit_now_usec(), choice->n);
    Refusal refusal = {REFUSAL_NO_MEMORY, NULL};
    Group *g;

    if (group_new(vm, serial, w->options.active, w->options.on_ready, &g) < 0) {
        w->done(&refusal, w->userdata);
        return;
    }
    g->done = w->done;
    g->userdata = w->userdata;
    for (size_t i = 0; i < choice->n; i++) {
        choice->plans[i].uid = w->uid;
        choice->plans[i].group = serial;
        choice->plans[i].deadline_usec = choice->plans[0].deadline_usec;
        if (commit_prepare(choice->disks[i], &choice->plans[i]) >= 0)
            group_add(g, disk_job(choice->disks[i]));
        else
            g->refusal = refusal;
    }
    for (size_t i = 0; i < g->n && g->refusal.kind == REFUSAL_NONE; i++)
        send_member(g, g->members[i]);
    /* Nothing was sent: there will be no answer. */
    if (g->open == 0)
        abandon(g);
}

static void on_fresh(Vm *vm, int error, const char *text, void *userdata)
{
    _cleanup_(group_wish_freep) GroupWish *w = userdata;
    _cleanup_(choice_done) Choice choice = {};
    Refusal refusal = {REFUSAL_NONE, NULL};

    if (error)
        disk_refuse_unread(vm, error, &refusal);
    else if (vm_group(vm))
        refusal_set(&refusal, REFUSAL_JOB_EXISTS,
                    "VM '%s': its disks are being committed together already. End that with Pivot "
                    "or Abort of the VM.",
                    vm_name(vm));
    else
        choose(vm, w, &choice, &refusal);

    if (refusal.kind == REFUSAL_NONE)
        start_chosen(vm, &choice, w);
    else
        w->done(&refusal, w->userdata);
    refusal_done(&refusal);
}

void group_start(Vm *vm, const CommitOptions *options, char *const *disks, uid_t uid, DoneFunc done,
                 void *userdata)
{
    _cleanup_(group_wish_freep) GroupWish *w = calloc(1, sizeof(GroupWish));
    Refusal refusal = {REFUSAL_NONE, NULL};
    int r = -ENOMEM;

    if (w) {
        w->uid = uid;
        w->done = done;
        w->userdata = userdata;
        r = copy_names(disks, &w->disks);
    }
    if (r >= 0)
        r = commit_options_copy(options, &w->options);
    if (r >= 0)
        r = vm_refresh(vm, on_fresh, w);
    if (r >= 0) {
        TAKE_PTR(w);
        return;
    }

    refusal_set(&refusal, r == -ENOMEM ? REFUSAL_NO_MEMORY : REFUSAL_LIMIT_EXCEEDED,
                "VM '%s': too much is going on at once; nothing was started. Try again later.",
                vm_name(vm));
    done(&refusal, userdata);
    refusal_done(&refusal);
}
