/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "owner.h"

#include <string.h>

#include "memory.h"
#include "names.h"

#define BUS_NAME "org.freedesktop.DBus"
#define BUS_PATH "/org/freedesktop/DBus"

struct Owner {
    char *name; /* unique name, "" where the service is not on the bus */
    OwnerFunc changed;
    void *userdata;
    sd_bus_slot *slot;
};

static int on_owner_changed(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Owner *o = userdata;
    const char *sender = sd_bus_message_get_sender(m);
    const char *name, *old_owner, *new_owner;

    /* This one can be forged as well; the bus's own name cannot be taken. */
    if (!sender || strcmp(sender, BUS_NAME) != 0)
        return 0;
    int r = sd_bus_message_read(m, "sss", &name, &old_owner, &new_owner);
    if (r < 0 || strcmp(name, SERVICE) != 0)
        return 0;

    free(o->name);
    o->name = need(strdup(new_owner));
    if (o->changed)
        o->changed(o->userdata);
    return 0;
}

static int ask(Client *c, char **ret, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *name = "";

    int r = sd_bus_call_method(c->bus, BUS_NAME, BUS_PATH, BUS_NAME, "GetNameOwner", error, &reply,
                               "s", SERVICE);
    if (r < 0 && !sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
        return r;
    sd_bus_error_free(error);

    if (reply) {
        r = sd_bus_message_read(reply, "s", &name);
        if (r < 0)
            return r;
    }
    *ret = need(strdup(name));
    return 0;
}

int owner_new(Client *c, OwnerFunc changed, void *userdata, Owner **ret, sd_bus_error *error)
{
    _cleanup_(owner_freep) Owner *o = need(calloc(1, sizeof(*o)));

    o->changed = changed;
    o->userdata = userdata;

    /* First the match, then the question: a change in between is told after the answer. */
    int r =
        sd_bus_add_match(c->bus, &o->slot,
                         "type='signal',sender='" BUS_NAME "',path='" BUS_PATH
                         "',interface='" BUS_NAME "',member='NameOwnerChanged',arg0='" SERVICE "'",
                         on_owner_changed, o);
    if (r < 0)
        return sd_bus_error_set_errnof(error, r, "Cannot follow the service on the bus: %s.",
                                       strerrordesc_np(-r));
    r = ask(c, &o->name, error);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(o);
    return 0;
}

Owner *owner_free(Owner *o)
{
    if (!o)
        return NULL;
    sd_bus_slot_unref(o->slot);
    free(o->name);
    free(o);
    return NULL;
}

bool owner_sent(const Owner *o, sd_bus_message *m)
{
    const char *sender = sd_bus_message_get_sender(m);

    return sender && *o->name && strcmp(sender, o->name) == 0;
}

bool owner_is_present(const Owner *o)
{
    return *o->name != '\0';
}
