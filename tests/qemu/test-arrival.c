/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How VMs come and go: dialling in before, during and after the daemon's life, their names, and the
 * monitors that callers bring.
 */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "image.h"
#include "process.h"
#include "properties.h"
#include "rig.h"
#include "wait.h"

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

static Qemu *start_vm(Rig *rig, const char *name)
{
    Qemu *vm = rig_qemu(rig, QEMU_SYSTEM, name);

    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    qemu_start(vm);
    return vm;
}

static void check_vm(Rig *rig, const char *path, const char *name, Qemu *vm)
{
    g_autofree char *version = property_string(rig->recorder, path, VM_INTERFACE, "QEMUVersion");
    g_autofree char *expected =
        g_strdup_printf("%u.%u.", qemu_version() / 100, qemu_version() % 100);

    property_check_string(rig->recorder, path, VM_INTERFACE, "Name", name);
    property_check_string(rig->recorder, path, VM_INTERFACE, "State", "prelaunch");
    g_assert_true(g_str_has_prefix(version, expected));
    g_assert_cmpuint(property_u32(rig->recorder, path, VM_INTERFACE, "ProcessID"), ==,
                     qemu_pid(vm));
    g_assert_cmpuint(property_u32(rig->recorder, path, VM_INTERFACE, "UserID"), ==, geteuid());
}

static void test_dial_in(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");

    check_vm(rig, path, "web1", vm);
    qemu_quit(vm);
    rig_wait_gone(rig, path, VM_INTERFACE);
}

static void test_before_daemon(void)
{
    g_autoptr(Rig) rig = rig_new_without_daemon();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = NULL;

    daemon_start(rig->daemon);
    rig_wait_daemon(rig);
    path = rig_wait_vm(rig, "web1");
    check_vm(rig, path, "web1", vm);
}

/* The daemon goes and comes: the same VM is there again, and is known as the same. */
static void test_daemon_restarts(gconstpointer how)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");
    g_autofree char *instance = property_string(rig->recorder, path, VM_INTERFACE, "Instance");

    for (unsigned round = 0; round < 2; round++) {
        if (strcmp(how, "kill") == 0)
            daemon_kill(rig->daemon);
        else
            daemon_stop(rig->daemon);
        recorder_wait_owner(rig->recorder, false);
        daemon_start(rig->daemon);
        rig_wait_daemon(rig);
        g_free(rig_wait_vm(rig, "web1"));
        property_check_string(rig->recorder, path, VM_INTERFACE, "Instance", instance);
    }
    check_vm(rig, path, "web1", vm);
}

static bool is_kept(gpointer rig)
{
    return daemon_count_kept(((Rig *)rig)->daemon) > 0;
}

/* It dials in; its machine is built, and the greeting said, when the file has been written. */
static Process *start_half(Rig *rig, const char *file)
{
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");
    Process *process;

    g_assert_no_errno(mkfifo(file, 0600));
    qemu_option(vm, "-fw_cfg", "name=opt/org.vmdisk1,file=%s", file);
    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    g_ptr_array_add(qemu_arguments(vm), NULL);
    process = process_start((char *const *)qemu_arguments(vm)->pdata, NULL, NULL);
    wait_until("the connection is kept", is_kept, rig);
    return process;
}

static bool has_reader(gpointer file)
{
    const int fd = open(file, O_WRONLY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0)
        return false;
    g_assert_cmpint(write(fd, "x", 1), ==, 1);
    close(fd);
    return true;
}

static void let_start(char *file)
{
    wait_until("QEMU has read the file", has_reader, file);
}

typedef struct Half {
    const char *path;
    bool kill;
    bool greets; /* while the daemon is away */
} Half;

static const Half halves[] = {
    {"/arrival/not-greeted/daemon-stopped-and-started", false, false},
    {"/arrival/not-greeted/daemon-killed-and-started", true, false},
    {"/arrival/not-greeted/greets-meanwhile", true, true},
};

/* The daemon goes when QEMU has dialled in and has not greeted: this QEMU may never dial again. */
static void test_half(gconstpointer data)
{
    const Half *half = data;
    g_autoptr(Rig) rig = rig_new_without_daemon();
    g_autofree char *file = g_build_filename(rig->dir, "wait", NULL), *path = NULL;
    g_autoptr(Process) vm = NULL;

    daemon_use_store(rig->daemon);
    daemon_start(rig->daemon);
    rig_wait_daemon(rig);
    vm = start_half(rig, file);
    for (unsigned round = 0; round < 2; round++) {
        if (half->kill)
            daemon_kill(rig->daemon);
        else
            daemon_stop(rig->daemon);
        recorder_wait_owner(rig->recorder, false);
        if (half->greets && round == 0)
            let_start(file);
        daemon_start(rig->daemon);
        rig_wait_daemon(rig);
        wait_until("the connection is kept", is_kept, rig);
    }
    if (!half->greets)
        let_start(file);
    path = rig_wait_vm(rig, "web1");
    g_assert_cmpuint(property_u32(rig->recorder, path, VM_INTERFACE, "ProcessID"), ==,
                     process_pid(vm));
}

static void test_new_instance(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");
    g_autofree char *first = property_string(rig->recorder, path, VM_INTERFACE, "Instance");
    g_autofree char *second = NULL;

    qemu_kill(vm);
    rig_wait_gone(rig, path, VM_INTERFACE);
    qemu_start(vm);
    g_free(rig_wait_vm(rig, "web1"));
    second = property_string(rig->recorder, path, VM_INTERFACE, "Instance");
    g_assert_cmpstr(first, !=, second);
}

static void test_names(void)
{
    static const char *const names[] = {"a vm", "a.b", "a/b", "ä€𝄞", "0", "_", "UPPER-lower"};
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(GPtrArray) vms = g_ptr_array_new_with_free_func((GDestroyNotify)qemu_free);
    g_autofree char *longest = g_strnfill(255, 'n');

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = NULL;

        g_ptr_array_add(vms, start_vm(rig, names[i]));
        path = rig_wait_vm(rig, names[i]);
        property_check_string(rig->recorder, path, VM_INTERFACE, "Name", names[i]);
    }
    g_ptr_array_add(vms, start_vm(rig, longest));
    g_free(rig_wait_vm(rig, longest));
}

static void test_no_name(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, NULL);
    g_autofree char *name = g_strdup_printf("qemu-%d", qemu_pid(vm));
    g_autofree char *path = rig_wait_vm(rig, name);

    check_vm(rig, path, name, vm);
}

static void test_same_name(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) first = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");
    g_autoptr(Qemu) second = start_vm(rig, "web1");
    g_autofree char *name = g_strdup_printf("web1.%d", qemu_pid(second));
    g_autofree char *other = rig_wait_vm(rig, name);

    check_vm(rig, path, "web1", first);
    check_vm(rig, other, name, second);
}

/* A QEMU with a listening monitor; the test opens it, as the caller of AttachVM does. */
static Qemu *start_listening(Rig *rig, char **ret_socket)
{
    Qemu *vm = qemu_new(QEMU_SYSTEM, NULL, "web1");

    *ret_socket = g_build_filename(rig->dir, "qmp", NULL);
    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    qemu_option(vm, "-chardev", "socket,id=own,path=%s,server=on,wait=off", *ret_socket);
    qemu_option(vm, "-mon", "chardev=own,mode=control");
    qemu_start(vm);
    return vm;
}

static int dial(const char *socket_path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpuint(strlen(socket_path), <, sizeof(address.sun_path));
    strcpy(address.sun_path, socket_path);
    g_assert_cmpint(connect(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    return fd;
}

static void attach(Rig *rig, const char *name, int fd)
{
    recorder_call(rig->recorder, SERVICE_PATH, MANAGER_INTERFACE, "AttachVM", "sha{sv}", name, fd,
                  0);
    close(fd);
}

static void check_attach_refused(Rig *rig, const char *error, const char *name, int fd)
{
    recorder_refused(rig->recorder, error, SERVICE_PATH, MANAGER_INTERFACE, "AttachVM", "sha{sv}",
                     name, fd, 0);
    close(fd);
}

static void test_attach(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autofree char *socket = NULL;
    g_autoptr(Qemu) vm = start_listening(rig, &socket);
    g_autofree char *path = rig_vm_path("büro 1");

    for (unsigned round = 0; round < 2; round++) {
        attach(rig, "büro 1", dial(socket));
        check_vm(rig, path, "büro 1", vm);
        check_attach_refused(rig, INVALID_ARGS, "büro 1", dial(socket));
        recorder_call(rig->recorder, path, VM_INTERFACE, "Detach", NULL);
        rig_wait_gone(rig, path, VM_INTERFACE);
        g_assert_true(qemu_is_running(vm));
    }
}

static void test_detach_dialled_in(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");

    recorder_refused(rig->recorder, SERVICE_ERROR("NotSupported"), path, VM_INTERFACE, "Detach",
                     NULL);
    check_vm(rig, path, "web1", vm);
}

/* It has dialled in, and somebody brings a second monitor of the same QEMU. */
static void test_attach_twin(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autofree char *socket = g_build_filename(rig->dir, "qmp", NULL);
    g_autofree char *image = image_create(rig->dir, "image", "qcow2", IMAGE_MIB);
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_SYSTEM, "web1");
    g_autofree char *twin = rig_vm_path("twin");

    g_ptr_array_add(qemu_arguments(vm), g_strdup("-S"));
    qemu_option(vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", image);
    qemu_option(vm, "-chardev", "socket,id=own,path=%s,server=on,wait=off", socket);
    qemu_option(vm, "-mon", "chardev=own,mode=control");
    qemu_start(vm);
    g_free(rig_wait_vm(rig, "web1"));
    check_attach_refused(rig, INVALID_ARGS, "twin", dial(socket));
    g_assert_false(property_exists(rig->recorder, twin, VM_INTERFACE));
}

static void test_monitor_busy(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autofree char *socket = NULL;
    g_autoptr(Qemu) vm = start_listening(rig, &socket);
    g_autofree char *path = rig_vm_path("web1");
    QmpClient *other = qmp_client_new(dial(socket));

    check_attach_refused(rig, SERVICE_ERROR("MonitorBusy"), "web1", dial(socket));
    g_assert_false(property_exists(rig->recorder, path, VM_INTERFACE));
    qmp_client_free(other);
    attach(rig, "web1", dial(socket));
    check_vm(rig, path, "web1", vm);
}

static void test_attach_no_monitor(void)
{
    g_autoptr(Rig) rig = rig_new();
    int pair[2], datagrams[2], pipes[2], listening;

    g_assert_cmpint(pipe2(pipes, O_CLOEXEC), ==, 0);
    check_attach_refused(rig, INVALID_ARGS, "web1", pipes[0]);
    check_attach_refused(rig, INVALID_ARGS, "web1", pipes[1]);
    check_attach_refused(rig, INVALID_ARGS, "web1", open("/dev/null", O_RDWR | O_CLOEXEC));
    check_attach_refused(rig, INVALID_ARGS, "web1", open("/", O_RDONLY | O_CLOEXEC));

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, datagrams), ==, 0);
    check_attach_refused(rig, INVALID_ARGS, "web1", datagrams[0]);
    close(datagrams[1]);

    listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_assert_cmpint(bind(listening, &(struct sockaddr){.sa_family = AF_UNIX}, sizeof(sa_family_t)),
                    ==, 0);
    g_assert_cmpint(listen(listening, 1), ==, 0);
    check_attach_refused(rig, INVALID_ARGS, "web1", listening);

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    close(pair[1]);
    check_attach_refused(rig, SERVICE_ERROR("Disconnected"), "web1", pair[0]);
    recorder_settle(rig->recorder);
}

static void test_attach_arguments(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autofree char *too_long = g_strnfill(256, 'n');
    const char *text;
    int pair[2];

    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    text = recorder_refused(rig->recorder, INVALID_ARGS, SERVICE_PATH, MANAGER_INTERFACE,
                            "AttachVM", "sha{sv}", "web1", pair[0], 1, "colour", "s", "red");
    g_assert_nonnull(strstr(text, "colour"));
    recorder_refused(rig->recorder, INVALID_ARGS, SERVICE_PATH, MANAGER_INTERFACE, "AttachVM",
                     "sha{sv}", "", pair[0], 0);
    recorder_refused(rig->recorder, INVALID_ARGS, SERVICE_PATH, MANAGER_INTERFACE, "AttachVM",
                     "sha{sv}", too_long, pair[0], 0);
    close(pair[0]);
    close(pair[1]);
}

/* Whoever may connect to the socket need not be a QEMU. The others do not notice. */
static void test_strangers(void)
{
    static const char *const sayings[] = {
        "GET / HTTP/1.0\r\n\r\n",
        "{\"QMP\": 1}\r\n",
        "{\"QMP\": {}}\r\n",
        "{\"QMP\": {\"version\": {\"qemu\": {\"major\": -1, \"minor\": \"x\"}}}}\r\n",
        "{\"return\": {}}\r\n{\"return\": {}}\r\n",
        "\xff\xfe\x01",
    };
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");
    int fds[G_N_ELEMENTS(sayings)];
    const int silent = dial(daemon_socket(rig->daemon));

    for (unsigned i = 0; i < G_N_ELEMENTS(sayings); i++) {
        const size_t length = strlen(sayings[i]);

        fds[i] = dial(daemon_socket(rig->daemon));
        g_assert_cmpint(write(fds[i], sayings[i], length), ==, length);
    }
    /* Each is thrown out. One that says nothing may be a QEMU that takes its time. */
    for (unsigned i = 0; i < G_N_ELEMENTS(sayings); i++) {
        char byte;

        while (read(fds[i], &byte, 1) > 0)
            continue;
        close(fds[i]);
    }
    check_vm(rig, path, "web1", vm);
    close(silent);
}

/* QEMU is stopped, as by a debugger: it is shown as unresponsive, and comes back. */
static void test_unresponsive(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_autoptr(Qemu) vm = start_vm(rig, "web1");
    g_autofree char *path = rig_wait_vm(rig, "web1");

    qemu_signal(vm, SIGSTOP);
    property_wait_string(rig->recorder, path, VM_INTERFACE, "State", "unresponsive");
    qemu_signal(vm, SIGCONT);
    property_wait_string(rig->recorder, path, VM_INTERFACE, "State", "prelaunch");
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/arrival/dial-in", test_dial_in);
    g_test_add_func("/arrival/dial-in-before-the-daemon", test_before_daemon);
    g_test_add_data_func("/arrival/daemon-stopped-and-started", "stop", test_daemon_restarts);
    g_test_add_data_func("/arrival/daemon-killed-and-started", "kill", test_daemon_restarts);
    for (unsigned i = 0; i < G_N_ELEMENTS(halves); i++)
        g_test_add_data_func(halves[i].path, &halves[i], test_half);
    g_test_add_func("/arrival/new-process-is-new-instance", test_new_instance);
    g_test_add_func("/arrival/names-of-all-kinds", test_names);
    g_test_add_func("/arrival/without-name", test_no_name);
    g_test_add_func("/arrival/two-of-one-name", test_same_name);
    g_test_add_func("/arrival/attach-and-detach", test_attach);
    g_test_add_func("/arrival/detach-of-who-dialled-in", test_detach_dialled_in);
    g_test_add_func("/arrival/attach-second-monitor", test_attach_twin);
    g_test_add_func("/arrival/attach-busy-monitor", test_monitor_busy);
    g_test_add_func("/arrival/attach-what-is-no-monitor", test_attach_no_monitor);
    g_test_add_func("/arrival/attach-with-bad-arguments", test_attach_arguments);
    g_test_add_func("/arrival/strangers-on-the-socket", test_strangers);
    g_test_add_func("/arrival/stopped-qemu-is-unresponsive", test_unresponsive);
    return g_test_run();
}
