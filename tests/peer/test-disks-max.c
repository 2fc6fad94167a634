/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * As many disks as there may be, over all VMs; and one more.
 */
#include <glib.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include "domain.h"
#include "event-wait.h"
#include "log.h"

/* VMs with as many disks as each may have, which together have all that there may be. */
#define VMS (MANAGER_DISKS_MAX / VM_DISKS_MAX)

/* Lines that say so. The program is linked with --wrap=log_line. */
static unsigned n_told;

void __wrap_log_line(int priority, const LogContext *context, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void __wrap_log_line(int priority, const LogContext *context, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list list;

    va_start(list, format);
    text = g_strdup_vprintf(format, list);
    va_end(list);
    n_told += strstr(text, "not shown") != NULL;
}

typedef struct Host {
    Domain *domain;
    FakeVm *vms[VMS];
    FakeVm *last; /* with one disk too many */
} Host;

/* All but the first disk are without a medium: there is nothing to put on record of them. */
static FakeVm *add_vm(Domain *d, const char *name, unsigned disks)
{
    FakeVm *f = fake_vm_new(d->event, name);
    g_autofree char *nodes = g_strdup_printf("%s %s-base", name, name);

    for (unsigned i = 0; i < disks; i++) {
        g_autofree char *id = g_strdup_printf("d%u", i);

        fake_vm_set_disk(f, id, i == 0 ? nodes : "");
    }
    g_assert_cmpuint(vm_count_disks(domain_attach_vm(d, f, name)), <=, disks);
    return f;
}

static Host *host_new(void)
{
    Host *h = g_new0(Host, 1);

    n_told = 0;
    h->domain = domain_new();
    for (unsigned i = 0; i < VMS; i++) {
        g_autofree char *name = g_strdup_printf("vm%u", i);

        h->vms[i] = add_vm(h->domain, name, VM_DISKS_MAX);
    }
    g_assert_cmpuint(domain_count(h->domain, "disk-added"), ==, MANAGER_DISKS_MAX);
    g_assert_cmpuint(n_told, ==, 0);
    h->last = add_vm(h->domain, "last", 1);
    return h;
}

static void host_free(Host *h)
{
    domain_free(h->domain);
    for (unsigned i = 0; i < VMS; i++)
        fake_vm_free(h->vms[i]);
    fake_vm_free(h->last);
    g_free(h);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Host, host_free)

/* Something changed: all is looked at again. */
static void touch(Host *h, FakeVm *f)
{
    qmp_peer_event(fake_vm_peer(f), "DEVICE_TRAY_MOVED", NULL);
    event_wait_idle(h->domain->event);
}

/* The VM is there without it, which is told once. */
static void test_one_more(void)
{
    g_autoptr(Host) h = host_new();
    const Vm *last = manager_find_vm(h->domain->manager, "last");

    g_assert_cmpuint(vm_count_disks(last), ==, 0);
    g_assert_cmpuint(n_told, ==, 1);
    touch(h, h->last);
    g_assert_cmpuint(vm_count_disks(last), ==, 0);
    g_assert_cmpuint(n_told, ==, 1);
    g_assert_cmpuint(domain_count(h->domain, "disk-removed"), ==, 0);
    g_assert_cmpuint(domain_count(h->domain, "vm-removed"), ==, 0);
}

static void test_others_work(void)
{
    g_autoptr(Host) h = host_new();
    Request *r = domain_commit(h->domain, domain_disk(h->domain, "vm0", "d0"), true);
    QmpPeerCommand *c = qmp_peer_expect(fake_vm_peer(h->vms[0]), "block-commit");

    fake_vm_add_job(h->vms[0], c, "running");
    qmp_peer_reply(fake_vm_peer(h->vms[0]), c, "{}");
    domain_check_answer(h->domain, r, REFUSAL_NONE);
}

static void test_room_again(void)
{
    g_autoptr(Host) h = host_new();

    fake_vm_set_disk(h->vms[0], "d0", NULL);
    touch(h, h->vms[0]);
    g_assert_cmpuint(domain_count(h->domain, "disk-removed"), ==, 1);
    touch(h, h->last);
    g_assert_cmpuint(vm_count_disks(manager_find_vm(h->domain->manager, "last")), ==, 1);
    g_assert_cmpuint(n_told, ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/disks-max/one-more-is-not-shown", test_one_more);
    g_test_add_func("/disks-max/others-work", test_others_work);
    g_test_add_func("/disks-max/room-again", test_room_again);
    return g_test_run();
}
