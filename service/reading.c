/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reading.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vm.h"

typedef struct Waiter Waiter;
struct Waiter {
    ReadingFunc callback;
    void *userdata;
    Waiter *next;
};

struct Reading {
    Vm *vm;
    ReadingAskFunc ask;
    const ReadingOwner *owner;
    Graph *graph;
    bool under_way;
    Waiter *served;  /* by the reading under way */
    Waiter *waiting; /* for the next */
};

static const ReadingOwner nobody = {NULL, NULL};

int reading_new(Vm *vm, ReadingAskFunc ask, const ReadingOwner *owner, Reading **ret)
{
    Reading *r = malloc(sizeof(Reading));
    if (!r)
        return -ENOMEM;

    *r = (Reading){.vm = vm, .ask = ask, .owner = owner ? owner : &nobody};
    *ret = r;
    return 0;
}

static void serve(Vm *vm, Waiter *waiters, int error, const char *text)
{
    while (waiters) {
        Waiter *w = waiters;

        waiters = w->next;
        w->callback(vm, error, text, w->userdata);
        free(w);
    }
}

Reading *reading_free(Reading *r)
{
    if (!r)
        return NULL;

    assert(!r->served && !r->waiting);
    graph_free(r->graph);
    free(r);
    return NULL;
}

static void on_answer(const BlockReading *answer, void *userdata);

static int begin(Reading *r)
{
    int k = r->ask(vm_qmp(r->vm), on_answer, r);
    if (k < 0)
        return k;

    r->under_way = true;
    r->served = TAKE_PTR(r->waiting);
    return 0;
}

static void on_answer(const BlockReading *answer, void *userdata)
{
    Reading *r = userdata;
    Waiter *served = TAKE_PTR(r->served);
    int error = answer->error;

    r->under_way = false;
    if (answer->graph) {
        graph_free(r->graph);
        r->graph = answer->graph;
    }
    if (r->owner->take)
        error = r->owner->take(r->vm, error, answer->text);

    /* From here on a waiter may have begun the next reading. */
    serve(r->vm, served, error, answer->text);
    if (error == -ENOTCONN)
        return;
    if (r->waiting && !r->under_way) {
        int k = begin(r);
        if (k < 0)
            serve(r->vm, TAKE_PTR(r->waiting), k, strerror(-k));
    }
    if (r->owner->over)
        r->owner->over(r->vm, error);
}

int reading_wish(Reading *r, ReadingFunc callback, void *userdata)
{
    Waiter *w = malloc(sizeof(Waiter));
    if (!w)
        return -ENOMEM;

    *w = (Waiter){callback, userdata, NULL};
    Waiter **end = &r->waiting;
    while (*end)
        end = &(*end)->next;
    *end = w;
    if (r->under_way)
        return 0;

    int k = begin(r);
    if (k < 0) {
        *end = NULL;
        free(w);
    }
    return k;
}

void reading_give_up(Reading *r)
{
    const char *text = strerror(ENOTCONN);

    serve(r->vm, TAKE_PTR(r->served), -ENOTCONN, text);
    serve(r->vm, TAKE_PTR(r->waiting), -ENOTCONN, text);
}

bool reading_is_wanted(const Reading *r)
{
    return r->waiting;
}

const Graph *reading_graph(const Reading *r)
{
    return r->graph;
}
