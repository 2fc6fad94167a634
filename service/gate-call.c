/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate-call.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-id128.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "bus-options.h"
#include "text.h"

static void target_done(GateTarget *t)
{
    free(t->vm);
    free(t->disk);
    free(t->job);
    *t = (GateTarget){.owner = (uid_t)-1};
}

static const char *action_of(const GateEntry *entry, sd_bus_message *m)
{
    if (!entry)
        return NULL;
    return entry->options && bus_options_peek(m, "override") ? GATE_ACTION_OVERRIDE : entry->action;
}

GateCall *gate_call_new(Gate *g, GateCaller *caller, sd_bus_message *m)
{
    GateCall *call = calloc(1, sizeof(*call));
    if (!call)
        return NULL;

    call->gate = g;
    call->caller = caller;
    call->message = sd_bus_message_ref(m);
    call->entry = gate_table_find(sd_bus_message_get_interface(m), sd_bus_message_get_member(m));
    call->action = action_of(call->entry, m);
    call->target.owner = (uid_t)-1;

    *(caller->last ? &caller->last->next : &caller->first) = call;
    caller->last = call;
    caller->n_calls++;
    return call;
}

GateCall *gate_call_free(GateCall *call)
{
    if (!call)
        return NULL;

    GateCaller *caller = call->caller;
    assert(caller->first == call);
    caller->first = call->next;
    if (!caller->first)
        caller->last = NULL;
    caller->n_calls--;

    polkit_check_free(call->check);
    target_done(&call->target);
    sd_bus_message_unref(call->message);
    free(call);
    return NULL;
}

/* The names of objects that are there have been checked; the name of a missing one is what the
 * caller made up. It goes into messages, dialogues and the log, where it must not break lines, nor
 * be anything but UTF-8: the bus would disconnect us. */
static void mask(char *name)
{
    for (unsigned char *p = (unsigned char *)name; p && *p; p++)
        if (*p < 0x20 || *p >= 0x7f)
            *p = '?';
}

int gate_call_resolve(GateCall *call, const GateResolver *resolver, void *userdata)
{
    GateTarget *t = &call->target;

    target_done(t);
    int k = resolver->resolve(sd_bus_message_get_path(call->message), t, userdata);
    if (k < 0)
        return k;

    if (t->object == GATE_OBJECT_NO_VM)
        mask(t->vm);
    if (t->object == GATE_OBJECT_NO_VM || t->object == GATE_OBJECT_NO_DISK)
        mask(t->disk);
    return 0;
}

bool gate_call_is_on_vm(const GateCall *call)
{
    switch (call->target.object) {
    case GATE_OBJECT_VM:
    case GATE_OBJECT_DISK:
    case GATE_OBJECT_NO_DISK:
        return true;
    case GATE_OBJECT_OTHER:
    case GATE_OBJECT_NO_VM:
        return false;
    }
    return false;
}

/* sd-bus answers GetMachineId by itself, and ends the connection where there is no such id. */
static bool lacks_machine_id(const GateCall *call)
{
    sd_id128_t id;

    return text_equal(call->entry->member, "GetMachineId") && sd_id128_get_machine(&id) < 0;
}

bool gate_call_lacks_object(const GateCall *call, Refusal *ret)
{
    const GateTarget *t = &call->target;

    if (lacks_machine_id(call)) {
        refusal_set(ret, REFUSAL_NOT_SUPPORTED,
                    "This system has no machine ID; systemd-machine-id-setup makes one.");
        return true;
    }
    if (call->entry->any_object)
        return false;

    if (t->object == GATE_OBJECT_NO_VM)
        refusal_set(ret, REFUSAL_NO_SUCH_VM,
                    "No VM named '%s' is attached. \"vmdiskctl list\" shows the VMs.", t->vm);
    else if (t->object == GATE_OBJECT_NO_DISK)
        refusal_set(ret, REFUSAL_NO_SUCH_DISK,
                    "VM '%s' has no disk '%s'. \"vmdiskctl list\" shows the disks.", t->vm,
                    t->disk);
    else if (t->object == GATE_OBJECT_DISK && !t->job &&
             text_equal(call->entry->interface, "org.vmdisk1.Job"))
        refusal_set(ret, REFUSAL_NO_JOB,
                    "Disk '%s' of VM '%s' has no job. Commit() on the disk starts one.", t->disk,
                    t->vm);
    else
        return false;
    return true;
}

void gate_call_details(const GateCall *call, GateDetails *ret)
{
    const GateTarget *t = &call->target;

    ret->n_items = 0;
    if (t->vm)
        ret->item[ret->n_items++] = (PolkitDetail){"vm", t->vm};
    if (t->disk)
        ret->item[ret->n_items++] = (PolkitDetail){"disk", t->disk};
    if (t->job)
        ret->item[ret->n_items++] = (PolkitDetail){"job", t->job};
    ret->item[ret->n_items++] =
        (PolkitDetail){"operation", sd_bus_message_get_member(call->message)};
    if (gate_call_is_on_vm(call) && t->owner != (uid_t)-1) {
        snprintf(ret->owner, sizeof(ret->owner), "%" PRIu32, t->owner);
        ret->item[ret->n_items++] = (PolkitDetail){"owner", ret->owner};
    }
}

char *gate_call_question(const GateCall *call)
{
    GateDetails details;
    char *text = NULL;
    size_t size;

    FILE *f = open_memstream(&text, &size);
    if (!f)
        return NULL;

    /* With its length before it, no value can look like the beginning of the next one. */
    gate_call_details(call, &details);
    fputs(call->action, f);
    for (size_t i = 0; i < details.n_items; i++)
        fprintf(f, " %s=%zu:%s", details.item[i].key, strlen(details.item[i].value),
                details.item[i].value);

    if (fclose(f) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *gate_call_subject(const GateCall *call)
{
    const GateTarget *t = &call->target;
    const char *member = sd_bus_message_get_member(call->message);

    if (t->vm && t->disk)
        return text_format("%s on disk '%s' of VM '%s'", member, t->disk, t->vm);
    if (t->vm)
        return text_format("%s on VM '%s'", member, t->vm);
    return text_format("%s on %s", member, sd_bus_message_get_path(call->message));
}

void gate_call_refusal(const GateCall *call, PolkitAnswer answer, const char *text, Refusal *ret)
{
    _cleanup_(freep) char *subject = gate_call_subject(call);
    const char *action = call->action;
    bool interactive = sd_bus_message_get_allow_interactive_authorization(call->message) > 0;

    if (!subject)
        *ret = (Refusal){REFUSAL_NO_MEMORY, NULL};
    else if (answer == POLKIT_CHALLENGE && !interactive)
        refusal_set(ret, REFUSAL_INTERACTIVE_AUTHORIZATION_REQUIRED,
                    "%s needs the polkit action %s, for which somebody has to be asked. Allow "
                    "that in the call (busctl --allow-interactive-authorization=yes), run it as "
                    "root, or add a polkit rule for %s.",
                    subject, action, action);
    else if (answer == POLKIT_CHALLENGE)
        refusal_set(ret, REFUSAL_ACCESS_DENIED,
                    "%s needs the polkit action %s, and there is no polkit agent to ask somebody. "
                    "Start one (pkttyagent), run it as root, or add a polkit rule for %s.",
                    subject, action, action);
    else if (answer == POLKIT_NO)
        refusal_set(ret, REFUSAL_ACCESS_DENIED,
                    "%s needs the polkit action %s, which uid %" PRIu32 " was not granted. Run it "
                    "as root, or add a polkit rule for %s.",
                    subject, action, call->caller->uid, action);
    else
        refusal_set(ret, REFUSAL_ACCESS_DENIED,
                    "%s needs the polkit action %s, and polkit %s (%s). Run it as root, or see to "
                    "polkit.",
                    subject, action, answer == POLKIT_ABSENT ? "is not there" : "did not decide",
                    text);
}

void gate_call_log(const GateCall *call, int priority, const char *text)
{
    const GateTarget *t = &call->target;
    const char *interface = sd_bus_message_get_interface(call->message);

    sd_journal_send("PRIORITY=%i", priority, "MESSAGE=Refused to uid %" PRIu32 ": %s",
                    call->caller->uid, text, "UID=%" PRIu32, call->caller->uid, "SENDER=%s",
                    call->caller->name, "OPERATION=%s.%s", interface ? interface : "",
                    sd_bus_message_get_member(call->message), "VM=%s", t->vm ? t->vm : "",
                    "DISK=%s", t->disk ? t->disk : "", NULL);
}
