/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A real QEMU, or a real qemu-storage-daemon.
 */
#include "qemu.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "wait.h"

struct Qemu {
    QemuKind kind;
    GPtrArray *arguments;
    Process *process;
    QmpClient *monitor;
};

unsigned qemu_version(void)
{
    static unsigned version;
    unsigned major, minor;

    if (version == 0) {
        g_autofree char *text = process_run("qemu-system-x86_64", "--version", NULL);

        g_assert_cmpint(sscanf(text, "QEMU emulator version %u.%u", &major, &minor), ==, 2);
        version = major * 100 + minor;
    }
    return version;
}

const char *qemu_reconnect_option(void)
{
    return qemu_version() < 902 ? "reconnect=1" : "reconnect-ms=1000";
}

Qemu *qemu_new(QemuKind kind, const char *socket, const char *name)
{
    const bool machine = kind == QEMU_SYSTEM;
    const char *program = machine ? "qemu-system-x86_64" : "qemu-storage-daemon";
    Qemu *q = g_new0(Qemu, 1);

    q->kind = kind;
    q->arguments = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(q->arguments, g_strdup(program));
    if (machine) {
        g_ptr_array_add(q->arguments, g_strdup("-nodefaults"));
        qemu_option(q, "-machine", "pc,accel=tcg");
        qemu_option(q, "-display", "none");
        qemu_option(q, "-m", "16");
        if (name)
            qemu_option(q, "-name", "%s", name);
    }
    if (socket) {
        qemu_option(q, machine ? "-chardev" : "--chardev", "socket,id=vmdisk,path=%s,%s", socket,
                    qemu_reconnect_option());
        if (machine)
            qemu_option(q, "-mon", "chardev=vmdisk,mode=control");
        else
            qemu_option(q, "--monitor", "chardev=vmdisk");
    }
    return q;
}

void qemu_free(Qemu *q)
{
    if (!q)
        return;
    process_free(q->process);
    qmp_client_free(q->monitor);
    g_ptr_array_unref(q->arguments);
    g_free(q);
}

void qemu_option(Qemu *q, const char *option, const char *value, ...)
{
    va_list list;

    g_ptr_array_add(q->arguments, g_strdup(option));
    va_start(list, value);
    g_ptr_array_add(q->arguments, g_strdup_vprintf(value, list));
    va_end(list);
}

GPtrArray *qemu_arguments(Qemu *q)
{
    return q->arguments;
}

static GPtrArray *command_line(const Qemu *q, int monitor)
{
    GPtrArray *argv = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; i < q->arguments->len; i++)
        g_ptr_array_add(argv, g_strdup(g_ptr_array_index(q->arguments, i)));
    g_ptr_array_add(argv, g_strdup(q->kind == QEMU_SYSTEM ? "-chardev" : "--chardev"));
    g_ptr_array_add(argv, g_strdup_printf("socket,id=test,fd=%d", monitor));
    g_ptr_array_add(argv, g_strdup(q->kind == QEMU_SYSTEM ? "-mon" : "--monitor"));
    g_ptr_array_add(
        argv, g_strdup(q->kind == QEMU_SYSTEM ? "chardev=test,mode=control" : "chardev=test"));
    g_ptr_array_add(argv, NULL);
    return argv;
}

void qemu_start(Qemu *q)
{
    g_autoptr(GPtrArray) argv = NULL;
    int pair[2];

    g_assert_false(qemu_is_running(q));
    g_clear_pointer(&q->process, process_free);
    g_clear_pointer(&q->monitor, qmp_client_free);
    g_assert_cmpint(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), ==, 0);
    argv = command_line(q, pair[1]);
    q->process = process_start((char *const *)argv->pdata, NULL, (const int[]){pair[1], -1});
    close(pair[1]);
    q->monitor = qmp_client_new(pair[0]);
}

QmpClient *qemu_monitor(Qemu *q)
{
    return q->monitor;
}

pid_t qemu_pid(const Qemu *q)
{
    return process_pid(q->process);
}

bool qemu_is_running(Qemu *q)
{
    return q->process && process_is_running(q->process);
}

void qemu_kill(Qemu *q)
{
    process_end(q->process, SIGKILL);
}

void qemu_quit(Qemu *q)
{
    int status;

    qmp_client_do(q->monitor, "quit", NULL);
    status = process_wait(q->process);
    /* A command that is on its way to another monitor while QEMU 10.0 exits can crash it, at its
     * very end: its images are closed by then. */
    if (qemu_version() > 702 && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
        return;
    g_assert_cmpint(status, ==, 0);
}

void qemu_signal(Qemu *q, int signal_number)
{
    process_signal(q->process, signal_number);
}

unsigned qemu_count_jobs(Qemu *q)
{
    json_object *jobs = qmp_client_command(q->monitor, "query-jobs", NULL);
    const size_t n = json_object_array_length(jobs);

    json_object_put(jobs);
    return (unsigned)n;
}

static bool has_no_jobs(gpointer data)
{
    return qemu_count_jobs(data) == 0;
}

void qemu_wait_no_jobs(Qemu *q)
{
    wait_until("QEMU has no jobs", has_no_jobs, q);
}

static bool is_drive(json_object *drive, const char *device)
{
    json_object *qdev;

    if (strcmp(qmp_text(drive, "device"), device) == 0)
        return true;
    return json_object_object_get_ex(drive, "qdev", &qdev) &&
           g_str_has_prefix(json_object_get_string(qdev), device);
}

char *qemu_active_file(Qemu *q, const char *device)
{
    json_object *drives = qmp_client_command(q->monitor, "query-block", NULL);
    char *file = NULL;

    for (size_t i = 0; i < json_object_array_length(drives) && !file; i++) {
        json_object *drive = json_object_array_get_idx(drives, i);

        if (is_drive(drive, device))
            file = g_strdup(qmp_text(qmp_member(drive, "inserted"), "file"));
    }
    json_object_put(drives);
    if (!file)
        g_error("QEMU has no drive %s", device);
    return file;
}
