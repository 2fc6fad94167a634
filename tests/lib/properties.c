/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading properties of the service's objects through a recorder.
 */
#include "properties.h"

#include <string.h>

#include "wait.h"

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

static unsigned get(Recorder *r, const char *path, const char *interface, const char *name)
{
    return recorder_call(r, path, PROPERTIES_INTERFACE, "Get", "ss", interface, name);
}

bool property_exists(Recorder *r, const char *path, const char *interface)
{
    const unsigned call = recorder_send(r, path, PROPERTIES_INTERFACE, "GetAll", "s", interface);

    return recorder_at(r, recorder_await(r, call))->kind == RECORD_REPLY;
}

char *property_string(Recorder *r, const char *path, const char *interface, const char *name)
{
    const char *value, *type;
    sd_bus_message *m = recorder_at(r, get(r, path, interface, name))->message;

    g_assert_cmpint(sd_bus_message_peek_type(m, NULL, &type), >, 0);
    g_assert_true(strcmp(type, "s") == 0 || strcmp(type, "o") == 0);
    g_assert_cmpint(sd_bus_message_read(m, "v", type, &value), >=, 0);
    return g_strdup(value);
}

uint32_t property_u32(Recorder *r, const char *path, const char *interface, const char *name)
{
    uint32_t value;

    recorder_read(r, get(r, path, interface, name), "v", "u", &value);
    return value;
}

uint64_t property_u64(Recorder *r, const char *path, const char *interface, const char *name)
{
    uint64_t value;

    recorder_read(r, get(r, path, interface, name), "v", "t", &value);
    return value;
}

bool property_bool(Recorder *r, const char *path, const char *interface, const char *name)
{
    int value;

    recorder_read(r, get(r, path, interface, name), "v", "b", &value);
    return value;
}

/* m stands inside an array of {sv}. */
static char *find_string(sd_bus_message *m, const char *key)
{
    char *found = NULL;

    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        const char *name, *value;

        g_assert_cmpint(sd_bus_message_read(m, "s", &name), >=, 0);
        if (strcmp(name, key) == 0) {
            g_assert_cmpint(sd_bus_message_read(m, "v", "s", &value), >=, 0);
            found = g_strdup(value);
        } else {
            sd_bus_message_skip(m, "v");
        }
        sd_bus_message_exit_container(m);
    }
    return found;
}

char *property_chain_string(Recorder *r, const char *disk, unsigned index, const char *key)
{
    sd_bus_message *m = recorder_at(r, get(r, disk, DISK_INTERFACE, "Chain"))->message;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "aa{sv}"), >=, 0);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "a{sv}"), >=, 0);
    for (unsigned i = 0; i < index; i++)
        g_assert_cmpint(sd_bus_message_skip(m, "a{sv}"), >=, 0);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >, 0);
    return find_string(m, key);
}

char *property_last_job(Recorder *r, const char *disk, const char *key)
{
    sd_bus_message *m = recorder_at(r, get(r, disk, DISK_INTERFACE, "LastJob"))->message;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "a{sv}"), >=, 0);
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >=, 0);
    return find_string(m, key);
}

typedef struct Awaited {
    Recorder *recorder;
    const char *path, *interface, *name, *value;
} Awaited;

static bool has_value(gpointer data)
{
    const Awaited *a = data;
    g_autofree char *value = property_string(a->recorder, a->path, a->interface, a->name);

    return strcmp(value, a->value) == 0;
}

void property_wait_string(Recorder *r, const char *path, const char *interface, const char *name,
                          const char *value)
{
    Awaited awaited = {r, path, interface, name, value};
    g_autofree char *what = g_strdup_printf("%s of %s is %s", name, path, value);

    wait_until(what, has_value, &awaited);
}

void property_check_string(Recorder *r, const char *path, const char *interface, const char *name,
                           const char *value)
{
    g_autofree char *found = property_string(r, path, interface, name);

    g_assert_cmpstr(found, ==, value);
}
