/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl and the world around it: a terminal, polkit's agent, the socket of a monitor, a pipe
 * that is read while it runs.
 */
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "client-fixture.h"

#define DONE 0
#define FAILED 1
#define DENIED 3
#define NOT_FOUND 4
#define INTERACTIVE SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED

static char *make_directory(void)
{
    g_autoptr(GError) error = NULL;
    char *directory = g_dir_make_tmp("vmdisk-client-XXXXXX", &error);

    g_assert_no_error(error);
    return directory;
}

static void remove_file(const char *directory, const char *name)
{
    g_autofree char *file = g_build_filename(directory, name, NULL);

    g_unlink(file);
}

static bool is_interactive(sd_bus_message *call)
{
    return sd_bus_message_get_allow_interactive_authorization(call) > 0;
}

/* A "pkttyagent" that writes down its process id and stays until it is ended. */
static void install_agent(const char *directory)
{
    g_autofree char *file = g_build_filename(directory, "pkttyagent", NULL);
    g_autofree char *script = g_strdup_printf("#!/bin/sh\n"
                                              "test \"$1\" = --notify-fd || exit 1\n"
                                              "echo $$ > %s/pid\n"
                                              "eval \"exec $2>&-\"\n"
                                              "exec sleep 600\n",
                                              directory);

    g_assert_true(g_file_set_contents(file, script, -1, NULL));
    g_assert_cmpint(g_chmod(file, 0755), ==, 0);
}

static pid_t agent_pid(const char *directory)
{
    g_autofree char *file = g_build_filename(directory, "pid", NULL);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(file, &text, NULL, NULL));
    return (pid_t)g_ascii_strtoll(text, NULL, 10);
}

static void test_password_is_asked_for_on_a_terminal(ClientFixture *f, gconstpointer data)
{
    g_autofree char *directory = make_directory();
    g_autofree char *path = g_strdup_printf("%s:/usr/bin:/bin", directory);

    install_agent(directory);
    g_autoptr(ClientRun) r = client_fixture_run_on_terminal(f, path, "commit", "web1/vda", NULL);

    sd_bus_message *call = fake_service_take(f->service, "Commit");
    g_assert_false(is_interactive(call));
    fake_service_refuse(f->service, call, INTERACTIVE, "Who are you?");

    call = fake_service_take(f->service, "Commit");
    g_assert_true(is_interactive(call));
    /* It is registered before the question can come. */
    pid_t agent = agent_pid(directory);
    g_assert_cmpint(kill(agent, 0), ==, 0);
    fake_service_reply(f->service, call, "s", "job1");
    client_run_end(r, DONE);
    g_assert_null(strstr(client_run_errors(r), "Who are you?"));
    g_assert_cmpint(kill(agent, 0), <, 0);

    remove_file(directory, "pkttyagent");
    remove_file(directory, "pid");
    g_rmdir(directory);
}

static void test_missing_agent_is_no_error(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run_on_terminal(f, "/nonexistent", "commit", "web1/vda", NULL);

    fake_service_refuse(f->service, fake_service_take(f->service, "Commit"), INTERACTIVE, "Who?");
    fake_service_reply(f->service, fake_service_take(f->service, "Commit"), "s", "job1");
    client_run_end(r, DONE);
}

static void assert_asks_once(ClientFixture *f, ClientRun *r)
{
    sd_bus_message *call = fake_service_take(f->service, "Commit");

    g_assert_false(is_interactive(call));
    fake_service_refuse(f->service, call, INTERACTIVE, "Who are you?");
    client_run_end(r, DENIED);
    client_run_assert_complains(r, "Who are you?");
}

static void test_no_password_without_a_terminal(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", NULL);

    assert_asks_once(f, r);
}

static void test_no_password_where_it_is_not_wanted(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run_on_terminal(
        f, /* path= */ NULL, "--no-ask-password", "commit", "web1/vda", NULL);

    assert_asks_once(f, r);
}

static void test_bar_on_a_terminal(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_progress(f->disk, 25, 100);
    g_autoptr(ClientRun) r = client_fixture_run_on_terminal(f, NULL, "wait", "web1/vda", NULL);

    client_run_wait_for(r, "web1/vda: running  25% ▕██████████░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░▏ 25 B "
                           "of 100 B");
    fake_disk_set_state(f->disk, "ready");
    client_run_end(r, DONE);
    /* The line is empty when the shell comes back. */
    g_assert_true(g_str_has_suffix(client_run_errors(r), "\r\033[K"));
}

static void test_bar_is_gone_before_the_result(ClientFixture *f, gconstpointer data)
{
    ClientWorld world = {
        .event = fake_service_event(f->service),
        .bus_address = fake_service_address(f->service),
        .terminal = true,
        .all_terminal = true,
    };

    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r =
        client_run_new(&world, (const char *const[]){"wait", "web1/vda", NULL});
    client_run_wait_for(r, "web1/vda: running");
    fake_disk_set_state(f->disk, "ready");
    client_run_end(r, DONE);
    client_run_assert_complains(r, "\r\033[Kweb1/vda: the job is ready.");
}

static void test_no_progress_with_json(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_state(f->disk, "ready");
    g_autoptr(ClientRun) r =
        client_fixture_run_on_terminal(f, NULL, "--json=short", "wait", "web1/vda", NULL);

    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_errors(r), ==, "");
    client_run_assert_says(r, "\"result\":\"ready\"");
}

static int listen_at(const char *directory, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    /* The path can be longer than an address: it is bound from inside the directory. */
    g_autofree char *here = g_get_current_dir();
    g_assert_cmpint(g_chdir(directory), ==, 0);
    g_strlcpy(address.sun_path, name, sizeof(address.sun_path));
    g_assert_cmpint(bind(fd, (const struct sockaddr *)&address, sizeof(address)), ==, 0);
    g_assert_cmpint(listen(fd, 1), ==, 0);
    g_assert_cmpint(g_chdir(here), ==, 0);
    return fd;
}

/* What the service gets is the caller's connection to that socket. */
static void assert_attaches(ClientFixture *f, const char *directory)
{
    g_autofree char *socket_path = g_build_filename(directory, "qmp", NULL);
    int listener = listen_at(directory, "qmp"), fd;
    const char *name;
    char greeting[3] = "";

    g_autoptr(ClientRun) r = client_fixture_run(f, "attach", "my vm", socket_path, NULL);
    sd_bus_message *call = fake_service_take(f->service, "AttachVM");
    g_assert_cmpint(sd_bus_message_read(call, "sh", &name, &fd), >, 0);
    g_assert_cmpstr(name, ==, "my vm");

    int peer = accept(listener, NULL, NULL);
    g_assert_cmpint(peer, >=, 0);
    g_assert_cmpint(write(peer, "hi", 2), ==, 2);
    g_assert_cmpint(read(fd, greeting, sizeof(greeting)), ==, 2);
    g_assert_cmpstr(greeting, ==, "hi");

    fake_service_reply(f->service, call, "o", "/org/vmdisk1/vm/my_20vm");
    client_run_end(r, DONE);
    client_run_assert_says(r, "vmdiskctl status 'my vm'");
    close(peer);
    close(listener);
    remove_file(directory, "qmp");
}

static void test_attach_passes_the_connection(ClientFixture *f, gconstpointer data)
{
    g_autofree char *directory = make_directory();

    assert_attaches(f, directory);
    g_rmdir(directory);
}

static void test_attach_by_a_long_path(ClientFixture *f, gconstpointer data)
{
    g_autofree char *directory = make_directory();
    g_autofree char *name = g_strnfill(200, 'd');
    g_autofree char *deep = g_build_filename(directory, name, NULL);

    g_assert_cmpint(g_mkdir(deep, 0700), ==, 0);
    assert_attaches(f, deep);
    g_rmdir(deep);
    g_rmdir(directory);
}

static void test_attach_what_is_no_monitor(ClientFixture *f, gconstpointer data)
{
    g_autofree char *directory = make_directory();
    g_autofree char *missing = g_build_filename(directory, "missing", NULL);
    g_autoptr(ClientRun) first = client_fixture_run(f, "attach", "vm", missing, NULL);
    g_autoptr(ClientRun) second = client_fixture_run(f, "attach", "vm", "/dev/null", NULL);

    client_run_end(first, NOT_FOUND);
    client_run_assert_complains(first, missing);
    client_run_end(second, FAILED);
    client_run_assert_complains(second, "/dev/null");
    fake_service_assert_no_call(f->service);
    g_rmdir(directory);
}

/* Each line is there when it happens, not when a buffer is full. */
static void test_monitor_tells_at_once(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "--json=short", "monitor", NULL);

    client_run_wait_for(r, "Ctrl-C");
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_say_ready(f->disk);
    client_run_wait_for_output(r, "\"event\":\"ready\"");
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_wait_for_output(r, "\"result\":\"completed\"");
    client_run_signal(r, SIGINT);
    client_run_end(r, DONE);
    client_run_assert_says(r, "\"vm\":\"web1\",\"disk\":\"vda\",\"job\":\"job1\"");
}

static void test_no_service(ClientFixture *f, gconstpointer data)
{
    fake_service_leave(f->service);
    g_autoptr(ClientRun) r = client_fixture_run(f, "list", NULL);

    client_run_end(r, NOT_FOUND);
    client_run_assert_complains(r, "org.vmdisk1 cannot be reached on the system bus");
    client_run_assert_complains(r, "\"systemctl start vmdiskd\" starts it.");
}

static void test_monitor_waits_for_the_service(ClientFixture *f, gconstpointer data)
{
    fake_service_leave(f->service);
    g_autoptr(ClientRun) r = client_fixture_run(f, "monitor", NULL);

    client_run_wait_for(r, "org.vmdisk1 is not on the system bus. It is waited for");
    client_run_wait_for(r, "\"systemctl start vmdiskd\"");
    fake_service_return(f->service);
    client_run_wait_for(r, "The service org.vmdisk1 is there.");
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_say_ready(f->disk);
    client_run_wait_for_output(r, "web1/vda: commit ready (job1)");
    fake_service_leave(f->service);
    client_run_wait_for(r, "org.vmdisk1 has left the system bus. It is waited for");
    client_run_signal(r, SIGINT);
    client_run_end(r, DONE);
}

static void test_quiet_monitor(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "--quiet", "monitor", NULL);

    /* It hears what comes after the bus has answered it. */
    while (!strstr(client_run_output(r), "ready")) {
        fake_disk_start_job(f->disk, "job1", true);
        fake_disk_say_ready(f->disk);
        fake_disk_finish_job(f->disk, "completed", "", "");
        sd_event_run(fake_service_event(f->service), 1000);
    }
    fake_service_leave(f->service);
    client_run_signal(r, SIGINT);
    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_errors(r), ==, "");
}

static void test_output_that_cannot_be_written(ClientFixture *f, gconstpointer data)
{
    ClientWorld world = {
        .event = fake_service_event(f->service),
        .bus_address = fake_service_address(f->service),
        .output = "/dev/full",
    };
    g_autoptr(ClientRun) r = client_run_new(&world, (const char *const[]){"list", NULL});

    client_run_end(r, FAILED);
    client_run_assert_complains(r, "No space left on device");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"password-is-asked-for-on-a-terminal", test_password_is_asked_for_on_a_terminal},
        {"missing-agent-is-no-error", test_missing_agent_is_no_error},
        {"no-password-without-a-terminal", test_no_password_without_a_terminal},
        {"no-password-where-it-is-not-wanted", test_no_password_where_it_is_not_wanted},
        {"bar-on-a-terminal", test_bar_on_a_terminal},
        {"bar-is-gone-before-the-result", test_bar_is_gone_before_the_result},
        {"no-progress-with-json", test_no_progress_with_json},
        {"attach-passes-the-connection", test_attach_passes_the_connection},
        {"attach-by-a-long-path", test_attach_by_a_long_path},
        {"attach-what-is-no-monitor", test_attach_what_is_no_monitor},
        {"no-service", test_no_service},
        {"monitor-tells-at-once", test_monitor_tells_at_once},
        {"monitor-waits-for-the-service", test_monitor_waits_for_the_service},
        {"quiet-monitor", test_quiet_monitor},
        {"output-that-cannot-be-written", test_output_that_cannot_be_written},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client-world/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
