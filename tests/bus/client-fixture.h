/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of vmdiskctl begin with: a service that does as it is told, with the disk
 * "web1/vda", and a way to run the client against it.
 */
#pragma once

#include "client-run.h"
#include "fake-service.h"

typedef struct ClientFixture {
    FakeService *service;
    FakeDisk *disk;
} ClientFixture;

typedef void (*ClientFunc)(ClientFixture *f, gconstpointer data);

/* Adds a test that begins with that. */
void client_fixture_add_test(const char *path, ClientFunc test);

/* The arguments end with NULL. */
ClientRun *client_fixture_run(ClientFixture *f, ...) G_GNUC_NULL_TERMINATED;
ClientRun *client_fixture_run_on_terminal(ClientFixture *f, const char *path,
                                          ...) G_GNUC_NULL_TERMINATED;
