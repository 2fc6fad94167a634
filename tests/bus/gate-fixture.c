/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A small service behind the gate, its callers, and a polkit.
 */
#include "gate-fixture.h"

#include <fcntl.h>
#include <string.h>

const Method fixture_methods[] = {
    {PATH_ROOT, "org.vmdisk1.Manager", "AttachVM", "org.vmdisk1.attach", "AttachVM", "sha{sv}"},
    {PATH_WEB1, "org.vmdisk1.VM", "Detach", "org.vmdisk1.attach", "Detach", ""},
    {PATH_WEB1, "org.vmdisk1.VM", "Commit", "org.vmdisk1.commit", "Commit", "b"},
    {PATH_WEB1, "org.vmdisk1.VM", "CommitWith", "org.vmdisk1.commit", "CommitWith", "a{sv}"},
    {PATH_WEB1, "org.vmdisk1.VM", "CommitWith", "org.vmdisk1.override", "CommitWith", "override"},
    {PATH_WEB1, "org.vmdisk1.VM", "Pivot", "org.vmdisk1.conclude", "Pivot", ""},
    {PATH_WEB1, "org.vmdisk1.VM", "Abort", "org.vmdisk1.conclude", "Abort", ""},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Commit", "org.vmdisk1.commit", "Commit", "b"},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "CommitWith", "org.vmdisk1.commit", "CommitWith", "a{sv}"},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "CommitWith", "org.vmdisk1.override", "CommitWith",
     "override"},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Check", "org.vmdisk1.inspect", "Check", "override"},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Pivot", "org.vmdisk1.conclude", "Pivot", ""},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Abort", "org.vmdisk1.conclude", "Abort", ""},
    {PATH_WEB1_VDA, "org.vmdisk1.Job", "SetSpeed", "org.vmdisk1.commit", "SetSpeed", "t"},
    {PATH_WEB1_VDA, "org.vmdisk1.Job", "Pause", "org.vmdisk1.commit", "Pause", ""},
    {PATH_WEB1_VDA, "org.vmdisk1.Job", "Resume", "org.vmdisk1.commit", "Resume", ""},
    {PATH_WEB1_VDA, "org.freedesktop.DBus.Properties", "Get", "org.vmdisk1.inspect", "Get JobState",
     "ss"},
    {PATH_WEB1_VDA, "org.freedesktop.DBus.Properties", "GetAll", "org.vmdisk1.inspect",
     "Get JobState", "s"},
    {PATH_ROOT, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", "org.vmdisk1.inspect",
     "Get JobState, Get JobState", ""},
    {PATH_WEB1_VDA, "org.freedesktop.DBus.Introspectable", "Introspect", "org.vmdisk1.inspect",
     NULL, ""},
    {PATH_WEB1_VDA, "org.freedesktop.DBus.Peer", "Ping", "org.vmdisk1.inspect", NULL, ""},
    {PATH_WEB1_VDA, "org.freedesktop.DBus.Peer", "GetMachineId", "org.vmdisk1.inspect", NULL, ""},
};
const size_t fixture_n_methods = G_N_ELEMENTS(fixture_methods);

static int on_method(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Fixture *f = userdata;
    const char *member = sd_bus_message_get_member(m);

    g_ptr_array_add(f->reached, g_strdup(member));
    if (g_str_equal(member, "AttachVM"))
        return sd_bus_reply_method_return(m, "o", PATH_WEB1);
    if (g_str_has_prefix(member, "Commit") &&
        g_str_equal(sd_bus_message_get_interface(m), "org.vmdisk1.Disk"))
        return sd_bus_reply_method_return(m, "s", "job0");
    if (g_str_equal(member, "Check"))
        return sd_bus_reply_method_return(m, "a{sv}", 0);
    return sd_bus_reply_method_return(m, NULL);
}

static int on_get(sd_bus *bus, const char *path, const char *interface, const char *property,
                  sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    Fixture *f = userdata;

    g_ptr_array_add(f->reached, g_strdup_printf("Get %s", property));
    return sd_bus_message_append(reply, "s", "none");
}

static int on_set(sd_bus *bus, const char *path, const char *interface, const char *property,
                  sd_bus_message *value, void *userdata, sd_bus_error *ret_error)
{
    Fixture *f = userdata;

    g_ptr_array_add(f->reached, g_strdup_printf("Set %s", property));
    return 0;
}

#define METHOD(name, in, out) SD_BUS_METHOD(name, in, out, on_method, SD_BUS_VTABLE_UNPRIVILEGED)

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("AttachVM", "sha{sv}", "o"),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable vm_vtable[] = {
    SD_BUS_VTABLE_START(0),    METHOD("Detach", "", ""),
    METHOD("Commit", "b", ""), METHOD("CommitWith", "a{sv}", ""),
    METHOD("Pivot", "", ""),   METHOD("Abort", "", ""),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable disk_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("Commit", "b", "s"),
    METHOD("CommitWith", "a{sv}", "s"),
    METHOD("Check", "a{sv}", "a{sv}"),
    METHOD("Pivot", "", ""),
    METHOD("Abort", "", ""),
    SD_BUS_PROPERTY("JobState", "s", on_get, 0, 0),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable job_vtable[] = {
    SD_BUS_VTABLE_START(0),   METHOD("SetSpeed", "t", ""), METHOD("Pause", "", ""),
    METHOD("Resume", "", ""), SD_BUS_VTABLE_END,
};
/* What nobody has entered in the gate's table. */
static const sd_bus_vtable forgotten_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("Leak", "", ""),
    SD_BUS_WRITABLE_PROPERTY("Knob", "s", on_get, on_set, 0, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

static const struct {
    const char *path, *interface;
    const sd_bus_vtable *vtable;
} objects[] = {
    {PATH_ROOT, "org.vmdisk1.Manager", manager_vtable},
    {PATH_ROOT, "org.vmdisk1.Forgotten", forgotten_vtable},
    {PATH_WEB1, "org.vmdisk1.VM", vm_vtable},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", disk_vtable},
    {PATH_WEB1_VDA, "org.vmdisk1.Job", job_vtable},
    {PATH_OTHER, "org.vmdisk1.VM", vm_vtable},
    {PATH_OTHER_VDA, "org.vmdisk1.Disk", disk_vtable},
};

static int resolve(const char *path, GateTarget *ret, void *userdata)
{
    const Fixture *f = userdata;
    g_autofree char *vm = NULL, *disk = NULL;

    if (sd_bus_path_decode_many(path, "/org/vmdisk1/vm/%/%", &vm, &disk) <= 0 &&
        sd_bus_path_decode(path, "/org/vmdisk1/vm", &vm) <= 0)
        return 0;

    bool is_named_web1 = g_str_equal(vm, "web1");
    bool is_web1 = is_named_web1 && !f->web1_is_gone;
    bool is_other = g_str_equal(vm, "other");
    bool is_disk = disk && g_str_equal(disk, "vda") && !(is_web1 && f->vda_is_gone);
    ret->vm = strdup(vm);
    ret->disk = disk ? strdup(disk) : NULL;
    ret->job = is_web1 && is_disk && !f->job_is_gone ? strdup("job0") : NULL;
    ret->owner = is_named_web1 ? f->owner : is_other ? UID_SOMEBODY : (uid_t)-1;
    if (!is_web1 && !is_other)
        ret->object = GATE_OBJECT_NO_VM;
    else if (!disk)
        ret->object = GATE_OBJECT_VM;
    else
        ret->object = is_disk ? GATE_OBJECT_DISK : GATE_OBJECT_NO_DISK;
    return 0;
}

static const GateResolver resolver = {.resolve = resolve};

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    bool *is_taken = userdata;

    g_assert_false(sd_bus_message_is_method_error(m, NULL));
    *is_taken = true;
    return 1;
}

static bool is_true(gpointer data)
{
    return *(bool *)data;
}

const FixtureConfig fixture_system = {GATE_SYSTEM, ""};
const FixtureConfig fixture_user = {GATE_USER, ""};

static void start_service(Fixture *f, GateMode mode)
{
    bool is_taken = false;

    f->service = test_bus_connect(f->bus, f->event, geteuid());

    g_assert_cmpint(seteuid(UID_DAEMON), ==, 0);
    int k = gate_new(f->service, mode, &resolver, f, &f->gate);
    g_assert_cmpint(seteuid(0), ==, 0);
    g_assert_cmpint(k, ==, 0);

    for (size_t i = 0; i < G_N_ELEMENTS(objects); i++)
        g_assert_cmpint(sd_bus_add_object_vtable(f->service, /* slot= */ NULL, objects[i].path,
                                                 objects[i].interface, objects[i].vtable, f),
                        >=, 0);
    g_assert_cmpint(sd_bus_add_object_manager(f->service, /* slot= */ NULL, PATH_ROOT), >=, 0);
    g_assert_cmpint(sd_bus_request_name_async(f->service, /* slot= */ NULL, "org.vmdisk1", 0,
                                              on_name, &is_taken),
                    >=, 0);
    test_bus_run_until(f->event, "the service's name", is_true, &is_taken);
}

static void call_free(gpointer data)
{
    Call *call = data;

    sd_bus_slot_unref(call->slot);
    sd_bus_message_unref(call->reply);
    g_free(call);
}

void fixture_set_up(Fixture *f, gconstpointer data)
{
    const FixtureConfig *config = data;
    /* More than the gate's own limits, so that those are what a test meets. */
    g_autofree char *policy = g_strdup_printf(
        "<limit name='max_replies_per_connection'>100000</limit>%s", config->policy);

    f->owner = UID_OWNER;
    f->connections = g_ptr_array_new_with_free_func((GDestroyNotify)test_bus_disconnect);
    f->calls = g_ptr_array_new_with_free_func(call_free);
    f->reached = g_ptr_array_new_with_free_func(g_free);
    f->bus = test_bus_start(policy);
    g_assert_cmpint(sd_event_new(&f->event), ==, 0);
    start_service(f, config->mode);
    fixture_start_polkit(f);
}

void fixture_tear_down(Fixture *f, gconstpointer data)
{
    g_ptr_array_unref(f->calls);
    g_ptr_array_unref(f->connections);
    gate_free(f->gate);
    test_bus_disconnect(f->service);
    fixture_stop_polkit(f);
    sd_event_unref(f->event);
    test_bus_free(f->bus);
    g_ptr_array_unref(f->reached);
}

static void skip(void)
{
    g_test_skip("needs root, to call as several users");
}

void fixture_add_test(const char *path, const FixtureConfig *config, FixtureFunc test)
{
    if (geteuid() == 0)
        g_test_add(path, Fixture, config, fixture_set_up, test, fixture_tear_down);
    else
        g_test_add_func(path, skip);
}

void fixture_start_polkit(Fixture *f)
{
    f->polkit = mock_polkit_new(f->bus, f->event);
}

void fixture_stop_polkit(Fixture *f)
{
    mock_polkit_free(f->polkit);
    f->polkit = NULL;
}

sd_bus *fixture_client(Fixture *f, uid_t uid)
{
    sd_bus *client = test_bus_connect(f->bus, f->event, uid);

    g_ptr_array_add(f->connections, client);
    return client;
}

void fixture_client_leaves(Fixture *f, sd_bus *client)
{
    g_assert_true(g_ptr_array_remove(f->connections, client));
}

static int append_arguments(sd_bus_message *m, const char *types)
{
    if (g_str_equal(types, "b"))
        return sd_bus_message_append(m, "b", true);
    if (g_str_equal(types, "t"))
        return sd_bus_message_append(m, "t", UINT64_C(1) << 20);
    if (g_str_equal(types, "s"))
        return sd_bus_message_append(m, "s", "org.vmdisk1.Disk");
    if (g_str_equal(types, "ss"))
        return sd_bus_message_append(m, "ss", "org.vmdisk1.Disk", "JobState");
    if (g_str_equal(types, "ssv"))
        return sd_bus_message_append(m, "ssv", "org.vmdisk1.Forgotten", "Knob", "s", "on");
    if (g_str_equal(types, "a{sv}"))
        return sd_bus_message_append(m, "a{sv}", 2, "override", "b", false, "top", "s", "override");
    if (g_str_equal(types, "override"))
        return sd_bus_message_append(m, "a{sv}", 3, "override", "s", "no", "active", "b", true,
                                     "override", "b", true);
    if (g_str_equal(types, "sha{sv}")) {
        int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        int k = sd_bus_message_append(m, "sha{sv}", "web2", fd, 0);
        close(fd);
        return k;
    }
    g_assert_cmpstr(types, ==, "");
    return 0;
}

sd_bus_message *fixture_message(sd_bus *client, const Method *m)
{
    sd_bus_message *message;

    g_assert_cmpint(sd_bus_message_new_method_call(client, &message, "org.vmdisk1", m->path,
                                                   m->interface, m->member),
                    ==, 0);
    g_assert_cmpint(append_arguments(message, m->types), >=, 0);
    return message;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Call *call = userdata;

    g_assert_null(call->reply);
    call->reply = sd_bus_message_ref(m);
    return 1;
}

Call *fixture_send(Fixture *f, sd_bus *client, sd_bus_message *message)
{
    Call *call = g_new0(Call, 1);

    g_assert_cmpint(
        sd_bus_call_async(client, &call->slot, message, on_reply, call, /* usec= */ UINT64_MAX), >=,
        0);
    g_ptr_array_add(f->calls, call);
    return call;
}

Call *fixture_call(Fixture *f, sd_bus *client, const Method *m)
{
    sd_bus_message *message = fixture_message(client, m);
    Call *call = fixture_send(f, client, message);

    sd_bus_message_unref(message);
    return call;
}

static bool has_reply(gpointer data)
{
    const Call *call = data;

    return call->reply != NULL;
}

const sd_bus_error *fixture_wait(Fixture *f, Call *call)
{
    test_bus_run_until(f->event, "the answer to a call", has_reply, call);
    return sd_bus_message_get_error(call->reply);
}

const sd_bus_error *fixture_ask(Fixture *f, sd_bus *client, const Method *m)
{
    return fixture_wait(f, fixture_call(f, client, m));
}

typedef struct Wanted {
    const MockPolkit *polkit;
    guint n;
} Wanted;

static bool has_checks(gpointer data)
{
    const Wanted *w = data;

    return w->polkit->checks->len >= w->n;
}

void fixture_wait_for_checks(Fixture *f, guint n)
{
    test_bus_run_until(f->event, "a question to polkit", has_checks, &(Wanted){f->polkit, n});
}

static bool is_cancelled(gpointer data)
{
    const Wanted *w = data;

    return mock_polkit_check(w->polkit, w->n)->cancelled;
}

void fixture_wait_for_cancellation(Fixture *f, guint index)
{
    test_bus_run_until(f->event, "a cancellation", is_cancelled, &(Wanted){f->polkit, index});
}

void fixture_wait_for_bus(Fixture *f)
{
    for (guint i = 0; i < f->connections->len; i++)
        g_assert_cmpint(sd_bus_call_method(g_ptr_array_index(f->connections, i),
                                           "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                           "org.freedesktop.DBus", "GetId", NULL, NULL, NULL),
                        >=, 0);
}

void fixture_settle(Fixture *f)
{
    static const Method ping = {"/", "org.freedesktop.DBus.Peer", "Ping", NULL, NULL, ""};

    /* The gate asks the bus about this new caller after it has asked about all the others. */
    fixture_wait_for_bus(f);
    sd_bus *last = fixture_client(f, UID_DAEMON);
    g_assert_null(fixture_ask(f, last, &ping));
    fixture_client_leaves(f, last);
}

char *fixture_take_reached(Fixture *f)
{
    g_ptr_array_add(f->reached, NULL);
    char *text = g_strjoinv(", ", (char **)f->reached->pdata);

    g_ptr_array_set_size(f->reached, 0);
    return text;
}

void fixture_assert_reached(Fixture *f, const char *expected)
{
    g_autofree char *reached = fixture_take_reached(f);

    g_assert_cmpstr(reached, ==, expected);
}

void fixture_assert_error(const sd_bus_error *error, const char *name)
{
    g_assert_nonnull(error);
    g_assert_cmpstr(error->name, ==, name);
}
