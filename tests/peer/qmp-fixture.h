/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A Qmp against a scripted peer, and a record of all that it says.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "event-wait.h"
#include "qmp-peer.h"
#include "qmp.h"

typedef enum FreeWhen {
    FREE_NEVER,
    FREE_IN_GREETED,
    FREE_IN_EVENT,
    FREE_IN_REPLY,
    FREE_IN_OVERDUE,
    FREE_IN_CLOSED,
} FreeWhen;

typedef struct QmpFixture {
    sd_event *event;
    QmpPeer *peer;
    Qmp *q;             /* NULL once it was freed */
    FreeWhen free_when; /* the callback that frees the Qmp */
    QmpGreeting greeting;
    char *package;
    unsigned greeted, closed, events, replies;
    int error;    /* of closed() */
    GString *log; /* what happened, in order: words, each followed by a space */
} QmpFixture;

/* For g_test_add(): the peer only, or a connection that is greeted. */
void qmp_fixture_set_up(QmpFixture *f, gconstpointer data);
void qmp_fixture_set_up_greeted(QmpFixture *f, gconstpointer data);
void qmp_fixture_tear_down(QmpFixture *f, gconstpointer data);

void qmp_fixture_start(QmpFixture *f, QmpStart how);
/* Sends a command whose answer goes to the log. A timeout of 0 is the ordinary one. */
void qmp_fixture_call(QmpFixture *f, const char *command, uint64_t timeout_usec);
int qmp_fixture_try_call(QmpFixture *f, const char *command);

void qmp_fixture_expect_greeted(QmpFixture *f);
/* Until the log is that. */
void qmp_fixture_expect_log(QmpFixture *f, const char *log);
/* The end, with that error, and nothing after it. */
void qmp_fixture_expect_closed(QmpFixture *f, int error);
