/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who is at the other end of a socket, and what a VM without a name is called.
 */
#include <glib.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "peer.h"

static void make_pair(int fds[2])
{
    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
}

static void test_process(void)
{
    Peer p;
    int fds[2];

    make_pair(fds);
    g_assert_cmpint(peer_init(&p, fds[0]), ==, 0);
    g_assert_cmpint(p.pid, ==, getpid());
    g_assert_cmpuint(p.uid, ==, getuid());
    g_assert_nonnull(p.unit);
    g_assert_cmpstr(p.instance, !=, "");
    peer_done(&p);
    peer_done(&p);
    close(fds[0]);
    close(fds[1]);
}

static void test_instance_is_the_process(void)
{
    Peer first, second;
    int a[2], b[2];

    make_pair(a);
    make_pair(b);
    g_assert_cmpint(peer_init(&first, a[0]), ==, 0);
    g_assert_cmpint(peer_init(&second, b[0]), ==, 0);
    g_assert_cmpstr(first.instance, ==, second.instance);
    peer_done(&first);
    peer_done(&second);
    for (unsigned i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
    }
}

/* The kernel knows no process behind a socket of the network. */
static void test_network(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    Peer p;

    g_assert_no_errno(bind(listener, (struct sockaddr *)&address, sizeof(address)));
    g_assert_no_errno(listen(listener, 1));
    g_assert_no_errno(getsockname(listener, (struct sockaddr *)&address, &length));
    g_assert_no_errno(connect(fd, (struct sockaddr *)&address, length));
    g_assert_cmpint(peer_init(&p, fd), ==, 0);
    g_assert_cmpint(p.pid, ==, 0);
    g_assert_cmpuint(p.uid, ==, (uid_t)-1);
    g_assert_cmpstr(p.unit, ==, "");
    peer_done(&p);
    close(fd);
    close(listener);
}

static void test_name(void)
{
    static const struct {
        const char *unit, *name;
    } cases[] = {
        {"vm@web1.service", "web1"},     {"web1.service", "web1"},
        {"a@b@c.service", "b@c"},        {"my-vm.slice.service", "my-vm.slice"},
        {"vm@.service", "qemu-7"},       {".service", "qemu-7"},
        {"user@1000.service", "qemu-7"}, {"session-1.scope", "qemu-7"},
        {"machine.slice", "qemu-7"},     {"", "qemu-7"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        char *name = peer_make_name(&(const Peer){.pid = 7, .unit = (char *)cases[i].unit});

        g_assert_cmpstr(name, ==, cases[i].name);
        free(name);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/peer/process", test_process);
    g_test_add_func("/peer/instance-is-the-process", test_instance_is_the_process);
    g_test_add_func("/peer/network", test_network);
    g_test_add_func("/peer/name", test_name);
    return g_test_run();
}
