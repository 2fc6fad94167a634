/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-call.h"

#include "cleanup.h"

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

bool commit_call_has_options(const Options *o)
{
    unsigned bits = 0;

    for (size_t i = 0; i < ELEMENTSOF(options); i++)
        bits |= options[i].bit;
    return o->ending != ENDING_OPEN || (o->given & bits & ~(unsigned)OPTION_ACTIVE);
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

int commit_call_append(sd_bus_message *m, const void *userdata)
{
    const Options *o = userdata;

    int r = sd_bus_message_open_container(m, 'a', "{sv}");
    for (size_t i = 0; r >= 0 && i < ELEMENTSOF(options); i++)
        if (o->given & options[i].bit)
            r = append_option(m, o, i);
    if (r >= 0 && o->ending != ENDING_OPEN)
        r = sd_bus_message_append(m, "{sv}", "on-ready", "s",
                                  o->ending == ENDING_PIVOT ? "pivot" : "keep");
    return r < 0 ? r : sd_bus_message_close_container(m);
}
