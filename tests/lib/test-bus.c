/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A private D-Bus daemon for a test.
 */
#include "test-bus.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"

/* What is not allowed here is what a distribution's system.conf does not allow either, except that
 * anybody may be polkit. */
static const char config[] =
    "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN'"
    " 'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>\n"
    "<busconfig>\n"
    "  <type>system</type>\n"
    "  <auth>EXTERNAL</auth>\n"
    "  <listen>unix:path=%s/bus</listen>\n"
    "  <policy context='default'>\n"
    "    <allow user='*'/>\n"
    "    <deny own='*'/>\n"
    "    <deny send_type='method_call'/>\n"
    "    <allow send_type='signal'/>\n"
    "    <allow send_requested_reply='true' send_type='method_return'/>\n"
    "    <allow send_requested_reply='true' send_type='error'/>\n"
    "    <allow receive_type='method_call'/>\n"
    "    <allow receive_type='method_return'/>\n"
    "    <allow receive_type='error'/>\n"
    "    <allow receive_type='signal'/>\n"
    "    <allow send_destination='org.freedesktop.DBus'/>\n"
    "    <allow own='org.freedesktop.PolicyKit1'/>\n"
    "    <allow send_destination='org.freedesktop.PolicyKit1'/>\n"
    "  </policy>\n"
    "  <include>%s</include>\n"
    "  %s\n"
    "</busconfig>\n";

struct TestBus {
    char *directory, *config, *socket, *address;
    Process *daemon;
};

/* The daemon prints its address when it listens. */
static void wait_for_address(int fd)
{
    gint64 left = wait_deadline() - g_get_monotonic_time();
    struct pollfd p = {.fd = fd, .events = POLLIN};

    g_assert_cmpint(poll(&p, 1, (int)(left / 1000)), ==, 1);
    g_assert_true(p.revents & POLLIN);
}

TestBus *test_bus_start(const char *extra_policy)
{
    TestBus *b = g_new0(TestBus, 1);
    g_autoptr(GError) error = NULL;
    int fds[2];

    b->directory = g_dir_make_tmp("vmdisk-bus-XXXXXX", &error);
    g_assert_no_error(error);
    g_assert_cmpint(chmod(b->directory, 0755), ==, 0); /* for clients of other users */
    b->config = g_build_filename(b->directory, "bus.conf", NULL);
    b->socket = g_build_filename(b->directory, "bus", NULL);
    b->address = g_strdup_printf("unix:path=%s", b->socket);

    g_autofree char *policy =
        g_test_build_filename(G_TEST_DIST, "policy", "org.vmdisk1.conf", NULL);
    g_autofree char *text =
        g_strdup_printf(config, b->directory, policy, extra_policy ? extra_policy : "");
    g_file_set_contents(b->config, text, -1, &error);
    g_assert_no_error(error);

    g_assert_cmpint(pipe2(fds, O_CLOEXEC), ==, 0);
    g_autofree char *config_option = g_strdup_printf("--config-file=%s", b->config);
    g_autofree char *address_option = g_strdup_printf("--print-address=%d", fds[1]);
    char *argv[] = {(char *)"dbus-daemon", (char *)"--nofork", (char *)"--nopidfile",
                    config_option,         address_option,     NULL};
    b->daemon = process_start(argv, /* environment= */ NULL, (const int[]){fds[1], -1});
    close(fds[1]);
    wait_for_address(fds[0]);
    close(fds[0]);
    return b;
}

void test_bus_free(TestBus *b)
{
    process_free(b->daemon);
    g_unlink(b->socket);
    g_unlink(b->config);
    g_rmdir(b->directory);
    g_free(b->directory);
    g_free(b->config);
    g_free(b->socket);
    g_free(b->address);
    g_free(b);
}

const char *test_bus_address(const TestBus *b)
{
    return b->address;
}

sd_bus *test_bus_connect(const TestBus *b, sd_event *event, uid_t uid)
{
    uid_t own = geteuid();
    sd_bus *connection;

    g_assert_cmpint(sd_bus_new(&connection), ==, 0);
    g_assert_cmpint(sd_bus_set_address(connection, b->address), >=, 0);
    g_assert_cmpint(sd_bus_set_bus_client(connection, true), >=, 0);
    g_assert_cmpint(sd_bus_negotiate_fds(connection, true), >=, 0);

    /* The bus goes by the credentials that the socket had when it was connected. */
    g_assert_cmpint(seteuid(uid), ==, 0);
    int k = sd_bus_start(connection);
    g_assert_cmpint(seteuid(own), ==, 0);

    g_assert_cmpint(k, >=, 0);
    g_assert_cmpint(sd_bus_attach_event(connection, event, SD_EVENT_PRIORITY_NORMAL), >=, 0);
    return connection;
}

void test_bus_disconnect(sd_bus *connection)
{
    sd_bus_detach_event(connection);
    sd_bus_close(connection);
    sd_bus_unref(connection);
}

void test_bus_run_until(sd_event *event, const char *what, WaitFunc condition, gpointer data)
{
    gint64 deadline = wait_deadline();

    while (!condition(data)) {
        gint64 left = deadline - g_get_monotonic_time();
        if (left <= 0)
            g_error("Waited too long: %s", what);
        g_assert_cmpint(sd_event_run(event, (uint64_t)left), >=, 0);
    }
}
