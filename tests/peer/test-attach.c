/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * AttachVM: descriptors that are no monitor, monitors that are no QEMU, names, limits.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "domain.h"
#include "event-wait.h"

#define UID_USER 1000
/* Descriptors that a test of the greatest number of VMs needs: two ends each, and some. */
#define DESCRIPTORS (2 * MANAGER_VMS_MAX + 100)

static int make_pipe(void)
{
    int fds[2];

    g_assert_no_errno(pipe2(fds, O_CLOEXEC));
    close(fds[1]);
    return fds[0];
}

static int make_file(void)
{
    return memfd_create("test", MFD_CLOEXEC);
}

static int make_directory(void)
{
    return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int make_listening(void)
{
    const struct sockaddr_un autobind = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_no_errno(bind(fd, (const struct sockaddr *)&autobind, sizeof(sa_family_t)));
    g_assert_no_errno(listen(fd, 1));
    return fd;
}

static int make_unconnected(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int make_pair(int type)
{
    int fds[2];

    g_assert_no_errno(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
    close(fds[1]);
    return fds[0];
}

static int make_datagram(void)
{
    return make_pair(SOCK_DGRAM);
}

static int make_packets(void)
{
    return make_pair(SOCK_SEQPACKET);
}

static int make_nothing(void)
{
    return -1;
}

/* Refused before a byte is read, and closed. */
static void test_descriptors(void)
{
    static int (*const makers[])(void) = {
        make_pipe,        make_file,     make_directory, make_listening,
        make_unconnected, make_datagram, make_packets,   make_nothing,
    };
    g_autoptr(Domain) d = domain_new();

    for (size_t i = 0; i < G_N_ELEMENTS(makers); i++) {
        int fd = makers[i]();

        domain_check_answer(d, domain_attach(d, "web1", fd, UID_USER), REFUSAL_INVALID_ARGS);
        g_assert_cmpint(fcntl(fd, F_GETFD), ==, -1);
        g_assert_cmpint(errno, ==, EBADF);
        g_assert_true(manager_is_idle(d->manager));
    }
    domain_check_quiet(d);
}

static Request *attach(Domain *d, QmpPeer *peer, const char *name)
{
    return domain_attach(d, name, qmp_peer_take_fd(peer), UID_USER);
}

static void test_reply_comes_first(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(FakeVm) f = fake_vm_new(d->event, "other-name");
    Request *r;

    fake_vm_set_disk(f, "vda", "top base");
    r = attach(d, fake_vm_peer(f), "web1");
    domain_check_quiet(d);
    g_assert_cmpuint(r->n_answers, ==, 0);
    g_assert_false(manager_is_idle(d->manager));
    qmp_peer_greet(fake_vm_peer(f));
    domain_check_answer(d, r, REFUSAL_NONE);
    /* The caller's name counts. */
    g_assert_cmpstr(vm_name(r->vm), ==, "web1");
    g_assert_cmpint(vm_origin(r->vm), ==, VM_ATTACHED);
    domain_check_news(d, "vm-added web1, disk-added vda");
}

static void test_names(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autofree char *longest = g_strnfill(MANAGER_NAME_MAX, 'x');
    g_autofree char *longer = g_strnfill(MANAGER_NAME_MAX + 1, 'x');
    g_autoptr(QmpPeer) empty = qmp_peer_new(d->event), too_long = qmp_peer_new(d->event);
    g_autoptr(QmpPeer) long_enough = qmp_peer_new(d->event), taken = qmp_peer_new(d->event);

    domain_check_answer(d, attach(d, empty, ""), REFUSAL_INVALID_ARGS);
    domain_check_answer(d, attach(d, too_long, longer), REFUSAL_INVALID_ARGS);
    (void)attach(d, long_enough, longest);
    /* It has not greeted yet, and has its name all the same. */
    domain_check_answer(d, attach(d, taken, longest), REFUSAL_INVALID_ARGS);
    event_wait_idle(d->event);
    g_assert_true(qmp_peer_is_alone(taken));
    g_assert_false(qmp_peer_is_alone(long_enough));
}

static void test_name_of_living_vm(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(FakeVm) f = fake_vm_new(d->event, "web1");
    g_autoptr(QmpPeer) peer = qmp_peer_new(d->event);

    (void)domain_add_vm(d, f);
    domain_check_answer(d, attach(d, peer, "web1"), REFUSAL_INVALID_ARGS);
}

/* Another client holds the monitor: QEMU says nothing at all. */
static void test_silent_monitor(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(QmpPeer) peer = qmp_peer_new(d->event);

    domain_check_answer(d, attach(d, peer, "web1"), REFUSAL_MONITOR_BUSY);
    event_wait_idle(d->event);
    g_assert_true(manager_is_idle(d->manager));
    g_assert_true(qmp_peer_is_alone(peer));
    domain_check_quiet(d);
}

typedef void (*SpoilFunc)(QmpPeer *peer);

static void hang_up(QmpPeer *peer)
{
    qmp_peer_hang_up(peer);
}

static void say_nonsense(QmpPeer *peer)
{
    static const char nonsense[] = "SSH-2.0-OpenSSH_9.2\r\n";

    qmp_peer_send(peer, nonsense, strlen(nonsense));
}

static void say_json(QmpPeer *peer)
{
    qmp_peer_say(peer, "{'hello': 'world'}");
}

static void refuse_capabilities(QmpPeer *peer)
{
    qmp_peer_refuse(peer, "qmp_capabilities", "GenericError", "no");
    qmp_peer_greet(peer);
}

static void hang_up_on_graph(QmpPeer *peer)
{
    qmp_peer_hang_up_on(peer, "x-debug-query-block-graph");
    qmp_peer_greet(peer);
}

static void refuse_graph(QmpPeer *peer)
{
    qmp_peer_refuse(peer, "x-debug-query-block-graph", "CommandNotFound", "no such command");
    qmp_peer_greet(peer);
}

static void lie_about_graph(QmpPeer *peer)
{
    qmp_peer_answer(peer, "query-block", "7");
    qmp_peer_greet(peer);
}

static void test_no_qemu(void)
{
    static const SpoilFunc spoilers[] = {
        hang_up,          say_nonsense, say_json,        refuse_capabilities,
        hang_up_on_graph, refuse_graph, lie_about_graph,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(spoilers); i++) {
        g_autoptr(Domain) d = domain_new();
        g_autoptr(FakeVm) f = fake_vm_new(d->event, "web1");
        Request *r = attach(d, fake_vm_peer(f), "web1");

        spoilers[i](fake_vm_peer(f));
        domain_check_answer(d, r, REFUSAL_DISCONNECTED);
        event_wait_idle(d->event);
        g_assert_true(manager_is_idle(d->manager));
        domain_check_quiet(d);
    }
}

/* The same, from a process that dials in: nobody waits for an answer. */
static void test_no_qemu_dials_in(void)
{
    static const SpoilFunc spoilers[] = {
        hang_up, say_nonsense, say_json, refuse_capabilities, refuse_graph, lie_about_graph,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(spoilers); i++) {
        g_autoptr(Domain) d = domain_new();
        g_autoptr(FakeVm) f = fake_vm_new(d->event, "web1");

        g_assert_cmpint(manager_accept(d->manager, qmp_peer_take_fd(fake_vm_peer(f))), >=, 0);
        spoilers[i](fake_vm_peer(f));
        event_wait_idle(d->event);
        g_assert_true(manager_is_idle(d->manager));
        domain_check_quiet(d);
    }
}

/* As many as one uid may attach, none of which has greeted. */
static GPtrArray *attach_many(Domain *d, uid_t uid)
{
    GPtrArray *peers = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_peer_free);

    for (unsigned i = 0; i < MANAGER_ATTACHED_PER_UID_MAX; i++) {
        g_autofree char *name = g_strdup_printf("vm-%u-%u", (unsigned)uid, i);
        QmpPeer *peer = qmp_peer_new(d->event);
        Request *r = domain_attach(d, name, qmp_peer_take_fd(peer), uid);

        g_ptr_array_add(peers, peer);
        g_assert_cmpuint(r->n_answers, ==, 0);
    }
    return peers;
}

static void test_limit_of_a_uid(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(GPtrArray) first = attach_many(d, UID_USER);
    g_autoptr(QmpPeer) peer = qmp_peer_new(d->event);

    domain_check_answer(d, attach(d, peer, "one-more"), REFUSAL_LIMIT_EXCEEDED);
}

/* Nobody else suffers, and root has no such limit. */
static void test_limit_is_of_one_uid(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(GPtrArray) first = attach_many(d, UID_USER), second = attach_many(d, UID_USER + 1);
    g_autoptr(GPtrArray) root = attach_many(d, 0);
    g_autoptr(QmpPeer) peer = qmp_peer_new(d->event);

    g_assert_cmpuint(domain_attach(d, "one-more", qmp_peer_take_fd(peer), 0)->n_answers, ==, 0);
}

static void test_room_again(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(GPtrArray) peers = attach_many(d, UID_USER);
    g_autoptr(QmpPeer) peer = qmp_peer_new(d->event);

    qmp_peer_hang_up(g_ptr_array_index(peers, 1));
    event_wait_idle(d->event);
    g_assert_cmpuint(attach(d, peer, "one-more")->n_answers, ==, 0);
}

static bool raise_descriptor_limit(void)
{
    struct rlimit limit;

    g_assert_no_errno(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_max < DESCRIPTORS)
        return false;
    limit.rlim_cur = MAX(limit.rlim_cur, DESCRIPTORS);
    g_assert_no_errno(setrlimit(RLIMIT_NOFILE, &limit));
    return true;
}

static void test_limit_of_vms(void)
{
    g_autoptr(Domain) d = NULL;
    g_autoptr(GPtrArray) peers = g_ptr_array_new_with_free_func((GDestroyNotify)qmp_peer_free);
    QmpPeer *last;

    if (!raise_descriptor_limit()) {
        g_test_skip("Too few descriptors are allowed here");
        return;
    }
    d = domain_new();
    for (unsigned i = 0; i <= MANAGER_VMS_MAX; i++) {
        g_ptr_array_add(peers, qmp_peer_new(d->event));
        if (i < MANAGER_VMS_MAX)
            g_assert_cmpint(
                manager_accept(d->manager, qmp_peer_take_fd(g_ptr_array_index(peers, i))), >=, 0);
    }
    last = g_ptr_array_index(peers, MANAGER_VMS_MAX);
    domain_check_answer(d, domain_attach(d, "one-more", qmp_peer_take_fd(last), 0),
                        REFUSAL_LIMIT_EXCEEDED);
}

static void test_service_ends(void)
{
    g_autoptr(Domain) d = domain_new();
    g_autoptr(QmpPeer) peer = qmp_peer_new(d->event);
    Request *r = attach(d, peer, "web1");

    d->manager = manager_free(d->manager);
    domain_check_answer(d, r, REFUSAL_DISCONNECTED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/attach/descriptors", test_descriptors);
    g_test_add_func("/attach/reply-comes-first", test_reply_comes_first);
    g_test_add_func("/attach/names", test_names);
    g_test_add_func("/attach/name-of-living-vm", test_name_of_living_vm);
    g_test_add_func("/attach/silent-monitor", test_silent_monitor);
    g_test_add_func("/attach/no-qemu", test_no_qemu);
    g_test_add_func("/attach/no-qemu-dials-in", test_no_qemu_dials_in);
    g_test_add_func("/attach/limit-of-a-uid", test_limit_of_a_uid);
    g_test_add_func("/attach/limit-is-of-one-uid", test_limit_is_of_one_uid);
    g_test_add_func("/attach/room-again", test_room_again);
    g_test_add_func("/attach/limit-of-vms", test_limit_of_vms);
    g_test_add_func("/attach/service-ends", test_service_ends);
    return g_test_run();
}
