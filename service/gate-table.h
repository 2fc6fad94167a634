/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * gate-table says which polkit action each method needs. What is not in it does not exist for
 * callers. A new method is entered here; the test of the gate compares it with interfaces/.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* For what a method does with the option "override" set. */
#define GATE_ACTION_OVERRIDE "org.vmdisk1.override"

typedef struct GateEntry {
    const char *interface, *member;
    const char *action;
    bool remembered; /* a yes holds for the same question of the same connection until it leaves */
    bool options; /* its argument is a{sv}, where "override" needs GATE_ACTION_OVERRIDE instead */
    bool any_object; /* sd-bus answers this for objects that are not there as well */
} GateEntry;

/* NULL where the table has none, also for a call without interface. */
const GateEntry *gate_table_find(const char *interface, const char *member);
/* For tests: the entries from 0 on, then NULL. */
const GateEntry *gate_table_get(size_t index);
