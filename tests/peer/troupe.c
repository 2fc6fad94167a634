/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "troupe.h"

#include <string.h>

#include "event-wait.h"
#include "qmp.h"

#define VM "web1"

static const char *disk_id(unsigned i)
{
    static const char *const ids[TROUPE_MAX] = {"vda", "vdb", "vdc", "vdd"};

    if (i >= TROUPE_MAX)
        g_error("too many disks");
    return ids[i];
}

/* That many images, from the base on. */
static void set_depth(const Troupe *t, unsigned i, unsigned depth)
{
    g_autofree char *nodes = depth == 3   ? g_strdup_printf("top%u mid%u base%u", i, i, i)
                             : depth == 2 ? g_strdup_printf("top%u base%u", i, i)
                                          : g_strdup_printf("base%u", i);

    fake_vm_set_disk(t->vm, disk_id(i), nodes);
}

static void find_disks(Troupe *t)
{
    for (unsigned i = 0; i < t->n; i++)
        t->disk[i] = domain_disk(t->domain, VM, disk_id(i));
}

Troupe *troupe_new(unsigned n)
{
    Troupe *t = g_new0(Troupe, 1);

    t->n = n;
    t->domain = domain_new();
    t->vm = fake_vm_new(t->domain->event, VM);
    t->peer = fake_vm_peer(t->vm);
    for (unsigned i = 0; i < n; i++)
        set_depth(t, i, 3);
    (void)domain_add_vm(t->domain, t->vm);
    find_disks(t);
    g_ptr_array_set_size(t->domain->news, 0);
    return t;
}

void troupe_free(Troupe *t)
{
    domain_free(t->domain);
    fake_vm_free(t->vm);
    for (unsigned i = 0; i < t->n; i++)
        g_free(t->job[i]);
    g_free(t);
}

static Vm *vm_of(const Troupe *t)
{
    Vm *vm = manager_find_vm(t->domain->manager, VM);

    g_assert_nonnull(vm);
    return vm;
}

void troupe_call_commit(Troupe *t, const CommitOptions *options)
{
    t->request = domain_request(t->domain);
    group_start(vm_of(t), options, /* disks= */ NULL, /* uid= */ 1000, domain_done, t->request);
}

void troupe_call_pivot(Troupe *t)
{
    t->request = domain_request(t->domain);
    group_pivot(vm_of(t), domain_done, t->request);
}

void troupe_call_abort(Troupe *t)
{
    t->request = domain_request(t->domain);
    group_abort(vm_of(t), domain_done, t->request);
}

static const char *job_of(const QmpPeerCommand *c)
{
    json_object *id;

    g_assert_true(json_object_object_get_ex(c->args, "job-id", &id) ||
                  json_object_object_get_ex(c->args, "id", &id) ||
                  json_object_object_get_ex(c->args, "device", &id));
    return json_object_get_string(id);
}

void troupe_expect_one(Troupe *t, unsigned i, const char *command)
{
    t->command[i] = qmp_peer_expect(t->peer, command);
    if (strcmp(command, "block-commit") == 0) {
        g_free(t->job[i]);
        t->job[i] = g_strdup(job_of(t->command[i]));
    }
    g_assert_cmpstr(job_of(t->command[i]), ==, t->job[i]);
}

void troupe_expect(Troupe *t, const char *command)
{
    for (unsigned i = 0; i < t->n; i++)
        troupe_expect_one(t, i, command);
}

void troupe_accept(Troupe *t, unsigned i)
{
    qmp_peer_reply(t->peer, t->command[i], "{}");
    t->command[i] = NULL;
    event_wait_idle(t->domain->event);
}

void troupe_accept_all(Troupe *t)
{
    for (unsigned i = 0; i < t->n; i++)
        troupe_accept(t, i);
}

void troupe_ask_commit(Troupe *t, const CommitOptions *options)
{
    troupe_call_commit(t, options);
    troupe_expect(t, "block-commit");
}

void troupe_create(Troupe *t, unsigned i)
{
    fake_vm_add_job(t->vm, t->command[i], "created");
    troupe_move(t, i, "running");
}

void troupe_start(Troupe *t, const CommitOptions *options)
{
    g_autoptr(GString) news = g_string_new("jobs-changed " VM " running");

    troupe_ask_commit(t, options);
    for (unsigned i = 0; i < t->n; i++) {
        g_string_append_printf(news, ", job-started %s", disk_id(i));
        troupe_create(t, i);
        troupe_accept(t, i);
    }
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    domain_check_news(t->domain, news->str);
}

void troupe_start_ready(Troupe *t)
{
    g_autoptr(GString) news = g_string_new(NULL);

    troupe_start(t, &(CommitOptions){.active = true});
    for (unsigned i = 0; i < t->n; i++) {
        g_string_append_printf(news, "job-changed %s ready, job-ready %s, ", disk_id(i),
                               disk_id(i));
        troupe_move(t, i, "ready");
    }
    g_string_append(news, "jobs-changed " VM " ready, jobs-ready " VM);
    domain_check_news(t->domain, news->str);
}

static void end(Troupe *t, const char *command, const char *state)
{
    g_autoptr(GString) news = g_string_new(NULL);

    troupe_expect(t, command);
    g_string_append_printf(news, "jobs-changed " VM " %s", state);
    for (unsigned i = 0; i < t->n; i++) {
        domain_check_quiet(t->domain);
        troupe_accept(t, i);
        g_string_append_printf(news, ", job-changed %s %s", disk_id(i), state);
    }
    domain_check_answer(t->domain, t->request, REFUSAL_NONE);
    domain_check_news(t->domain, news->str);
}

void troupe_pivot(Troupe *t)
{
    troupe_call_pivot(t);
    end(t, "job-complete", "pivoting");
}

void troupe_abort(Troupe *t)
{
    troupe_call_abort(t);
    end(t, "block-job-cancel", "aborting");
}

void troupe_move(Troupe *t, unsigned i, const char *status)
{
    fake_vm_choose_job(t->vm, t->job[i]);
    fake_vm_move(t->vm, status);
    event_wait_idle(t->domain->event);
}

void troupe_hold_all(Troupe *t)
{
    for (unsigned i = 0; i < t->n; i++)
        troupe_move(t, i, "pending");
}

void troupe_finish(Troupe *t, unsigned i, const char *error, unsigned depth)
{
    set_depth(t, i, depth);
    fake_vm_choose_job(t->vm, t->job[i]);
    if (error)
        fake_vm_set_error(t->vm, error);
    fake_vm_move(t->vm, "concluded");
    if (t->command[i])
        qmp_peer_reply(t->peer, t->command[i], "{}");
    t->command[i] = NULL;
    event_wait_idle(t->domain->event);
}

void troupe_dismiss(Troupe *t, unsigned i)
{
    const QmpPeerCommand *dismiss = qmp_peer_expect(t->peer, "job-dismiss");

    g_assert_cmpstr(job_of(dismiss), ==, t->job[i]);
    fake_vm_choose_job(t->vm, t->job[i]);
    fake_vm_move(t->vm, NULL);
    qmp_peer_reply(t->peer, dismiss, "{}");
    event_wait_idle(t->domain->event);
}

void troupe_conclude(Troupe *t, unsigned i, const char *error, unsigned depth)
{
    troupe_finish(t, i, error, depth);
    troupe_dismiss(t, i);
}

void troupe_keep(Troupe *t, unsigned i)
{
    troupe_expect_one(t, i, "job-cancel");
    troupe_conclude(t, i, "Operation canceled", 3);
}

void troupe_complete(Troupe *t, unsigned i)
{
    troupe_expect_one(t, i, "job-finalize");
    troupe_conclude(t, i, /* error= */ NULL, 1);
}

void troupe_keep_all(Troupe *t)
{
    troupe_expect(t, "job-cancel");
    for (unsigned i = 0; i < t->n; i++)
        troupe_conclude(t, i, "Operation canceled", 3);
}

void troupe_complete_all(Troupe *t)
{
    troupe_expect(t, "job-finalize");
    for (unsigned i = 0; i < t->n; i++)
        troupe_conclude(t, i, /* error= */ NULL, 1);
}

void troupe_check_ends(Troupe *t, const char *ends)
{
    g_autofree char *line = g_strdup_printf("jobs-finished " VM " %s", ends);

    event_wait_idle(t->domain->event);
    if (domain_count(t->domain, line) != 1)
        for (guint i = 0; i < t->domain->news->len; i++)
            g_test_message("%s", (const char *)g_ptr_array_index(t->domain->news, i));
    g_assert_cmpuint(domain_count(t->domain, line), ==, 1);
    g_assert_cmpuint(domain_count(t->domain, "jobs-finished"), ==, 1);
    g_assert_null(vm_group(vm_of(t)));
    g_assert_cmpuint(vm_count_jobs(vm_of(t)), ==, 0);
}

void troupe_check_record(const Troupe *t, bool pivoted)
{
    for (unsigned i = 0; i < t->n; i++) {
        g_autofree char *top = g_strdup_printf("/images/top%u", i);
        const LedgerImage *stale = ledger_find_stale(t->domain->ledger, VM, top);

        g_assert_true((stale != NULL) == pivoted);
    }
}

void troupe_check_all_kept(Troupe *t)
{
    troupe_check_ends(t, t->n == 2 ? "vda=kept vdb=kept" : "vda=kept vdb=kept vdc=kept");
    troupe_check_record(t, false);
    g_assert_cmpuint(troupe_count(t, "job-finalize"), ==, 0);
}

unsigned troupe_count(const Troupe *t, const char *command)
{
    return qmp_peer_count(t->peer, command);
}

static void ignore(Vm *vm, int error, const char *text, void *userdata)
{
}

static void fill(Vm *vm, int error, const char *text, void *userdata)
{
    Troupe *t = userdata;

    while (qmp_pending(vm_qmp(vm)) + t->left < QMP_PENDING_MAX) {
        g_assert_cmpint(qmp_call(vm_qmp(vm), "query-iothreads", NULL, 0, NULL, NULL), ==, 0);
        t->crowd++;
    }
}

void troupe_crowd(Troupe *t, unsigned left)
{
    t->left = left;
    /* While one reading is under way, those who come wait for the next, and are served in turn. */
    g_assert_cmpint(vm_refresh(vm_of(t), ignore, NULL), >=, 0);
    g_assert_cmpint(vm_refresh(vm_of(t), fill, t), >=, 0);
}

static bool is_crowded(gpointer data)
{
    return ((const Troupe *)data)->crowd > 0;
}

void troupe_drain(Troupe *t)
{
    event_wait_until(t->domain->event, "a full queue", is_crowded, t);
    for (; t->crowd > 0; t->crowd--)
        qmp_peer_reply(t->peer, qmp_peer_expect(t->peer, "query-iothreads"), "[]");
}

void troupe_restart(Troupe *t)
{
    domain_restart(t->domain);
    fake_vm_reconnect(t->vm, t->domain->event);
    t->peer = fake_vm_peer(t->vm);
    (void)domain_add_vm(t->domain, t->vm);
    find_disks(t);
    memset(t->command, 0, sizeof(t->command));
}
