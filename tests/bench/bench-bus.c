/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What reading a property costs, against the least that a call on the bus can cost: Properties.Get
 * of a disk, a Ping of the daemon, and a Ping of a service that does nothing. The caller is the
 * user of the daemon, so that polkit is not asked. In turn, in the same run.
 */
#include <systemd/sd-bus.h>

#include "figures.h"
#include "scene.h"

#define ROUNDS 50
#define CALLS 100 /* in a round, of each */
/* A name that anybody may have on the bus of the tests; nobody asks polkit here. */
#define NOTHING "org.freedesktop.PolicyKit1"
#define PEER "org.freedesktop.DBus.Peer"

static sd_bus *connect_to(const char *address)
{
    sd_bus *bus;

    g_assert_cmpint(sd_bus_new(&bus), >=, 0);
    g_assert_cmpint(sd_bus_set_address(bus, address), >=, 0);
    g_assert_cmpint(sd_bus_set_bus_client(bus, true), >=, 0);
    g_assert_cmpint(sd_bus_start(bus), >=, 0);
    return bus;
}

/* sd-bus answers Ping by itself. */
static gpointer serve(gpointer data)
{
    sd_bus *bus = data;

    while (sd_bus_is_open(bus) > 0) {
        const int r = sd_bus_process(bus, NULL);

        if (r < 0)
            break;
        if (r == 0)
            (void)sd_bus_wait(bus, UINT64_MAX);
    }
    return NULL;
}

/* --- the calls ----------------------------------------------------------------------------------
 */

typedef struct Target {
    const char *destination, *path, *interface, *member;
    const char *property; /* NULL for no arguments */
    Figures *figures;
} Target;

static void call(sd_bus *bus, const Target *t)
{
    sd_bus_message *m = NULL, *reply = NULL;

    g_assert_cmpint(
        sd_bus_message_new_method_call(bus, &m, t->destination, t->path, t->interface, t->member),
        >=, 0);
    if (t->property)
        g_assert_cmpint(sd_bus_message_append(m, "ss", DISK_INTERFACE, t->property), >=, 0);
    g_assert_cmpint(sd_bus_call(bus, m, 0, /* ret_error= */ NULL, &reply), >=, 0);
    sd_bus_message_unref(m);
    sd_bus_message_unref(reply);
}

/* A round's mean: one call is too short a time. */
static void run(sd_bus *bus, const Target *t)
{
    const gint64 begin = g_get_monotonic_time();

    for (unsigned i = 0; i < CALLS; i++)
        call(bus, t);
    figures_add(t->figures, (double)(g_get_monotonic_time() - begin) / CALLS);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    g_autoptr(Figures) get = figures_new("  Properties.Get of a disk"),
                       ping = figures_new("  Ping of the daemon"),
                       nothing = figures_new("  Ping of a service that does nothing");
    const char *address = test_bus_address(s->rig->bus);
    sd_bus *caller = connect_to(address), *service = connect_to(address);

    g_assert_cmpint(sd_bus_request_name(service, NOTHING, 0), >=, 0);

    const Target targets[] = {
        {SERVICE_NAME, s->disk, "org.freedesktop.DBus.Properties", "Get", "JobState", get},
        {SERVICE_NAME, s->disk, PEER, "Ping", NULL, ping},
        {NOTHING, "/", PEER, "Ping", NULL, nothing},
    };
    g_thread_unref(g_thread_new("service", serve, service)); /* ends with the process */

    for (unsigned i = 0; i < ROUNDS; i++)
        for (unsigned k = 0; k < G_N_ELEMENTS(targets); k++)
            run(caller, &targets[k]);

    g_print("One call after the other, %u rounds of %u:\n", ROUNDS, CALLS);
    figures_print(nothing);
    figures_print(ping);
    figures_print(get);
    figures_print_ratio(get, ping);
    figures_print_ratio(get, nothing);
    return 0;
}
