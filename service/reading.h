/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * reading is one question about the block graph of a VM, asked for many: one reading at a time,
 * and who wishes for one while it is on its way gets the next, which begins after the wish.
 */
#pragma once

#include "block.h"
#include "cleanup.h"

typedef struct Vm Vm;
typedef struct Reading Reading;

/* Of block.h: what is asked. */
typedef int (*ReadingAskFunc)(Qmp *q, BlockReadFunc callback, void *userdata);
/* error and text as in BlockReading; 0: reading_graph() is what was read. */
typedef void (*ReadingFunc)(Vm *vm, int error, const char *text, void *userdata);

typedef struct ReadingOwner {
    /* What was read, before anybody else hears of it; text is for a failure. Returns what the
     * others are told as error. */
    int (*take)(Vm *vm, int error, const char *text);
    /* All have heard of it. May free the reading. */
    void (*over)(Vm *vm, int error);
} ReadingOwner;

/* owner: NULL where nobody has to know. */
int reading_new(Vm *vm, ReadingAskFunc ask, const ReadingOwner *owner, Reading **ret);
/* Nothing may be on its way any more; nor may anybody wait: reading_give_up(). */
Reading *reading_free(Reading *r);
DEFINE_CLEANUP(Reading, reading_free)

/* The callback is called exactly once, later, after a return of 0 only. */
int reading_wish(Reading *r, ReadingFunc callback, void *userdata);
/* Whoever waits is told -ENOTCONN. */
void reading_give_up(Reading *r);
/* Whether somebody waits for a reading that has not begun. */
bool reading_is_wanted(const Reading *r);
/* As read last without an error, until it is read again; NULL before. */
const Graph *reading_graph(const Reading *r);
