/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate-callers.h"

#include <assert.h>
#include <errno.h>
#include <search.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void link_first(GateCallers *cs, GateCaller *c)
{
    c->prev = NULL;
    c->next = cs->first;
    if (c->next)
        c->next->prev = c;
    else
        cs->last = c;
    cs->first = c;
}

static void unlink_caller(GateCallers *cs, GateCaller *c)
{
    *(c->prev ? &c->prev->next : &cs->first) = c->next;
    *(c->next ? &c->next->prev : &cs->last) = c->prev;
}

GateCaller *gate_callers_find(GateCallers *cs, const char *name)
{
    GateCaller *c = cs->first;

    while (c && strcmp(c->name, name) != 0)
        c = c->next;
    if (!c)
        return NULL;

    unlink_caller(cs, c);
    link_first(cs, c);
    return c;
}

static void forget_verdicts(GateCaller *c)
{
    tdestroy(c->verdicts, free);
    c->verdicts = NULL;
}

static void make_room(GateCallers *cs)
{
    for (GateCaller *c = cs->last; c && cs->n_callers >= GATE_CALLERS_MAX; c = c->prev)
        if (!c->first) {
            gate_callers_remove(cs, c);
            return;
        }
}

GateCaller *gate_callers_add(GateCallers *cs, const char *name)
{
    make_room(cs);

    GateCaller *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;

    c->name = strdup(name);
    if (!c->name) {
        free(c);
        return NULL;
    }

    c->uid = (uid_t)-1;
    link_first(cs, c);
    cs->n_callers++;
    return c;
}

static void count_verdict(const void *node, VISIT visit, void *count)
{
    if (visit == preorder || visit == leaf)
        ++*(size_t *)count;
}

void gate_callers_remove(GateCallers *cs, GateCaller *c)
{
    size_t n = 0;

    assert(!c->first);
    unlink_caller(cs, c);
    cs->n_callers--;

    twalk_r(c->verdicts, count_verdict, &n);
    cs->n_verdicts -= n;
    forget_verdicts(c);

    sd_bus_slot_unref(c->uid_request);
    free(c->name);
    free(c);
}

bool gate_caller_remembers(const GateCaller *c, const char *question)
{
    return tfind(question, &c->verdicts, compare) != NULL;
}

int gate_callers_remember(GateCallers *cs, GateCaller *c, const char *question)
{
    if (gate_caller_remembers(c, question))
        return 0;

    if (cs->n_verdicts >= GATE_VERDICTS_MAX) {
        for (GateCaller *i = cs->first; i; i = i->next)
            forget_verdicts(i);
        cs->n_verdicts = 0;
    }

    _cleanup_(freep) char *key = strdup(question);
    if (!key || !tsearch(key, &c->verdicts, compare))
        return -ENOMEM;

    TAKE_PTR(key);
    cs->n_verdicts++;
    return 0;
}
