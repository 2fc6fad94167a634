/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The way of a call:
 *
 *   filter -- queue of its sender -- uid -- judge --+-- pass ----------+-- put back -- filter --
 * object
 *                                                   +-- ask -- polkit -+
 *                                                   +-- refuse --------+-- error reply
 *
 * Only the first call of a queue is judged, asked about or put back, and it leaves the queue when
 * it passes the filter the second time. It is recognised there by the address of its message, which
 * cannot be used for another message as long as the call holds a reference.
 */
#include "gate.h"

#include <errno.h>
#include <inttypes.h>
#include <syslog.h>
#include <time.h>

#include "errors.h"
#include "gate-call.h"
#include "text.h"

/* Denials logged in a period; an unprivileged caller must not flood the log. */
#define LOG_MAX 30
#define LOG_PERIOD_SEC 60

struct Gate {
    sd_bus *bus;
    GateMode mode;
    const GateResolver *resolver;
    void *userdata;
    uid_t uid; /* the daemon's own */
    GateCallers callers;
    size_t n_calls;
    sd_bus_slot *filter, *leaving;
    time_t log_since;
    unsigned n_logged;
};

typedef enum Verdict {
    VERDICT_PASS,
    VERDICT_ASK, /* polkit */
    VERDICT_REFUSE,
} Verdict;

static void caller_advance(Gate *g, GateCaller *caller, const sd_bus_message *current);

static void call_done(GateCall *call)
{
    call->gate->n_calls--;
    gate_call_free(call);
}

/* The last denial of a period says that others follow it unlogged. */
static void log_denial(const GateCall *call, int priority, const char *text)
{
    Gate *g = call->gate;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (g->n_logged == 0 || now.tv_sec - g->log_since >= LOG_PERIOD_SEC) {
        g->log_since = now.tv_sec;
        g->n_logged = 0;
    }

    if (g->n_logged < LOG_MAX)
        gate_call_log(call, priority, text);
    else if (g->n_logged == LOG_MAX)
        gate_call_log(call, LOG_WARNING,
                      "Many calls are refused; not logging more of them for now");
    else
        return;
    g->n_logged++;
}

/* Answers and logs a call that does not pass, and ends it. */
static void call_refuse(GateCall *call, int priority, const Refusal *r)
{
    log_denial(call, priority, r->text ? r->text : "Out of memory");
    (void)errors_reply(call->message, r); /* fails only with the connection itself */
    call_done(call);
}

static void call_fail(GateCall *call, const char *what, int error)
{
    Refusal r = {};

    refusal_set(&r, REFUSAL_ACCESS_DENIED, "%s was not authorized: %s: %s. Try again.",
                sd_bus_message_get_member(call->message), what, strerrordesc_np(-error));
    call_refuse(call, LOG_WARNING, &r);
    refusal_done(&r);
}

static bool is_privileged(const GateCall *call)
{
    const Gate *g = call->gate;
    uid_t uid = call->caller->uid;

    /* It can do with this process what it likes already. */
    if (uid == g->uid)
        return true;
    if (g->mode == GATE_USER)
        return false;
    if (uid == 0)
        return true;
    /* So does this one with the VM's process, for this VM. */
    return gate_call_is_on_vm(call) && call->target.owner != (uid_t)-1 && call->target.owner == uid;
}

static size_t open_checks(const Gate *g, uid_t uid)
{
    size_t n = 0;

    for (const GateCaller *c = g->callers.first; c; c = c->next)
        if (c->uid_known && c->uid == uid && c->first && c->first->state == GATE_CALL_ASKING)
            n++;
    return n;
}

static Verdict judge_unknown(const GateCall *call, bool privileged, Refusal *ret)
{
    const Gate *g = call->gate;
    const char *interface = sd_bus_message_get_interface(call->message);
    const char *member = sd_bus_message_get_member(call->message);
    _cleanup_(freep) char *what = NULL;

    if (interface)
        what =
            text_format("There is no method %s of the interface %s for callers", member, interface);
    else
        what = text_format("The call of %s does not name its interface", member);

    if (!what)
        *ret = (Refusal){REFUSAL_NO_MEMORY, NULL};
    else if (privileged)
        refusal_set(ret, REFUSAL_UNKNOWN_METHOD,
                    "%s. \"busctl %sintrospect org.vmdisk1 %s\" lists what there is.", what,
                    g->mode == GATE_USER ? "--user " : "", sd_bus_message_get_path(call->message));
    else
        refusal_set(ret, REFUSAL_ACCESS_DENIED,
                    "%s, so nobody can be asked whether it is allowed. The manual org.vmdisk1(5) "
                    "lists what there is.",
                    what);
    return VERDICT_REFUSE;
}

static Verdict judge(const GateCall *call, Refusal *ret)
{
    const Gate *g = call->gate;
    bool privileged = is_privileged(call);

    if (!call->entry)
        return judge_unknown(call, privileged, ret);
    if (privileged)
        return VERDICT_PASS;

    _cleanup_(freep) char *subject = gate_call_subject(call);
    _cleanup_(freep) char *question = gate_call_question(call);
    if (!subject || !question) {
        *ret = (Refusal){REFUSAL_NO_MEMORY, NULL};
        return VERDICT_REFUSE;
    }

    if (g->mode == GATE_USER) {
        refusal_set(ret, REFUSAL_ACCESS_DENIED,
                    "%s is for uid %" PRIu32 " alone, who runs this service. Ask a service of your "
                    "own, or the system's.",
                    subject, g->uid);
        return VERDICT_REFUSE;
    }

    if (gate_caller_remembers(call->caller, question))
        return VERDICT_PASS;

    if (open_checks(g, call->caller->uid) >= GATE_CHECKS_PER_UID_MAX) {
        refusal_set(ret, REFUSAL_LIMIT_EXCEEDED,
                    "%s must wait: polkit is still being asked about %d other calls of uid %" PRIu32
                    ". Answer or close its dialogues, then try again.",
                    subject, GATE_CHECKS_PER_UID_MAX, call->caller->uid);
        return VERDICT_REFUSE;
    }
    return VERDICT_ASK;
}

/* Puts the message back into the queue of the bus, unless it is the one that the filter is looking
 * at and can let through itself. */
static void call_pass(GateCall *call, const sd_bus_message *current)
{
    call->state = GATE_CALL_PASSING;
    if (call->message == current)
        return;

    int k = sd_bus_message_rewind(call->message, true);
    if (k >= 0)
        k = sd_bus_enqueue_for_read(call->gate->bus, call->message);
    if (k < 0)
        call_fail(call, "the call could not be queued", k);
}

static void on_answer(PolkitCheck *check, PolkitAnswer answer, const char *text, void *userdata)
{
    GateCall *call = userdata;
    Gate *g = call->gate;
    GateCaller *caller = call->caller;

    call->check = polkit_check_free(check);
    if (answer == POLKIT_YES) {
        _cleanup_(freep) char *question = gate_call_question(call);
        /* Without memory it is asked again the next time. */
        if (call->entry->remembered && question)
            (void)gate_callers_remember(&g->callers, caller, question);
        call_pass(call, /* current= */ NULL);
    } else {
        bool decided = answer == POLKIT_NO || answer == POLKIT_CHALLENGE;
        Refusal r = {};
        gate_call_refusal(call, answer, text, &r);
        call_refuse(call, decided ? LOG_INFO : LOG_WARNING, &r);
        refusal_done(&r);
    }
    caller_advance(g, caller, /* current= */ NULL);
}

static int call_ask(GateCall *call)
{
    bool interactive = sd_bus_message_get_allow_interactive_authorization(call->message) > 0;
    GateDetails details;

    gate_call_details(call, &details);
    PolkitQuestion question = {
        .sender = call->caller->name,
        .action = call->action,
        .details = details.item,
        .n_details = details.n_items,
        .interactive = interactive,
        .timeout_usec = interactive ? GATE_INTERACTIVE_USEC : GATE_CHECK_USEC,
    };
    int k = polkit_check_new(call->gate->bus, &question, on_answer, call, &call->check);
    if (k < 0)
        return k;

    call->state = GATE_CALL_ASKING;
    return 0;
}

static void call_decide(GateCall *call, const sd_bus_message *current)
{
    const Gate *g = call->gate;
    Refusal r = {};

    int k = gate_call_resolve(call, g->resolver, g->userdata);
    if (k < 0) {
        call_fail(call, "the object could not be looked up", k);
        return;
    }

    switch (judge(call, &r)) {
    case VERDICT_PASS:
        call_pass(call, current);
        break;
    case VERDICT_ASK:
        k = call_ask(call);
        if (k < 0)
            call_fail(call, "polkit could not be asked", k);
        break;
    case VERDICT_REFUSE:
        call_refuse(call, LOG_INFO, &r);
        break;
    }
    refusal_done(&r);
}

/* Ends the caller and its calls. With an error they are answered; else there is nobody to answer.
 */
static void caller_drop(Gate *g, GateCaller *caller, const char *what, int error)
{
    while (caller->first) {
        if (error < 0)
            call_fail(caller->first, what, error);
        else
            call_done(caller->first);
    }
    gate_callers_remove(&g->callers, caller);
}

static int on_uid(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    GateCaller *caller = userdata;
    Gate *g = caller->first->gate;
    const sd_bus_error *e = sd_bus_message_get_error(m);
    uint32_t uid = UINT32_MAX;

    caller->uid_request = sd_bus_slot_unref(caller->uid_request);
    int k = e ? -sd_bus_error_get_errno(e) : sd_bus_message_read(m, "u", &uid);
    if (k == 0)
        k = -EBADMSG;
    if (k < 0) {
        caller_drop(g, caller, "the bus does not say who calls", k);
        return 1;
    }

    caller->uid = uid;
    caller->uid_known = true;
    caller_advance(g, caller, /* current= */ NULL);
    return 1;
}

static void caller_ask_uid(Gate *g, GateCaller *caller)
{
    if (caller->uid_request)
        return;

    int k = sd_bus_call_method_async(g->bus, &caller->uid_request, "org.freedesktop.DBus",
                                     "/org/freedesktop/DBus", "org.freedesktop.DBus",
                                     "GetConnectionUnixUser", on_uid, caller, "s", caller->name);
    while (k < 0 && caller->first)
        call_fail(caller->first, "the bus cannot be asked who calls", k);
}

/* Brings the queue of a caller as far as it can come without waiting. */
static void caller_advance(Gate *g, GateCaller *caller, const sd_bus_message *current)
{
    if (!caller->uid_known && caller->first) {
        caller_ask_uid(g, caller);
        return;
    }
    while (caller->first && caller->first->state == GATE_CALL_WAITING)
        call_decide(caller->first, current);
}

/* An authorised call reaches the object: 0 lets it go on there. What it was authorised for can have
 * gone, or another VM can have taken the name, while polkit was asked; then it is judged again. */
static int call_arrive(GateCall *call)
{
    Gate *g = call->gate;
    GateCaller *caller = call->caller;
    uid_t owner = call->target.owner;
    Refusal r = {};
    int result = 0;

    int k = gate_call_resolve(call, g->resolver, g->userdata);
    if (k < 0) {
        call_fail(call, "the object could not be looked up", k);
        result = 1;
    } else if (gate_call_lacks_object(call, &r)) {
        (void)errors_reply(call->message, &r);
        call_done(call);
        result = 1;
    } else if (call->target.owner != owner) {
        call->state = GATE_CALL_WAITING;
        result = 1;
    } else
        call_done(call);

    refusal_done(&r);
    caller_advance(g, caller, /* current= */ NULL);
    return result;
}

static bool is_full(const Gate *g, const GateCaller *caller)
{
    size_t n = 0;

    if (g->n_calls >= GATE_PENDING_MAX)
        return true;
    if (!caller || !caller->first)
        return false;
    if (!caller->uid_known)
        return caller->n_calls >= GATE_PENDING_PER_UID_MAX;

    for (const GateCaller *c = g->callers.first; c; c = c->next)
        if (c->uid_known && c->uid == caller->uid)
            n += c->n_calls;
    return n >= GATE_PENDING_PER_UID_MAX;
}

/* Runs before everything else in sd-bus that could answer. 0 lets the message go on, 1 ends it; a
 * negative errno ends it with an error reply. */
static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Gate *g = userdata;
    const char *sender = sd_bus_message_get_sender(m);

    if (!sd_bus_message_is_method_call(m, /* interface= */ NULL, /* member= */ NULL))
        return 0;
    if (!sender)
        return -EACCES; /* no bus in between that could tell who calls */
    if (!sd_bus_message_get_destination(m))
        return 1; /* broadcast, not for us */

    GateCaller *caller = gate_callers_find(&g->callers, sender);
    GateCall *first = caller ? caller->first : NULL;
    if (first && first->state == GATE_CALL_PASSING && first->message == m)
        return call_arrive(first);

    if (is_full(g, caller))
        return errors_replyf(m, REFUSAL_LIMIT_EXCEEDED,
                             "%s: too many calls wait for authorization. Try again when some of "
                             "them are answered.",
                             sd_bus_message_get_member(m));
    if (!caller)
        caller = gate_callers_add(&g->callers, sender);
    if (!caller || !gate_call_new(g, caller, m))
        return -ENOMEM;
    g->n_calls++;

    caller_advance(g, caller, m);
    first = caller->first;
    if (first && first->state == GATE_CALL_PASSING && first->message == m)
        return call_arrive(first);
    return 1;
}

static int on_leaving(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Gate *g = userdata;
    const char *name;

    int k = sd_bus_message_read(m, "s", &name);
    if (k < 0)
        return 0;

    GateCaller *caller = gate_callers_find(&g->callers, name);
    if (caller)
        caller_drop(g, caller, /* what= */ NULL, /* error= */ 0);
    return 0;
}

int gate_new(sd_bus *bus, GateMode mode, const GateResolver *resolver, void *userdata, Gate **ret)
{
    _cleanup_(gate_freep) Gate *g = calloc(1, sizeof(*g));
    if (!g)
        return -ENOMEM;

    g->bus = sd_bus_ref(bus);
    g->mode = mode;
    g->resolver = resolver;
    g->userdata = userdata;
    g->uid = geteuid();

    int k = sd_bus_add_filter(bus, &g->filter, on_message, g);
    if (k < 0)
        return k;

    k = sd_bus_add_match_async(bus, &g->leaving,
                               "type='signal',sender='org.freedesktop.DBus',"
                               "path='/org/freedesktop/DBus',interface='org.freedesktop.DBus',"
                               "member='NameOwnerChanged',arg2=''",
                               on_leaving, /* install_callback= */ NULL, g);
    if (k < 0)
        return k;

    *ret = TAKE_PTR(g);
    return 0;
}

Gate *gate_free(Gate *g)
{
    if (!g)
        return NULL;
    while (g->callers.first)
        caller_drop(g, g->callers.first, /* what= */ NULL, /* error= */ 0);
    sd_bus_slot_unref(g->leaving);
    sd_bus_slot_unref(g->filter);
    sd_bus_unref(g->bus);
    free(g);
    return NULL;
}

uid_t gate_caller_uid(Gate *g, const char *sender)
{
    const GateCaller *c = sender ? gate_callers_find(&g->callers, sender) : NULL;

    return c && c->uid_known ? c->uid : (uid_t)-1;
}

const char *gate_action(const char *interface, const char *member)
{
    const GateEntry *entry = gate_table_find(interface, member);

    return entry ? entry->action : NULL;
}
