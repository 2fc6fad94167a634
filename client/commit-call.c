/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-call.h"

#include <errno.h>

#include "memory.h"
#include "names.h"

/* The value stands at the offset; a flag has none. */
static const struct {
    OptionBit bit;
    const char *key;
    char type;
    size_t offset;
} options[] = {
    {OPTION_ACTIVE, "active", 'b', 0},
    {OPTION_TOP, "top", 's', offsetof(Options, top)},
    {OPTION_BASE, "base", 's', offsetof(Options, base)},
    {OPTION_SHALLOW, "shallow", 'b', 0},
    {OPTION_ON_ERROR, "on-error", 's', offsetof(Options, on_error)},
    {OPTION_SPEED, "speed", 't', offsetof(Options, speed)},
    {OPTION_BACKING_FILE, "backing-file", 's', offsetof(Options, backing_file)},
    {OPTION_RELATIVE, "relative", 'b', 0},
    {OPTION_OVERRIDE, "override", 'b', 0},
    {OPTION_DROP_BITMAPS, "drop-bitmaps", 'b', 0},
    {OPTION_DEADLINE, "deadline-usec", 't', offsetof(Options, deadline_usec)},
    {OPTION_ON_DEADLINE, "on-deadline", 's', offsetof(Options, on_deadline)},
};

/* Whether more is given than that the active layer is meant. */
static bool has_options(const Options *o)
{
    unsigned bits = 0;

    for (size_t i = 0; i < ELEMENTSOF(options); i++)
        bits |= options[i].bit;
    return o->ending != ENDING_OPEN || o->n_disks > 0 ||
           (o->given & bits & ~(unsigned)OPTION_ACTIVE);
}

static int append_option(sd_bus_message *m, const Options *o, size_t i)
{
    const void *value = (const char *)o + options[i].offset;

    switch (options[i].type) {
    case 's':
        return sd_bus_message_append(m, "{sv}", options[i].key, "s", *(const char *const *)value);
    case 't':
        return sd_bus_message_append(m, "{sv}", options[i].key, "t", *(const uint64_t *)value);
    default:
        return sd_bus_message_append(m, "{sv}", options[i].key, "b", 1);
    }
}

static int append_disks(sd_bus_message *m, const Options *o)
{
    int r = sd_bus_message_open_container(m, 'e', "sv");

    if (r >= 0)
        r = sd_bus_message_append(m, "s", "disks");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'v', "as");
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "s");
    for (size_t i = 0; r >= 0 && i < o->n_disks; i++)
        r = sd_bus_message_append(m, "s", o->disks[i]);
    for (int depth = 0; r >= 0 && depth < 3; depth++)
        r = sd_bus_message_close_container(m);
    return r;
}

int commit_call_append(sd_bus_message *m, const void *userdata)
{
    const Options *o = userdata;

    int r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (size_t i = 0; r >= 0 && i < ELEMENTSOF(options); i++)
        if (o->given & options[i].bit)
            r = append_option(m, o, i);
    if (r >= 0 && o->n_disks > 0)
        r = append_disks(m, o);
    if (r >= 0 && o->ending != ENDING_OPEN)
        r = sd_bus_message_append(m, "{sv}", "on-ready", "s",
                                  o->ending == ENDING_PIVOT ? "pivot" : "keep");
    return r < 0 ? r : sd_bus_message_close_container(m);
}

/* A call that was sent and not answered may have started the job. */
static int explain_unanswered(const Client *c, const Target *target, int r, sd_bus_error *error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error complete = SD_BUS_ERROR_NULL;
    _cleanup_(freep) char *status = client_command(c, "status", target->name, target_path(target));

    if (r != -EINTR && !client_error_is_absence(error))
        return r;
    sd_bus_error_setf(&complete, error->name, "%s Whether %s started, \"%s\" tells.",
                      error->message, target->disk ? "the job was" : "jobs were", status);
    sd_bus_error_free(error);
    sd_bus_error_move(error, &complete);
    return r;
}

int commit_call(Client *c, const Target *target, sd_bus_message **ret_reply, sd_bus_error *error)
{
    const char *path = target_path(target),
               *interface = target->disk ? INTERFACE_DISK : INTERFACE_VM;
    int r = has_options(&c->options) ? client_call_with(c, path, interface, "CommitWith", ret_reply,
                                                        error, commit_call_append, &c->options)
                                     : client_call(c, path, interface, "Commit", ret_reply, error,
                                                   "b", (c->options.given & OPTION_ACTIVE) != 0);

    return r < 0 ? explain_unanswered(c, target, r, error) : r;
}
