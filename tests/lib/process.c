/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A child process of a test.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "wait.h"

struct Process {
    pid_t pid;
    char *name;
    bool ended;
    int status;
};

#define PID_DIGITS 10

typedef struct Setup {
    const int *fds;
    pid_t parent;
    char *pid; /* where the child writes its own pid, at most PID_DIGITS characters; NULL for
                  nowhere */
} Setup;

/* Between fork and exec: async-signal-safe calls only. */
static void child_setup(gpointer data)
{
    const Setup *setup = data;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != setup->parent)
        _exit(127);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    for (const int *fd = setup->fds; fd && *fd >= 0; fd++)
        fcntl(*fd, F_SETFD, 0);
    if (setup->pid) {
        char digits[PID_DIGITS];
        int n = 0;

        for (pid_t pid = getpid(); pid > 0; pid /= 10)
            digits[n++] = (char)('0' + pid % 10);
        for (int i = 0; i < n; i++)
            setup->pid[i] = digits[n - 1 - i];
        setup->pid[n] = '\0';
    }
}

Process *process_start(char *const argv[], char *const environment[], const int *fds)
{
    Setup setup = {.fds = fds, .parent = getpid()};
    GSpawnFlags flags = G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD;
    g_autoptr(GError) error = NULL;
    Process *p = g_new0(Process, 1);

    /* The list is what is inherited; anything else the test has open is close-on-exec. */
    if (fds)
        flags |= G_SPAWN_LEAVE_DESCRIPTORS_OPEN;

    p->name = g_path_get_basename(argv[0]);
    g_spawn_async(NULL, (char **)argv, (char **)environment, flags, child_setup, &setup, &p->pid,
                  &error);
    g_assert_no_error(error);
    return p;
}

Process *process_start_passing(char *const argv[], char *const environment[], const int *fds,
                               const char *names)
{
    Setup setup = {.parent = getpid()};
    g_auto(GStrv) env = g_strdupv((char **)environment);
    g_autoptr(GError) error = NULL;
    g_autoptr(GArray) targets = g_array_new(FALSE, FALSE, sizeof(int));
    Process *p = g_new0(Process, 1);

    while (fds[targets->len] >= 0) {
        const int target = (int)targets->len + 3;

        g_array_append_val(targets, target);
    }
    g_autofree char *count = g_strdup_printf("%u", targets->len);
    env = g_environ_setenv(env, "LISTEN_FDS", count, TRUE);
    env = g_environ_setenv(env, "LISTEN_FDNAMES", names, TRUE);
    env = g_environ_setenv(env, "LISTEN_PID", "0000000000", TRUE);
    setup.pid = (char *)g_environ_getenv(env, "LISTEN_PID");

    p->name = g_path_get_basename(argv[0]);
    g_spawn_async_with_pipes_and_fds(NULL, (const char *const *)argv, (const char *const *)env,
                                     G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, child_setup,
                                     &setup, -1, -1, -1, fds, (const int *)targets->data,
                                     targets->len, &p->pid, NULL, NULL, NULL, &error);
    g_assert_no_error(error);
    return p;
}

void process_free(Process *p)
{
    if (!p)
        return;
    process_end(p, SIGKILL);
    g_free(p->name);
    g_free(p);
}

pid_t process_pid(const Process *p)
{
    return p->pid;
}

bool process_is_running(Process *p)
{
    pid_t pid;

    if (p->ended)
        return false;
    pid = waitpid(p->pid, &p->status, WNOHANG);
    g_assert_cmpint(pid, >=, 0);
    p->ended = pid > 0;
    return !p->ended;
}

void process_signal(Process *p, int signal_number)
{
    if (process_is_running(p))
        g_assert_cmpint(kill(p->pid, signal_number), ==, 0);
}

static bool has_ended(gpointer data)
{
    return !process_is_running(data);
}

int process_wait(Process *p)
{
    g_autofree char *what = g_strdup_printf("the end of %s", p->name);

    wait_until(what, has_ended, p);
    return p->status;
}

int process_end(Process *p, int signal_number)
{
    process_signal(p, signal_number);
    return process_wait(p);
}

char *process_runv(char *const argv[])
{
    g_autoptr(GError) error = NULL;
    g_autofree char *errors = NULL;
    char *output = NULL;
    int status;

    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, &errors,
                 &status, &error);
    g_assert_no_error(error);
    if (!g_spawn_check_wait_status(status, NULL))
        g_error("%s %s failed: %s%s", argv[0], argv[1] ? argv[1] : "", output, errors);
    return output;
}

char *process_run(const char *program, ...)
{
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    va_list arguments;

    va_start(arguments, program);
    for (const char *a = program; a; a = va_arg(arguments, const char *))
        g_ptr_array_add(argv, (char *)a);
    va_end(arguments);
    g_ptr_array_add(argv, NULL);
    return process_runv((char *const *)argv->pdata);
}
