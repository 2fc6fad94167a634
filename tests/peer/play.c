/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "play.h"

#include "commit.h"
#include "event-wait.h"

#define VM "web1"
#define DISK "vda"

Play *play_new(const char *nodes)
{
    Play *p = g_new0(Play, 1);

    p->domain = domain_new();
    p->vm = fake_vm_new(p->domain->event, VM);
    p->peer = fake_vm_peer(p->vm);
    fake_vm_set_disk(p->vm, DISK, nodes);
    (void)domain_add_vm(p->domain, p->vm);
    domain_check_news(p->domain, "vm-added " VM ", disk-added " DISK);
    p->disk = domain_disk(p->domain, VM, DISK);
    return p;
}

void play_free(Play *p)
{
    domain_free(p->domain);
    fake_vm_free(p->vm);
    g_free(p);
}

void play_restart(Play *p)
{
    domain_restart(p->domain);
    fake_vm_reconnect(p->vm, p->domain->event);
    p->peer = fake_vm_peer(p->vm);
    (void)domain_add_vm(p->domain, p->vm);
    p->disk = domain_disk(p->domain, VM, DISK);
}

QmpPeerCommand *play_ask_commit(Play *p, bool active)
{
    p->request = domain_commit(p->domain, p->disk, active);
    return qmp_peer_expect(p->peer, "block-commit");
}

void play_start(Play *p, bool active)
{
    QmpPeerCommand *c = play_ask_commit(p, active);

    fake_vm_add_job(p->vm, c, "created");
    fake_vm_move(p->vm, "running");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-started " DISK);
}

void play_check_id(const Play *p)
{
    const Commit *job = disk_job(p->disk);
    _cleanup_(commit_id_freep) CommitId *id = NULL;

    g_assert_cmpint(commit_id_parse(fake_vm_job_id(p->vm), &id), ==, 0);
    g_assert_cmpstr(id->disk, ==, disk_name(p->disk));
    g_assert_cmpstr(id->top, ==, commit_top(job));
    g_assert_cmpstr(id->base, ==, commit_base(job));
    /* One that was started again is for the end that the caller has chosen since. */
    g_assert_cmpint(id->on_ready, ==,
                    g_str_equal(commit_id(job), fake_vm_job_id(p->vm)) ? commit_on_ready(job)
                                                                       : JOB_ON_READY_PIVOT);
    g_assert_cmpuint(id->uid, ==, commit_uid(job));
    g_assert_cmpuint(id->started_usec, >=, commit_started_usec(job));
    g_assert_true(id->base_read_only);
}

void play_ready(Play *p)
{
    fake_vm_move(p->vm, "ready");
    event_wait_idle(p->domain->event);
    domain_check_news(p->domain, "job-changed " DISK " ready, job-ready " DISK);
}

void play_start_ready(Play *p)
{
    play_start(p, true);
    play_ready(p);
}

QmpPeerCommand *play_ask_pivot(Play *p)
{
    p->request = domain_pivot(p->domain, p->disk);
    return qmp_peer_expect(p->peer, "job-complete");
}

QmpPeerCommand *play_ask_abort(Play *p)
{
    p->request = domain_abort(p->domain, p->disk);
    return qmp_peer_expect(p->peer, "block-job-cancel");
}

QmpPeerCommand *play_hold(Play *p, const QmpPeerCommand *c)
{
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_move(p->vm, "pending");
    return qmp_peer_expect(p->peer, g_str_equal(c->name, "block-job-cancel") ? "job-cancel"
                                                                             : "job-finalize");
}

QmpPeerCommand *play_conclude(Play *p, const QmpPeerCommand *c, const char *nodes)
{
    fake_vm_set_disk(p->vm, DISK, nodes);
    if (g_str_equal(c->name, "job-cancel"))
        fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    return qmp_peer_expect(p->peer, "job-dismiss");
}

void play_dismiss(Play *p, const QmpPeerCommand *job_dismiss)
{
    fake_vm_move(p->vm, NULL);
    qmp_peer_reply(p->peer, job_dismiss, "{}");
    event_wait_idle(p->domain->event);
}
