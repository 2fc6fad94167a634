/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate-polkit.h"

#include <errno.h>
#include <systemd/sd-id128.h>

#define POLKIT_NAME "org.freedesktop.PolicyKit1"
#define POLKIT_PATH "/org/freedesktop/PolicyKit1/Authority"
#define POLKIT_INTERFACE "org.freedesktop.PolicyKit1.Authority"
#define POLKIT_ALLOW_USER_INTERACTION UINT32_C(1)

struct PolkitCheck {
    sd_bus *bus;
    sd_bus_slot *slot; /* NULL when answered */
    PolkitFunc callback;
    void *userdata;
    char cancellation_id[SD_ID128_STRING_MAX];
};

static void cancel(PolkitCheck *c)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

    /* Nothing to be done about a failure here: the answer is not waited for any more. */
    int k = sd_bus_message_new_method_call(c->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CancelCheckAuthorization");
    if (k < 0)
        return;
    k = sd_bus_message_append(m, "s", c->cancellation_id);
    if (k < 0)
        return;
    k = sd_bus_message_set_auto_start(m, false);
    if (k < 0)
        return;
    (void)sd_bus_send(c->bus, m, NULL);
}

PolkitCheck *polkit_check_free(PolkitCheck *c)
{
    if (!c)
        return NULL;
    if (c->slot)
        cancel(c);
    sd_bus_slot_unref(c->slot);
    sd_bus_unref(c->bus);
    free(c);
    return NULL;
}

static PolkitAnswer answer_from_error(const sd_bus_error *e)
{
    if (sd_bus_error_has_names(e, SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER))
        return POLKIT_ABSENT;
    if (sd_bus_error_has_names(e, SD_BUS_ERROR_TIMEOUT, SD_BUS_ERROR_NO_REPLY))
        return POLKIT_NO_ANSWER;
    return POLKIT_FAILED;
}

static int on_answer(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    PolkitCheck *c = userdata;
    const sd_bus_error *e = sd_bus_message_get_error(m);
    int authorized = false, challenge = false;

    /* sd-bus gives up at the time-out; polkit does not know that and its dialogue stays. */
    if (e && answer_from_error(e) == POLKIT_NO_ANSWER)
        cancel(c);
    c->slot = sd_bus_slot_unref(c->slot);

    if (e) {
        c->callback(c, answer_from_error(e), e->message ? e->message : e->name, c->userdata);
        return 1;
    }

    int k = sd_bus_message_enter_container(m, 'r', "bba{ss}");
    if (k >= 0)
        k = sd_bus_message_read(m, "bb", &authorized, &challenge);
    if (k < 0)
        c->callback(c, POLKIT_FAILED, "the answer is malformed", c->userdata);
    else if (authorized)
        c->callback(c, POLKIT_YES, NULL, c->userdata);
    else
        c->callback(c, challenge ? POLKIT_CHALLENGE : POLKIT_NO, NULL, c->userdata);
    return 1;
}

static int append_details(sd_bus_message *m, const PolkitQuestion *q)
{
    int k = sd_bus_message_open_container(m, 'a', "{ss}");

    for (size_t i = 0; k >= 0 && i < q->n_details; i++)
        k = sd_bus_message_append(m, "{ss}", q->details[i].key, q->details[i].value);
    return k < 0 ? k : sd_bus_message_close_container(m);
}

static int question_message(const PolkitCheck *c, const PolkitQuestion *q, sd_bus_message **ret)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

    int k = sd_bus_message_new_method_call(c->bus, &m, POLKIT_NAME, POLKIT_PATH, POLKIT_INTERFACE,
                                           "CheckAuthorization");
    if (k < 0)
        return k;

    k = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", q->sender,
                              q->action);
    if (k < 0)
        return k;

    k = append_details(m, q);
    if (k < 0)
        return k;

    k = sd_bus_message_append(m, "us", q->interactive ? POLKIT_ALLOW_USER_INTERACTION : 0,
                              c->cancellation_id);
    if (k < 0)
        return k;

    *ret = TAKE_PTR(m);
    return 0;
}

int polkit_check_new(sd_bus *bus, const PolkitQuestion *q, PolkitFunc callback, void *userdata,
                     PolkitCheck **ret)
{
    _cleanup_(polkit_check_freep) PolkitCheck *c = NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    sd_id128_t id;

    int k = sd_id128_randomize(&id);
    if (k < 0)
        return k;

    c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->bus = sd_bus_ref(bus);
    c->callback = callback;
    c->userdata = userdata;
    sd_id128_to_string(id, c->cancellation_id);

    k = question_message(c, q, &m);
    if (k < 0)
        return k;
    k = sd_bus_call_async(bus, &c->slot, m, on_answer, c, q->timeout_usec);
    if (k < 0)
        return k;

    *ret = TAKE_PTR(c);
    return 0;
}
