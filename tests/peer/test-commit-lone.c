/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A storage daemon whose chain nobody uses: neither device nor export follows a pivot, so that it
 * is known by having been asked for.
 */
#include <glib.h>
#include <stdbool.h>

#include "event-wait.h"
#include "domain.h"

typedef struct Lone {
    Domain *domain;
    FakeVm *vm;
    QmpPeer *peer;
    Disk *disk;
} Lone;

static Lone *lone_new(void)
{
    Lone *l = g_new0(Lone, 1);

    l->domain = domain_new();
    l->vm = fake_vm_new(l->domain->event, NULL);
    l->peer = fake_vm_peer(l->vm);
    fake_vm_set_chain(l->vm, "chain", "top mid base");
    fake_vm_set_writable(l->vm, "base");
    l->disk = vm_next_disk(domain_add_vm(l->domain, l->vm), NULL);
    g_assert_cmpstr(disk_name(l->disk), ==, "top");
    g_ptr_array_set_size(l->domain->news, 0);
    return l;
}

static void lone_free(Lone *l)
{
    domain_free(l->domain);
    fake_vm_free(l->vm);
    g_free(l);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lone, lone_free)

static QmpPeerCommand *hold(Lone *l, Request *(*end)(Domain *, Disk *), const char *command)
{
    Request *commit = domain_commit(l->domain, l->disk, true), *asked;
    QmpPeerCommand *c = qmp_peer_expect(l->peer, "block-commit");

    fake_vm_add_job(l->vm, c, "ready");
    qmp_peer_reply(l->peer, c, "{}");
    domain_check_answer(l->domain, commit, REFUSAL_NONE);
    domain_wait(l->domain, "job-ready");
    asked = end(l->domain, l->disk);
    qmp_peer_reply(l->peer, qmp_peer_expect(l->peer, command), "{}");
    domain_check_answer(l->domain, asked, REFUSAL_NONE);
    fake_vm_move(l->vm, "pending");
    return qmp_peer_expect(l->peer, g_str_equal(command, "block-job-cancel") ? "job-cancel"
                                                                             : "job-finalize");
}

/* The nodes stay as they are; then the job is dismissed. */
static void conclude(Lone *l, const QmpPeerCommand *finalize)
{
    fake_vm_move(l->vm, "concluded");
    qmp_peer_reply(l->peer, finalize, "{}");

    QmpPeerCommand *c = qmp_peer_expect(l->peer, "job-dismiss");
    fake_vm_move(l->vm, NULL);
    qmp_peer_reply(l->peer, c, "{}");
    event_wait_idle(l->domain->event);
}

static void read_again(Lone *l)
{
    qmp_peer_event(l->peer, "DEVICE_TRAY_MOVED", NULL);
    event_wait_idle(l->domain->event);
}

static void test_pivot(void)
{
    g_autoptr(Lone) l = lone_new();

    conclude(l, hold(l, domain_pivot, "job-complete"));
    domain_check_news(l->domain, "job-started top, job-changed top ready, job-ready top, "
                                 "job-changed top pivoting, disk-changed top, "
                                 "job-finished top completed");
    /* It has its name for life, and shows the base from now on, whatever is above it still. */
    g_assert_cmpuint(disk_chain(l->disk)->n, ==, 1);
    g_assert_cmpstr(disk_chain(l->disk)->images[0].node, ==, "base");
    read_again(l);
    domain_check_quiet(l->domain);
    g_assert_cmpuint(qmp_peer_count(l->peer, "blockdev-del"), ==, 2);

    /* The overlays are closed. */
    fake_vm_set_chain(l->vm, "chain", "base");
    read_again(l);
    domain_check_quiet(l->domain);
    g_assert_cmpuint(vm_count_disks(disk_vm(l->disk)), ==, 1);
    domain_check_answer(l->domain, domain_commit(l->domain, l->disk, true),
                        REFUSAL_NOTHING_TO_COMMIT);
}

static void test_keep(void)
{
    g_autoptr(Lone) l = lone_new();

    QmpPeerCommand *c = hold(l, domain_abort, "block-job-cancel");

    fake_vm_set_error(l->vm, "Operation canceled");
    conclude(l, c);
    g_assert_cmpuint(domain_count(l->domain, "job-finished top kept"), ==, 1);
    g_assert_cmpuint(disk_chain(l->disk)->n, ==, 3);
    g_assert_cmpuint(qmp_peer_count(l->peer, "blockdev-del"), ==, 0);
}

/* QEMU could not: the chain is what it was, and so is the disk. */
static void test_failure(void)
{
    g_autoptr(Lone) l = lone_new();
    QmpPeerCommand *c = hold(l, domain_pivot, "job-complete");

    fake_vm_set_error(l->vm, "Input/output error");
    conclude(l, c);
    g_assert_cmpuint(domain_count(l->domain, "job-finished top failed"), ==, 1);
    g_assert_cmpuint(disk_chain(l->disk)->n, ==, 3);
    g_assert_cmpuint(qmp_peer_count(l->peer, "blockdev-del"), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-lone/pivot", test_pivot);
    g_test_add_func("/commit-lone/abort-when-ready-keeps-overlay", test_keep);
    g_test_add_func("/commit-lone/failure", test_failure);
    return g_test_run();
}
