/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which connections the manager has kept over a restart, as what, and until when.
 */
#include <glib.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "domain.h"
#include "event-wait.h"

typedef struct Kept {
    Domain *domain;
    FakeVm *vm;
    GString *log; /* what was asked of the keeper, each followed by a space */
    uint64_t number;
} Kept;

static void keep(const Vm *vm, uid_t attached_by, void *userdata)
{
    g_string_append_printf(((Kept *)userdata)->log, "keep-%s ", vm_name(vm));
}

static void drop(const Vm *vm, uid_t attached_by, void *userdata)
{
    g_string_append_printf(((Kept *)userdata)->log, "drop-%s ", vm_name(vm));
}

static void keep_newcomer(int fd, uint64_t number, void *userdata)
{
    Kept *k = userdata;
    struct stat st;

    g_assert_no_errno(fstat(fd, &st));
    g_assert_true(S_ISSOCK(st.st_mode));
    k->number = number;
    g_string_append(k->log, "keep-newcomer ");
}

static void drop_newcomer(uint64_t number, void *userdata)
{
    Kept *k = userdata;

    if (k->number > 0)
        g_assert_cmpuint(number, ==, k->number);
    g_string_append(k->log, "drop-newcomer ");
}

static const ManagerKeeper keeper = {
    .keep = keep,
    .drop = drop,
    .keep_newcomer = keep_newcomer,
    .drop_newcomer = drop_newcomer,
};

static Kept *kept_new(void)
{
    Kept *k = g_new0(Kept, 1);

    k->domain = domain_new();
    k->vm = fake_vm_new(k->domain->event, "web1");
    fake_vm_set_disk(k->vm, "vda", "top base");
    k->log = g_string_new(NULL);
    manager_set_keeper(k->domain->manager, &keeper, k);
    return k;
}

static void kept_free(Kept *k)
{
    fake_vm_free(k->vm);
    domain_free(k->domain);
    g_string_free(k->log, TRUE);
    g_free(k);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Kept, kept_free)

static int take_fd(Kept *k)
{
    return qmp_peer_take_fd(fake_vm_peer(k->vm));
}

static void check_log(Kept *k, const char *expected)
{
    event_wait_idle(k->domain->event);
    g_assert_cmpstr(k->log->str, ==, expected);
    g_string_truncate(k->log, 0);
}

/* From the first moment on; as a VM when it is one. */
static void test_newcomer(void)
{
    g_autoptr(Kept) k = kept_new();

    g_assert_cmpint(manager_accept(k->domain->manager, take_fd(k)), >=, 0);
    check_log(k, "keep-newcomer ");
    qmp_peer_greet(fake_vm_peer(k->vm));
    domain_wait(k->domain, "vm-added web1");
    check_log(k, "drop-newcomer keep-web1 ");
    qmp_peer_hang_up(fake_vm_peer(k->vm));
    domain_wait(k->domain, "vm-removed web1");
    check_log(k, "drop-web1 ");
}

/* Kept for longer, its end would never be seen on the other side. */
static void test_newcomer_refused(void)
{
    g_autoptr(Kept) k = kept_new();

    g_assert_cmpint(manager_accept(k->domain->manager, take_fd(k)), >=, 0);
    qmp_peer_say(fake_vm_peer(k->vm), "{'hello': 'world'}");
    check_log(k, "keep-newcomer drop-newcomer ");
    g_assert_true(manager_is_idle(k->domain->manager));
}

static void test_service_stops(void)
{
    g_autoptr(Kept) k = kept_new();

    g_assert_cmpint(manager_accept(k->domain->manager, take_fd(k)), >=, 0);
    k->domain->manager = manager_free(k->domain->manager);
    check_log(k, "keep-newcomer ");
}

/* Nobody waits for it to be in step; it is kept as it was until it is a VM. */
static void test_resumed(void)
{
    g_autoptr(Kept) k = kept_new();

    qmp_peer_stop_reading(fake_vm_peer(k->vm), true);
    g_assert_cmpint(manager_resume_newcomer(k->domain->manager, take_fd(k)), >=, 0);
    check_log(k, "");
    g_assert_true(manager_is_in_step(k->domain->manager));
    qmp_peer_greet(fake_vm_peer(k->vm));
    qmp_peer_stop_reading(fake_vm_peer(k->vm), false);
    domain_wait(k->domain, "vm-added web1");
    check_log(k, "drop-newcomer keep-web1 ");
}

/* The second monitor of a process is in step before the one that was a VM already: that one stays
 * the VM. */
static void test_resumed_with_vm(void)
{
    g_autoptr(Kept) k = kept_new();
    g_autoptr(FakeVm) vm = fake_vm_new(k->domain->event, "web1");

    qmp_peer_stop_reading(fake_vm_peer(vm), true);
    g_assert_cmpint(manager_resume_newcomer(k->domain->manager, take_fd(k)), >=, 0);
    g_assert_cmpint(manager_resume(k->domain->manager, qmp_peer_take_fd(fake_vm_peer(vm)),
                                   VM_DIALLED_IN, "renamed", (uid_t)-1),
                    >=, 0);
    qmp_peer_greet(fake_vm_peer(k->vm));
    domain_check_quiet(k->domain);
    qmp_peer_stop_reading(fake_vm_peer(vm), false);
    domain_wait(k->domain, "vm-added renamed");
    check_log(k, "keep-renamed ");
    g_assert_cmpuint(domain_count(k->domain, "vm-added"), ==, 1);
}

/* Its caller gets an error when the service stops, and brings it again. */
static void test_attached(void)
{
    g_autoptr(Kept) k = kept_new();
    Request *r = domain_attach(k->domain, "web1", take_fd(k), /* uid= */ 0);

    check_log(k, "");
    qmp_peer_greet(fake_vm_peer(k->vm));
    domain_check_answer(k->domain, r, REFUSAL_NONE);
    check_log(k, "keep-web1 ");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keep/newcomer", test_newcomer);
    g_test_add_func("/keep/newcomer-that-is-no-qemu", test_newcomer_refused);
    g_test_add_func("/keep/newcomer-when-the-service-stops", test_service_stops);
    g_test_add_func("/keep/newcomer-resumed", test_resumed);
    g_test_add_func("/keep/newcomer-resumed-with-its-vm", test_resumed_with_vm);
    g_test_add_func("/keep/attached", test_attached);
    return g_test_run();
}
