/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "memory.h"

/* An agent that has not registered by then is not waited for any longer. */
#define REGISTER_MSEC 10000

struct Agent {
    pid_t pid; /* -1 where there is none */
};

/* In the child. Our stdout is the result of the program and none of the agent's business. */
static void run(int notify_fd, pid_t parent)
{
    char number[16];
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(EXIT_FAILURE);

    if (dup2(STDERR_FILENO, STDOUT_FILENO) < 0 || fcntl(notify_fd, F_SETFD, 0) < 0)
        _exit(EXIT_FAILURE);
    snprintf(number, sizeof(number), "%d", notify_fd);
    execlp("pkttyagent", "pkttyagent", "--notify-fd", number, "--fallback", (char *)NULL);
    _exit(EXIT_FAILURE);
}

/* The write end is closed when the agent is registered, and when it ends. */
static void wait_for_hangup(int fd)
{
    struct pollfd p = {.fd = fd};

    while (poll(&p, 1, REGISTER_MSEC) < 0 && errno == EINTR)
        ;
}

Agent *agent_start(void)
{
    _cleanup_(closep) int read_end = -1;
    Agent *a = need(malloc(sizeof(*a)));
    pid_t parent = getpid();
    int ends[2];

    a->pid = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return a;
    read_end = ends[0];

    a->pid = fork();
    if (a->pid == 0)
        run(ends[1], parent);
    close(ends[1]);
    if (a->pid > 0)
        wait_for_hangup(read_end);
    return a;
}

Agent *agent_stop(Agent *a)
{
    if (!a)
        return NULL;
    if (a->pid > 0) {
        /* It restores the terminal when it is asked to end; SIGCONT, in case it is stopped. */
        kill(a->pid, SIGTERM);
        kill(a->pid, SIGCONT);
        while (waitpid(a->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    free(a);
    return NULL;
}
