/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A private D-Bus daemon for a test, with the rules of a system bus and our policy file. Gone with
 * the test.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "wait.h"

typedef struct TestBus TestBus;

/* extra_policy: more elements for the configuration, such as a <limit>; NULL for none. */
TestBus *test_bus_start(const char *extra_policy);
void test_bus_free(TestBus *b);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TestBus, test_bus_free)

/* For DBUS_SYSTEM_BUS_ADDRESS. */
const char *test_bus_address(const TestBus *b);

/* A connection on the event loop, not yet authenticated. The bus sees it as uid's; only root may
 * name another uid than its own. */
sd_bus *test_bus_connect(const TestBus *b, sd_event *event, uid_t uid);
/* Closes and forgets a connection: for the others its owner has gone. */
void test_bus_disconnect(sd_bus *connection);

/* Runs the loop until the condition holds, and aborts the test with `what` at the deadline. */
void test_bus_run_until(sd_event *event, const char *what, WaitFunc condition, gpointer data);
