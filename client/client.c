/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include "memory.h"
#include "names.h"
#include "output.h"

/* Somebody may have to type a password (the service waits three minutes for it), and QEMU may have
 * to drain I/O (two minutes): the usual 25 s of a D-Bus call would give up on a call that goes on.
 */
#define CALL_USEC (UINT64_C(330) * 1000000)

static int on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *userdata)
{
    Client *c = userdata;

    c->interrupted = true;
    return 0;
}

static int on_deadline(sd_event_source *s, uint64_t usec, void *userdata)
{
    Client *c = userdata;

    c->expired = true;
    return 0;
}

static int open_loop(Client *c)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
        return -errno;

    int r = sd_event_new(&c->event);
    if (r < 0)
        return r;
    r = sd_event_add_signal(c->event, /* ret= */ NULL, SIGINT, on_signal, c);
    if (r < 0)
        return r;
    return sd_event_add_signal(c->event, /* ret= */ NULL, SIGTERM, on_signal, c);
}

static int open_bus(Client *c)
{
    int r;

    if (c->options.host)
        r = sd_bus_open_system_remote(&c->bus, c->options.host);
    else if (c->options.user)
        r = sd_bus_open_user(&c->bus);
    else
        r = sd_bus_open_system(&c->bus);
    return r < 0 ? r : sd_bus_attach_event(c->bus, c->event, SD_EVENT_PRIORITY_NORMAL);
}

/* "the system bus of HOST". The caller frees. */
char *client_bus(const Client *c)
{
    if (c->options.host)
        return need_format("the system bus of %s", c->options.host);
    return need(strdup(c->options.user ? "the user's bus" : "the system bus"));
}

int client_connect(Client *c, sd_bus_error *error)
{
    _cleanup_(freep) char *bus = client_bus(c);

    int r = open_loop(c);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot wait for events: %s.",
                                       strerrordesc_np(-r));
    r = open_bus(c);
    if (r == -ENOMEDIUM)
        return sd_bus_error_set_errnof(
            error, r, "Cannot connect to %s: DBUS_SESSION_BUS_ADDRESS is not set.", bus);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot connect to %s: %s.", bus,
                                       strerrordesc_np(-r));
    return 0;
}

void client_done(Client *c)
{
    c->agent = agent_stop(c->agent);
    c->bus = sd_bus_flush_close_unref(c->bus);
    c->event = sd_event_unref(c->event);
}

int client_start_deadline(Client *c)
{
    if (c->options.timeout_usec == UINT64_MAX)
        return 0;
    return sd_event_add_time_relative(c->event, /* ret= */ NULL, CLOCK_MONOTONIC,
                                      c->options.timeout_usec, /* accuracy= */ 1000, on_deadline,
                                      c);
}

int client_turn(Client *c, sd_bus_error *error)
{
    if (c->interrupted)
        return sd_bus_error_set_errnof(error, EINTR, "Interrupted.");
    if (c->expired)
        return sd_bus_error_set_errnof(error, ETIMEDOUT, "The time of --timeout is over.");
    if (sd_bus_is_open(c->bus) <= 0) {
        _cleanup_(freep) char *bus = client_bus(c);
        return sd_bus_error_set_errnof(error, ECONNRESET, "The connection to %s is lost.", bus);
    }

    int r = sd_event_run(c->event, UINT64_MAX);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot wait for events: %s.",
                                       strerrordesc_np(-r));
    return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    sd_bus_message **reply = userdata;

    *reply = sd_bus_message_ref(m);
    return 1;
}

/* An error of the bus, or of our end of it, knows nothing of VMs; one of the service is left as it
 * is. */
static int error_from_reply(const Client *c, sd_bus_message *reply, sd_bus_error *error)
{
    const char *sender = sd_bus_message_get_sender(reply);
    const sd_bus_error *e = sd_bus_message_get_error(reply);
    _cleanup_(freep) char *bus = client_bus(c);

    if (sender && *sender == ':')
        return sd_bus_error_copy(error, e);
    _cleanup_(freep) char *start = client_start_command(c);
    bool absent =
        sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER);

    return sd_bus_error_setf(error, e->name, "The service %s cannot be reached on %s: %s%s%s%s",
                             SERVICE, bus, e->message ? e->message : e->name,
                             absent ? ". Where it is installed, \"" : "", absent ? start : "",
                             absent ? "\" starts it." : "");
}

static int send_and_wait(Client *c, sd_bus_message *call, sd_bus_message **ret_reply,
                         sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(sd_bus_slot_unrefp) sd_bus_slot *slot = NULL;

    int r = sd_bus_call_async(c->bus, &slot, call, on_reply, &reply, CALL_USEC);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot call the service: %s.",
                                       strerrordesc_np(-r));
    while (!reply) {
        r = client_turn(c, error);
        if (r < 0)
            return r;
    }

    if (sd_bus_message_is_method_error(reply, /* name= */ NULL))
        return error_from_reply(c, reply, error);
    if (ret_reply)
        *ret_reply = TAKE_PTR(reply);
    return 0;
}

static bool may_ask_password(const Client *c)
{
    return c->options.ask_password && !c->options.user && !c->options.host &&
           isatty(STDIN_FILENO) && isatty(STDERR_FILENO);
}

typedef struct Call {
    const char *path, *interface, *member;
    ClientAppend append; /* NULL for no arguments */
    const void *userdata;
} Call;

static int call_once(Client *c, const Call *call, bool interactive, sd_bus_message **ret_reply,
                     sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

    int r = sd_bus_message_new_method_call(c->bus, &m, SERVICE, call->path, call->interface,
                                           call->member);
    if (r >= 0)
        r = sd_bus_message_set_allow_interactive_authorization(m, interactive);
    if (r >= 0 && call->append)
        r = call->append(m, call->userdata);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot make the call %s: %s.", call->member,
                                       strerrordesc_np(-r));
    return send_and_wait(c, m, ret_reply, error);
}

int client_call_with(Client *c, const char *path, const char *interface, const char *member,
                     sd_bus_message **ret_reply, sd_bus_error *error, ClientAppend append,
                     const void *userdata)
{
    const Call call = {path, interface, member, append, userdata};
    int r = call_once(c, &call, /* interactive= */ c->agent != NULL, ret_reply, error);

    /* The agent is started only when a call was refused for want of it: most callers are let
     * through without a question, and a refused call has done nothing. */
    if (r < 0 && !c->agent && may_ask_password(c) &&
        sd_bus_error_has_name(error, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED)) {
        sd_bus_error_free(error);
        c->agent = agent_start();
        r = call_once(c, &call, /* interactive= */ true, ret_reply, error);
    }
    return r;
}

typedef struct Arguments {
    const char *types;
    va_list *list;
} Arguments;

static int append_arguments(sd_bus_message *m, const void *userdata)
{
    const Arguments *a = userdata;
    va_list copy;

    va_copy(copy, *a->list);
    int r = sd_bus_message_appendv(m, a->types, copy);
    va_end(copy);
    return r;
}

int client_call(Client *c, const char *path, const char *interface, const char *member,
                sd_bus_message **ret_reply, sd_bus_error *error, const char *types, ...)
{
    va_list list;

    va_start(list, types);
    int r = client_call_with(c, path, interface, member, ret_reply, error,
                             types ? append_arguments : NULL, &(Arguments){types, &list});
    va_end(list);
    return r;
}

char *client_start_command(const Client *c)
{
    if (c->options.host)
        return need_format("systemctl --host=%s start vmdiskd", c->options.host);
    return need(
        strdup(c->options.user ? "systemctl --user start vmdiskd" : "systemctl start vmdiskd"));
}

bool client_error_is_absence(const sd_bus_error *error)
{
    return sd_bus_error_has_names(error, SD_BUS_ERROR_SERVICE_UNKNOWN,
                                  SD_BUS_ERROR_NAME_HAS_NO_OWNER, SD_BUS_ERROR_NO_REPLY);
}

/* How a name stands in a command for a shell; an object path, which is plain text, where the name
 * is none that can be copied from a terminal or would be taken for an option. */
static char *shell_word(const char *name, const char *path)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "/._-:@%+=,";

    if (name[strspn(name, safe)] == '\0' && *name != '-' && *name != '\0')
        return need(strdup(name));
    _cleanup_(freep) char *shown = text_for_people(name, (Look){.utf8 = true});
    if (*name == '-' || strchr(name, '\'') || strcmp(shown, name) != 0)
        return need(strdup(path));
    return need_format("'%s'", name);
}

char *client_command(const Client *c, const char *verb, const char *name, const char *path)
{
    _cleanup_(freep) char *word = shell_word(name, path);
    const char *where = c->options.user ? "--user " : c->options.host ? "--host=" : "";
    const char *host = c->options.host ? c->options.host : "";

    return need_format("vmdiskctl %s%s%s%s %s", where, host, *host ? " " : "", verb, word);
}
