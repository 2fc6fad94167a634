/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the tests of vmdiskctl begin with.
 */
#include "client-fixture.h"

#include <stdarg.h>

static void set_up(ClientFixture *f, gconstpointer data)
{
    f->service = fake_service_new();
    f->disk = fake_service_add(f->service, "web1", "vda");
}

static void tear_down(ClientFixture *f, gconstpointer data)
{
    fake_service_free(f->service);
}

void client_fixture_add_test(const char *path, ClientFunc test)
{
    g_test_add(path, ClientFixture, NULL, set_up, test, tear_down);
}

static ClientRun *run(const ClientWorld *world, va_list arguments)
{
    g_autoptr(GPtrArray) words = g_ptr_array_new();
    const char *word;

    do {
        word = va_arg(arguments, const char *);
        g_ptr_array_add(words, (char *)word);
    } while (word);
    return client_run_new(world, (const char *const *)words->pdata);
}

ClientRun *client_fixture_run(ClientFixture *f, ...)
{
    ClientWorld world = {
        .event = fake_service_event(f->service),
        .bus_address = fake_service_address(f->service),
    };
    va_list arguments;

    va_start(arguments, f);
    ClientRun *r = run(&world, arguments);
    va_end(arguments);
    return r;
}

ClientRun *client_fixture_run_on_terminal(ClientFixture *f, const char *path, ...)
{
    ClientWorld world = {
        .event = fake_service_event(f->service),
        .bus_address = fake_service_address(f->service),
        .terminal = true,
        .path = path,
    };
    va_list arguments;

    va_start(arguments, path);
    ClientRun *r = run(&world, arguments);
    va_end(arguments);
    return r;
}
