/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A D-Bus client that writes down everything the service says, in order.
 */
#include "recorder.h"

#include <errno.h>
#include <string.h>

#include "wait.h"

struct Recorder {
    sd_bus *bus;
    GArray *records; /* Record */
    unsigned calls;
    GPtrArray *open; /* Call: not answered yet */
    bool owned;      /* the service's name, as the bus announced it last */
};

typedef struct Call {
    Recorder *recorder;
    unsigned number;
} Call;

static void add_record(Recorder *r, RecordKind kind, unsigned call, sd_bus_message *m)
{
    Record record = {.kind = kind, .call = call, .message = sd_bus_message_ref(m)};

    if (kind == RECORD_SIGNAL) {
        record.path = sd_bus_message_get_path(m);
        record.interface = sd_bus_message_get_interface(m);
        record.member = sd_bus_message_get_member(m);
    }
    g_array_append_val(r->records, record);
}

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    add_record(userdata, RECORD_SIGNAL, 0, m);
    return 0;
}

static int on_owner(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Recorder *r = userdata;
    const char *name, *old, *new;

    g_assert_cmpint(sd_bus_message_read(m, "sss", &name, &old, &new), >=, 0);
    r->owned = *new;
    add_record(r, RECORD_OWNER, 0, m);
    return 0;
}

static int on_reply(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    Call *call = userdata;

    add_record(call->recorder,
               sd_bus_message_is_method_error(m, NULL) ? RECORD_ERROR : RECORD_REPLY, call->number,
               m);
    g_ptr_array_remove(call->recorder->open, call);
    return 0;
}

static void clear_record(gpointer data)
{
    sd_bus_message_unref(((Record *)data)->message);
}

Recorder *recorder_new(const char *address)
{
    Recorder *r = g_new0(Recorder, 1);

    r->open = g_ptr_array_new_with_free_func(g_free);

    r->records = g_array_new(FALSE, FALSE, sizeof(Record));
    g_array_set_clear_func(r->records, clear_record);
    g_assert_cmpint(sd_bus_new(&r->bus), >=, 0);
    g_assert_cmpint(sd_bus_set_address(r->bus, address), >=, 0);
    g_assert_cmpint(sd_bus_set_bus_client(r->bus, true), >=, 0);
    g_assert_cmpint(sd_bus_start(r->bus), >=, 0);
    g_assert_cmpint(
        sd_bus_add_match(r->bus, NULL, "type='signal',sender='" SERVICE_NAME "'", on_signal, r), >=,
        0);
    g_assert_cmpint(sd_bus_add_match(r->bus, NULL,
                                     "type='signal',sender='org.freedesktop.DBus',"
                                     "member='NameOwnerChanged',arg0='" SERVICE_NAME "'",
                                     on_owner, r),
                    >=, 0);
    r->owned = sd_bus_get_name_creds(r->bus, SERVICE_NAME, 0, NULL) >= 0;
    return r;
}

void recorder_free(Recorder *r)
{
    if (!r)
        return;
    sd_bus_close(r->bus);
    g_array_unref(r->records);
    sd_bus_unref(r->bus);
    g_ptr_array_unref(r->open);
    g_free(r);
}

/* Takes what has come; where that is nothing, waits for something. */
static void turn(Recorder *r, const char *what, gint64 deadline)
{
    gint64 left = deadline - g_get_monotonic_time();
    int n = sd_bus_process(r->bus, NULL);

    g_assert_cmpint(n, >=, 0);
    if (n > 0)
        return;
    if (left <= 0)
        g_error("Waited too long: %s", what);
    n = sd_bus_wait(r->bus, (uint64_t)left);
    g_assert_true(n >= 0 || n == -EINTR);
}

unsigned recorder_mark(const Recorder *r)
{
    return r->records->len;
}

const Record *recorder_at(const Recorder *r, unsigned position)
{
    g_assert_cmpuint(position, <, r->records->len);
    return &g_array_index(r->records, Record, position);
}

void recorder_read(Recorder *r, unsigned position, const char *types, ...)
{
    sd_bus_message *m = recorder_at(r, position)->message;
    va_list arguments;
    int n;

    g_assert_cmpint(sd_bus_message_rewind(m, true), >=, 0);
    va_start(arguments, types);
    n = sd_bus_message_readv(m, types, arguments);
    va_end(arguments);
    g_assert_cmpint(n, >=, 0);
}

static unsigned send_call(Recorder *r, const char *path, const char *interface, const char *member,
                          const char *types, va_list arguments)
{
    sd_bus_message *m = NULL;
    Call *call = g_new0(Call, 1);

    g_ptr_array_add(r->open, call);
    call->recorder = r;
    call->number = ++r->calls;
    g_assert_cmpint(
        sd_bus_message_new_method_call(r->bus, &m, SERVICE_NAME, path, interface, member), >=, 0);
    /* The test decides when the service is started. */
    g_assert_cmpint(sd_bus_message_set_auto_start(m, false), >=, 0);
    if (types)
        g_assert_cmpint(sd_bus_message_appendv(m, types, arguments), >=, 0);
    g_assert_cmpint(sd_bus_call_async(r->bus, NULL, m, on_reply, call, UINT64_MAX), >=, 0);
    sd_bus_message_unref(m);
    return r->calls;
}

unsigned recorder_send(Recorder *r, const char *path, const char *interface, const char *member,
                       const char *types, ...)
{
    va_list arguments;
    unsigned call;

    va_start(arguments, types);
    call = send_call(r, path, interface, member, types, arguments);
    va_end(arguments);
    /* On its way before the test does anything else. */
    g_assert_cmpint(sd_bus_flush(r->bus), >=, 0);
    return call;
}

int recorder_find_answer(Recorder *r, unsigned call)
{
    for (unsigned i = 0; i < r->records->len; i++)
        if (recorder_at(r, i)->call == call)
            return (int)i;
    return -1;
}

unsigned recorder_await(Recorder *r, unsigned call)
{
    const gint64 deadline = wait_deadline();
    int position;

    g_assert_cmpuint(call, >, 0);
    for (;;) {
        position = recorder_find_answer(r, call);
        if (position >= 0)
            return (unsigned)position;
        turn(r, "an answer of the service", deadline);
    }
}

unsigned recorder_call(Recorder *r, const char *path, const char *interface, const char *member,
                       const char *types, ...)
{
    const sd_bus_error *error;
    va_list arguments;
    unsigned position;

    va_start(arguments, types);
    position = recorder_await(r, send_call(r, path, interface, member, types, arguments));
    va_end(arguments);
    error = sd_bus_message_get_error(recorder_at(r, position)->message);
    if (error)
        g_error("%s %s.%s: %s: %s", path, interface, member, error->name, error->message);
    return position;
}

const char *recorder_refused(Recorder *r, const char *error_name, const char *path,
                             const char *interface, const char *member, const char *types, ...)
{
    const sd_bus_error *error;
    va_list arguments;
    unsigned position;

    va_start(arguments, types);
    position = recorder_await(r, send_call(r, path, interface, member, types, arguments));
    va_end(arguments);
    error = sd_bus_message_get_error(recorder_at(r, position)->message);
    if (!error)
        g_error("%s %s.%s is not refused", path, interface, member);
    g_assert_cmpstr(error->name, ==, error_name);
    g_assert_nonnull(error->message);
    return error->message;
}

/* InterfacesAdded is (o a{sa{sv}}), InterfacesRemoved is (o as). */
static bool names_part(sd_bus_message *m, const char *object, const char *part)
{
    const bool added = sd_bus_message_is_signal(m, NULL, "InterfacesAdded");
    const char *path, *interface;
    bool found = part == NULL;

    g_assert_cmpint(sd_bus_message_read(m, "o", &path), >=, 0);
    if (object && strcmp(path, object) != 0)
        return false;
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', added ? "{sa{sv}}" : "s"), >=, 0);
    while (!found) {
        if (added && sd_bus_message_enter_container(m, 'e', "sa{sv}") <= 0)
            break;
        if (sd_bus_message_read(m, "s", &interface) <= 0)
            break;
        found = strcmp(interface, part) == 0;
        if (added) {
            sd_bus_message_skip(m, "a{sv}");
            sd_bus_message_exit_container(m);
        }
    }
    return found;
}

/* A value of the wrong type is no match. */
static bool has_value(sd_bus_message *m, const char *value)
{
    const char *text;

    if (!value)
        return sd_bus_message_skip(m, "v") >= 0;
    if (sd_bus_message_verify_type(m, 'v', "s") <= 0) {
        sd_bus_message_skip(m, "v");
        return false;
    }
    sd_bus_message_read(m, "v", "s", &text);
    return strcmp(text, value) == 0;
}

/* PropertiesChanged is (s a{sv} as). */
static bool names_property(sd_bus_message *m, const Sought *s)
{
    const char *name;
    bool found = false;

    g_assert_cmpint(sd_bus_message_read(m, "s", &name), >=, 0);
    if (s->part && strcmp(name, s->part) != 0)
        return false;
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        g_assert_cmpint(sd_bus_message_read(m, "s", &name), >=, 0);
        if (strcmp(name, s->property) == 0)
            found = has_value(m, s->value) || found;
        else
            sd_bus_message_skip(m, "v");
        sd_bus_message_exit_container(m);
    }
    sd_bus_message_exit_container(m);
    if (found || s->value)
        return found;
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "s"), >=, 0);
    while (!found && sd_bus_message_read(m, "s", &name) > 0)
        found = strcmp(name, s->property) == 0;
    return found;
}

static bool matches(const Record *record, const Sought *s)
{
    if (record->kind != RECORD_SIGNAL)
        return false;
    if (s->path && strcmp(record->path, s->path) != 0)
        return false;
    if (s->interface && strcmp(record->interface, s->interface) != 0)
        return false;
    if (s->member && strcmp(record->member, s->member) != 0)
        return false;

    sd_bus_message_rewind(record->message, true);
    if (strcmp(record->member, "InterfacesAdded") == 0 ||
        strcmp(record->member, "InterfacesRemoved") == 0)
        return !s->property && names_part(record->message, s->object, s->part);
    if (strcmp(record->member, "PropertiesChanged") == 0 && s->property)
        return names_property(record->message, s);
    return !s->object && !s->part && !s->property;
}

int recorder_find(Recorder *r, unsigned from, Sought sought)
{
    for (unsigned i = from; i < r->records->len; i++)
        if (matches(recorder_at(r, i), &sought))
            return (int)i;
    return -1;
}

unsigned recorder_wait(Recorder *r, unsigned from, Sought sought)
{
    g_autofree char *what = g_strdup_printf("signal %s of %s %s", sought.member,
                                            sought.path ? sought.path : sought.object,
                                            sought.property ? sought.property : "");
    const gint64 deadline = wait_deadline();

    for (;;) {
        int position = recorder_find(r, from, sought);

        if (position >= 0)
            return (unsigned)position;
        from = recorder_mark(r);
        turn(r, what, deadline);
    }
}

unsigned recorder_count(Recorder *r, unsigned from, Sought sought)
{
    unsigned n = 0;

    for (unsigned i = from; i < r->records->len; i++)
        n += matches(recorder_at(r, i), &sought);
    return n;
}

void recorder_turn(Recorder *r, uint64_t usec)
{
    int n = sd_bus_process(r->bus, NULL);

    if (n == 0) {
        n = sd_bus_wait(r->bus, usec);
        while (n > 0 && sd_bus_process(r->bus, NULL) > 0)
            ;
    }
    g_assert_true(n >= 0 || n == -EINTR);
}

bool recorder_has_owner(const Recorder *r)
{
    return r->owned;
}

void recorder_settle(Recorder *r)
{
    recorder_call(r, SERVICE_PATH, "org.freedesktop.DBus.Peer", "Ping", NULL);
}

void recorder_wait_owner(Recorder *r, bool owned)
{
    const gint64 deadline = wait_deadline();

    while (r->owned != owned)
        turn(r, owned ? "the service takes its name" : "the service gives its name back", deadline);
}
