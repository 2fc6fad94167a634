/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One run of vmdiskctl.
 */
#include "client-run.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "event-wait.h"

typedef struct Stream {
    int fd;
    GString *text;
    sd_event_source *source;
    bool ended;
} Stream;

struct ClientRun {
    sd_event *event;
    pid_t pid; /* 0 when it has been waited for */
    Stream out, err;
    int status;
};

static int on_readable(sd_event_source *s, int fd, uint32_t events, void *userdata)
{
    Stream *stream = userdata;
    char buffer[4096];

    ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n > 0) {
        g_string_append_len(stream->text, buffer, n);
        return 0;
    }
    if (n < 0 && errno == EAGAIN)
        return 0;
    /* A terminal says EIO when the other end is closed. */
    g_assert_true(n == 0 || errno == EIO);
    stream->ended = true;
    return sd_event_source_set_enabled(s, SD_EVENT_OFF);
}

static void stream_open(Stream *stream, sd_event *event, int fd)
{
    g_assert_cmpint(fcntl(fd, F_SETFL, O_NONBLOCK), ==, 0);
    stream->fd = fd;
    stream->text = g_string_new(NULL);
    g_assert_cmpint(sd_event_add_io(event, &stream->source, fd, EPOLLIN, on_readable, stream), >=,
                    0);
}

static void stream_close(Stream *stream)
{
    sd_event_source_unref(stream->source);
    close(stream->fd);
    g_string_free(stream->text, TRUE);
}

static bool has_ended(gpointer data)
{
    const ClientRun *r = data;

    return r->out.ended && r->err.ended;
}

/* The ends that the program gets; the other ones stay with the test. */
typedef struct Ends {
    int in, out, err;
    pid_t parent;
} Ends;

static void child_setup(gpointer data)
{
    const Ends *ends = data;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != ends->parent)
        _exit(127);
    dup2(ends->in, STDIN_FILENO);
    dup2(ends->out, STDOUT_FILENO);
    dup2(ends->err, STDERR_FILENO);
}

static void open_terminal(int *ret_master, int *ret_slave)
{
    const struct winsize size = {.ws_row = 25, .ws_col = 100};

    g_assert_cmpint(openpty(ret_master, ret_slave, NULL, NULL, &size), ==, 0);
    g_assert_cmpint(fcntl(*ret_master, F_SETFD, FD_CLOEXEC), ==, 0);
    g_assert_cmpint(fcntl(*ret_slave, F_SETFD, FD_CLOEXEC), ==, 0);
}

static char **make_environment(const ClientWorld *world)
{
    char **environment = g_get_environ();

    environment =
        g_environ_setenv(environment, "DBUS_SYSTEM_BUS_ADDRESS", world->bus_address, TRUE);
    environment = g_environ_setenv(environment, "LC_ALL", "C.UTF-8", TRUE);
    environment = g_environ_setenv(environment, "TERM", "xterm", TRUE);
    environment = g_environ_setenv(environment, "NO_COLOR", "1", TRUE);
    if (world->path)
        environment = g_environ_setenv(environment, "PATH", world->path, TRUE);
    return environment;
}

static char **make_arguments(const char *const arguments[])
{
    g_autoptr(GStrvBuilder) builder = g_strv_builder_new();
    const char *program = g_getenv("VMDISKCTL");

    g_assert_nonnull(program);
    g_strv_builder_add(builder, program);
    g_strv_builder_addv(builder, (const char **)arguments);
    return g_strv_builder_end(builder);
}

ClientRun *client_run_new(const ClientWorld *world, const char *const arguments[])
{
    ClientRun *r = g_new0(ClientRun, 1);
    g_auto(GStrv) argv = make_arguments(arguments);
    g_auto(GStrv) environment = make_environment(world);
    g_autoptr(GError) error = NULL;
    int out[2], err[2];

    r->event = world->event;
    g_assert_cmpint(pipe2(out, O_CLOEXEC), ==, 0);
    if (world->terminal)
        open_terminal(&err[0], &err[1]);
    else
        g_assert_cmpint(pipe2(err, O_CLOEXEC), ==, 0);
    stream_open(&r->out, r->event, out[0]);
    stream_open(&r->err, r->event, err[0]);

    int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int file = world->output ? open(world->output, O_WRONLY | O_CLOEXEC) : -1;
    Ends ends = {
        .in = world->terminal ? err[1] : nothing,
        .out = world->output         ? file
               : world->all_terminal ? err[1]
                                     : out[1],
        .err = err[1],
        .parent = getpid(),
    };
    g_spawn_async(NULL, argv, environment, G_SPAWN_DO_NOT_REAP_CHILD, child_setup, &ends, &r->pid,
                  &error);
    g_assert_no_error(error);
    close(nothing);
    if (file >= 0)
        close(file);
    close(out[1]);
    close(err[1]);
    return r;
}

void client_run_free(ClientRun *r)
{
    if (!r)
        return;
    if (r->pid > 0) {
        kill(r->pid, SIGKILL);
        waitpid(r->pid, NULL, 0);
    }
    stream_close(&r->out);
    stream_close(&r->err);
    g_free(r);
}

void client_run_signal(ClientRun *r, int signal_number)
{
    g_assert_cmpint(kill(r->pid, signal_number), ==, 0);
}

typedef struct Expected {
    const Stream *stream;
    const char *text;
} Expected;

static bool has_come(gpointer data)
{
    const Expected *e = data;

    return strstr(e->stream->text->str, e->text) != NULL || e->stream->ended;
}

void client_run_wait_for(ClientRun *r, const char *text)
{
    event_wait_until(r->event, text, has_come, &(Expected){&r->err, text});
    client_run_assert_complains(r, text);
}

void client_run_wait_for_output(ClientRun *r, const char *text)
{
    event_wait_until(r->event, text, has_come, &(Expected){&r->out, text});
    client_run_assert_says(r, text);
}

void client_run_end(ClientRun *r, int code)
{
    event_wait_until(r->event, "vmdiskctl ends", has_ended, r);
    g_assert_cmpint(waitpid(r->pid, &r->status, 0), ==, r->pid);
    r->pid = 0;
    if (!WIFEXITED(r->status) || WEXITSTATUS(r->status) != code)
        g_error("vmdiskctl ended with status %#x, not with code %d. It wrote:\n%s%s", r->status,
                code, r->out.text->str, r->err.text->str);
}

const char *client_run_output(const ClientRun *r)
{
    return r->out.text->str;
}

const char *client_run_errors(const ClientRun *r)
{
    return r->err.text->str;
}

json_object *client_run_json(const ClientRun *r)
{
    enum json_tokener_error error;
    json_object *value = json_tokener_parse_verbose(r->out.text->str, &error);

    if (!value)
        g_error("No JSON: %s: %s", json_tokener_error_desc(error), r->out.text->str);
    return value;
}

void client_run_assert_says(const ClientRun *r, const char *text)
{
    if (!strstr(r->out.text->str, text))
        g_error("\"%s\" is not in: %s", text, r->out.text->str);
}

void client_run_assert_complains(const ClientRun *r, const char *text)
{
    if (!strstr(r->err.text->str, text))
        g_error("\"%s\" is not in: %s", text, r->err.text->str);
}
