/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A polkit for tests: takes the name org.freedesktop.PolicyKit1, answers CheckAuthorization() as
 * told and keeps what it was asked. Without one on the bus, polkit is absent.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "test-bus.h"

typedef enum MockPolkitMode {
    MOCK_POLKIT_YES,
    MOCK_POLKIT_NO,
    MOCK_POLKIT_CHALLENGE,
    MOCK_POLKIT_HANG, /* no answer, until mock_polkit_answer() */
    MOCK_POLKIT_ERROR,
    MOCK_POLKIT_MALFORMED,
    MOCK_POLKIT_CRASH, /* gone from the bus instead of an answer */
} MockPolkitMode;

typedef struct MockCheck {
    char *subject_kind, *subject_name;
    char *action;
    GHashTable *details;
    guint32 flags;
    char *cancellation_id;
    sd_bus_message *message;
    bool answered, cancelled;
} MockCheck;

typedef struct MockPolkit {
    sd_bus *bus;
    MockPolkitMode mode;
    GPtrArray *checks; /* MockCheck, in the order they came */
} MockPolkit;

/* Runs the loop until the name is taken. */
MockPolkit *mock_polkit_new(const TestBus *bus, sd_event *event);
void mock_polkit_free(MockPolkit *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MockPolkit, mock_polkit_free)

/* NULL where fewer have come. */
MockCheck *mock_polkit_check(const MockPolkit *p, guint index);
/* A detail's value, NULL where it was not passed. */
const char *mock_check_detail(const MockCheck *c, const char *key);
/* Answers a check that hangs. */
void mock_polkit_answer(MockPolkit *p, guint index, bool authorized);
