/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "domain.h"

#include <string.h>

#include "commit.h"
#include "group.h"
#include "event-wait.h"
#include "process.h"

static void note(void *userdata, const char *format, ...) G_GNUC_PRINTF(2, 3);

static void note(void *userdata, const char *format, ...)
{
    Domain *d = userdata;
    va_list list;

    va_start(list, format);
    g_ptr_array_add(d->news, g_strdup_vprintf(format, list));
    va_end(list);
}

static void on_vm_added(Vm *vm, void *userdata)
{
    note(userdata, "vm-added %s", vm_name(vm));
}

static void on_vm_changed(Vm *vm, void *userdata)
{
    note(userdata, "vm-changed %s %s", vm_name(vm), vm_state(vm));
}

static void on_vm_removed(Vm *vm, void *userdata)
{
    g_assert_null(vm_next_disk(vm, NULL));
    note(userdata, "vm-removed %s", vm_name(vm));
}

static void on_disk_added(Disk *disk, void *userdata)
{
    note(userdata, "disk-added %s", disk_name(disk));
}

static void on_disk_changed(Disk *disk, unsigned changes, void *userdata)
{
    g_assert_cmphex(changes, !=, 0);
    note(userdata, "disk-changed %s", disk_name(disk));
}

static void on_disk_removed(Disk *disk, void *userdata)
{
    note(userdata, "disk-removed %s", disk_name(disk));
}

static const char *job_disk(const Commit *job)
{
    const Disk *disk = commit_disk(job);

    g_assert_true(vm_is_published(disk_vm(disk)));
    return disk_name(disk);
}

static void on_job_started(Commit *job, void *userdata)
{
    g_assert_true(disk_job(commit_disk(job)) == job);
    note(userdata, "job-started %s", job_disk(job));
}

static void on_job_changed(Commit *job, unsigned changes, void *userdata)
{
    g_assert_cmphex(changes, !=, 0);
    if (changes & COMMIT_CHANGE_PROGRESS)
        ((Domain *)userdata)->offset = commit_offset(job);
    if (changes & COMMIT_CHANGE_STATE)
        note(userdata, "job-changed %s %s", job_disk(job), job_state_to_string(commit_state(job)));
}

static void on_job_ready(Commit *job, void *userdata)
{
    g_assert_cmpint(commit_state(job), ==, JOB_STATE_READY);
    note(userdata, "job-ready %s", job_disk(job));
}

/* What a caller finds when the signal has reached it. */
static void on_job_finished(Commit *job, void *userdata)
{
    Disk *disk = commit_disk(job);
    const LastJob *last = disk_last_job(disk);

    g_assert_null(disk_job(disk));
    g_assert_cmpstr(last->id, ==, commit_id(job));
    g_assert_cmpstr(last->type, ==, COMMIT_TYPE);
    g_assert_nonnull(last->message);
    if (last->error != REFUSAL_NONE)
        g_assert_cmpstr(last->message, !=, "");
    note(userdata, "job-finished %s %s", job_disk(job), job_result_to_string(last->result));
}

static void on_job_hidden(Commit *job, void *userdata)
{
    g_assert_null(disk_job(commit_disk(job)));
    g_assert_true(commit_is_foreign(job));
    note(userdata, "job-hidden %s", job_disk(job));
}

static void on_jobs_changed(Vm *vm, void *userdata)
{
    note(userdata, "jobs-changed %s %s", vm_name(vm), job_state_to_string(group_state(vm)));
}

static void on_jobs_ready(Vm *vm, void *userdata)
{
    note(userdata, "jobs-ready %s", vm_name(vm));
}

static void on_jobs_finished(Vm *vm, void *userdata)
{
    g_autoptr(GString) ends = g_string_new(NULL);
    const GroupEnd *end;

    for (size_t i = 0; (end = group_end(vm, i)); i++)
        g_string_append_printf(ends, " %s=%s", end->disk, job_result_to_string(end->result));
    note(userdata, "jobs-finished %s%s", vm_name(vm), ends->str);
}

static const DomainObserver observer = {
    .vm_added = on_vm_added,
    .vm_changed = on_vm_changed,
    .vm_removed = on_vm_removed,
    .disk_added = on_disk_added,
    .disk_changed = on_disk_changed,
    .disk_removed = on_disk_removed,
    .job_started = on_job_started,
    .job_changed = on_job_changed,
    .job_ready = on_job_ready,
    .job_finished = on_job_finished,
    .job_hidden = on_job_hidden,
    .jobs_changed = on_jobs_changed,
    .jobs_ready = on_jobs_ready,
    .jobs_finished = on_jobs_finished,
};

static void request_free(gpointer data)
{
    Request *r = data;

    g_assert_cmpuint(r->n_answers, ==, 1);
    g_free(r->text);
    g_free(r);
}

Domain *domain_new(void)
{
    Domain *d = g_new0(Domain, 1);

    d->directory = g_dir_make_tmp("vmdisk-peer-XXXXXX", NULL);
    g_assert_nonnull(d->directory);
    g_assert_cmpint(sd_event_new(&d->event), >=, 0);
    g_assert_cmpint(ledger_new(d->directory, &d->ledger), >=, 0);
    g_assert_cmpint(manager_new(d->event, d->ledger, &observer, d, &d->manager), >=, 0);
    d->news = g_ptr_array_new_with_free_func(g_free);
    d->requests = g_ptr_array_new_with_free_func(request_free);
    return d;
}

void domain_restart(Domain *d)
{
    d->manager = manager_free(d->manager);
    d->ledger = ledger_free(d->ledger);
    g_ptr_array_set_size(d->news, 0);
    g_assert_cmpint(ledger_new(d->directory, &d->ledger), >=, 0);
    g_assert_cmpint(manager_new(d->event, d->ledger, &observer, d, &d->manager), >=, 0);
}

void domain_free(Domain *d)
{
    manager_free(d->manager);
    g_ptr_array_unref(d->requests);
    g_ptr_array_unref(d->news);
    ledger_free(d->ledger);
    sd_event_unref(d->event);
    g_free(process_run("rm", "-r", d->directory, NULL));
    g_free(d->directory);
    g_free(d);
}

typedef struct Arrival {
    Domain *domain;
    unsigned published; /* VMs that are to be there */
} Arrival;

static unsigned count_vms(const Domain *d)
{
    unsigned n = 0;

    for (Vm *vm = manager_next_vm(d->manager, NULL); vm; vm = manager_next_vm(d->manager, vm))
        n++;
    return n;
}

static bool has_arrived(gpointer data)
{
    const Arrival *a = data;

    return count_vms(a->domain) >= a->published;
}

Vm *domain_add_vm(Domain *d, FakeVm *f)
{
    Arrival a = {.domain = d, .published = count_vms(d) + 1};
    Vm *last = NULL;

    g_assert_cmpint(manager_accept(d->manager, qmp_peer_take_fd(fake_vm_peer(f))), >=, 0);
    qmp_peer_greet(fake_vm_peer(f));
    event_wait_until(d->event, "a VM that has dialled in", has_arrived, &a);
    event_wait_idle(d->event);
    for (Vm *vm = manager_next_vm(d->manager, NULL); vm; vm = manager_next_vm(d->manager, vm))
        last = vm;
    return last;
}

Disk *domain_disk(Domain *d, const char *vm, const char *disk)
{
    Vm *found = manager_find_vm(d->manager, vm);
    Disk *found_disk = found ? vm_find_disk(found, disk) : NULL;

    g_assert_nonnull(found_disk);
    return found_disk;
}

Request *domain_request(Domain *d)
{
    Request *r = g_new0(Request, 1);

    g_ptr_array_add(d->requests, r);
    return r;
}

void domain_done(const Refusal *refusal, void *request)
{
    Request *r = request;

    r->n_answers++;
    r->kind = refusal->kind;
    g_free(r->text);
    r->text = g_strdup(refusal->text);
}

static void on_attached(const Refusal *refusal, Vm *vm, void *userdata)
{
    Request *r = userdata;

    g_assert_cmpint(vm != NULL, ==, refusal->kind == REFUSAL_NONE);
    r->vm = vm;
    domain_done(refusal, userdata);
}

Request *domain_attach(Domain *d, const char *name, int fd, uid_t uid)
{
    Request *r = domain_request(d);

    manager_attach(d->manager, name, fd, uid, on_attached, r);
    return r;
}

Request *domain_detach(Domain *d, Vm *vm)
{
    Request *r = domain_request(d);

    manager_detach(d->manager, vm, domain_done, r);
    return r;
}

Request *domain_commit(Domain *d, Disk *disk, bool active)
{
    Request *r = domain_request(d);

    disk_commit(disk, &(CommitOptions){.active = active}, /* uid= */ 1000, domain_done, r);
    return r;
}

Request *domain_pivot(Domain *d, Disk *disk)
{
    Request *r = domain_request(d);

    disk_pivot(disk, domain_done, r);
    return r;
}

Request *domain_abort(Domain *d, Disk *disk)
{
    Request *r = domain_request(d);

    disk_abort(disk, domain_done, r);
    return r;
}

Vm *domain_attach_vm(Domain *d, FakeVm *f, const char *name)
{
    Request *r = domain_attach(d, name, qmp_peer_take_fd(fake_vm_peer(f)), /* uid= */ 0);

    qmp_peer_greet(fake_vm_peer(f));
    domain_check_answer(d, r, REFUSAL_NONE);
    event_wait_idle(d->event);
    return r->vm;
}

static bool is_answered(gpointer data)
{
    const Request *r = data;

    return r->n_answers > 0;
}

void domain_check_answer(Domain *d, Request *r, RefusalKind kind)
{
    event_wait_until(d->event, "the answer to a request", is_answered, r);
    if (r->kind != kind)
        g_error("The answer is '%s' (%s), not '%s'", refusal_kind_to_string(r->kind),
                r->text ? r->text : "", refusal_kind_to_string(kind));
    if (kind != REFUSAL_NONE)
        g_assert_cmpstr(r->text, !=, "");
}

unsigned domain_count(const Domain *d, const char *line)
{
    unsigned n = 0;

    for (guint i = 0; i < d->news->len; i++)
        n += g_str_has_prefix(g_ptr_array_index(d->news, i), line);
    return n;
}

typedef struct Awaited {
    const Domain *domain;
    const char *line;
} Awaited;

static bool has_come(gpointer data)
{
    const Awaited *a = data;

    return domain_count(a->domain, a->line) > 0;
}

void domain_wait(Domain *d, const char *line)
{
    Awaited a = {.domain = d, .line = line};

    event_wait_until(d->event, line, has_come, &a);
}

void domain_check_news(Domain *d, const char *expected)
{
    g_autofree char *text = NULL;

    g_ptr_array_add(d->news, NULL);
    text = g_strjoinv(", ", (char **)d->news->pdata);
    g_ptr_array_set_size(d->news, 0);
    g_assert_cmpstr(text, ==, expected);
}

void domain_check_quiet(Domain *d)
{
    event_wait_idle(d->event);
    domain_check_news(d, "");
}
