/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Disk.CommitWith refuses: choices of images that make no sense, and options that are no
 * options. Each text names VM and disk; nothing is started, and the next call works.
 */
#include "scene.h"

#include <gio/gio.h>
#include <string.h>

#include "wait.h"

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"
#define OPTIONS_MAX 2
/* The longest name that is looked at (bus-options.h). */
#define LONG_NAME 4096

typedef struct Option {
    const char *key;
    const char *type; /* "s", "b", "t", "x", "u" */
    const char *text;
    uint64_t number;
} Option;

#define TEXT(key, value)                                                                           \
    {                                                                                              \
        key, "s", value, 0                                                                         \
    }
#define FLAG(key)                                                                                  \
    {                                                                                              \
        key, "b", NULL, 1                                                                          \
    }

typedef struct Refused {
    const char *name;
    unsigned depth;
    const char *error;
    const char *hint; /* what the text speaks of */
    Option options[OPTIONS_MAX];
} Refused;

/* Names that stand for files of the scene. */
#define STRANGER "(a file that is not in the chain)"
#define ACTIVE "(the active image)"
#define LONG "(4 KiB)"
#define LONGER "(4 KiB and a byte)"

static const Refused table[] = {
    {"no-backing-file", 1, SERVICE_ERROR("NothingToCommit"), "snapshot", {FLAG("active")}},
    {"nothing-below-top", 4, SERVICE_ERROR("NothingToCommit"), "deepest", {TEXT("top", "3")}},
    {"same-image", 4, INVALID_ARGS, "same image", {TEXT("top", "2"), TEXT("base", "2")}},
    {"base-above-top", 4, INVALID_ARGS, "above", {TEXT("top", "2"), TEXT("base", "1")}},
    {"base-above-active", 4, INVALID_ARGS, "same image", {FLAG("active"), TEXT("base", "0")}},
    {"foreign-top", 4, SERVICE_ERROR("NoSuchImage"), "'top'", {TEXT("top", STRANGER)}},
    {"foreign-base", 4, SERVICE_ERROR("NoSuchImage"), "'base'", {TEXT("base", STRANGER)}},
    {"index-beyond", 4, SERVICE_ERROR("NoSuchImage"), "'base'", {TEXT("base", "4")}},
    {"empty-name", 4, SERVICE_ERROR("NoSuchImage"), "'base'", {TEXT("base", "")}},
    {"active-without-flag", 4, SERVICE_ERROR("ActiveLayer"), "Pivot", {TEXT("top", ACTIVE)}},
    {"active-index-without-flag", 4, SERVICE_ERROR("ActiveLayer"), "'active'", {TEXT("top", "0")}},
    {"only-active-without-flag", 2, SERVICE_ERROR("ActiveLayer"), "--active", {}},
    {"flag-with-lower-top",
     4,
     SERVICE_ERROR("NotActiveLayer"),
     "'top'",
     {FLAG("active"), TEXT("top", "1")}},
    {"speed-beyond-63-bits", 4, INVALID_ARGS, "2^63-1", {{"speed", "t", NULL, UINT64_MAX}}},
    {"speed-negative", 4, INVALID_ARGS, "number", {{"speed", "x", NULL, UINT64_MAX}}},
    {"speed-of-wrong-type", 4, INVALID_ARGS, "'speed'", {TEXT("speed", "1M")}},
    {"unknown-option", 4, INVALID_ARGS, "'bottom'", {TEXT("bottom", "1")}},
    {"option-twice", 4, INVALID_ARGS, "twice", {TEXT("base", "3"), TEXT("base", "2")}},
    {"long-top", 4, SERVICE_ERROR("NoSuchImage"), "'top'", {TEXT("top", LONG)}},
    {"longer-top", 4, INVALID_ARGS, "4096", {TEXT("top", LONGER)}},
    {"long-option", 4, INVALID_ARGS, "no option", {TEXT(LONG, "1")}},
};

static void append(GVariantBuilder *b, const Scene *s, const Option *o)
{
    g_autofree char *stranger = g_build_filename(s->rig->dir, "stranger", NULL);
    g_autofree char *long_name = g_strnfill(LONG_NAME, 'x');
    g_autofree char *longer_name = g_strnfill(LONG_NAME + 1, 'x');
    const char *key = strcmp(o->key, LONG) == 0 ? long_name : o->key;
    const char *text = o->text;

    if (g_strcmp0(text, STRANGER) == 0)
        text = stranger;
    else if (g_strcmp0(text, ACTIVE) == 0)
        text = scene_top(s);
    else if (g_strcmp0(text, LONG) == 0)
        text = long_name;
    else if (g_strcmp0(text, LONGER) == 0)
        text = longer_name;

    switch (*o->type) {
    case 's':
        g_variant_builder_add(b, "{sv}", key, g_variant_new_string(text));
        break;
    case 'b':
        g_variant_builder_add(b, "{sv}", key, g_variant_new_boolean(o->number != 0));
        break;
    case 't':
        g_variant_builder_add(b, "{sv}", key, g_variant_new_uint64(o->number));
        break;
    case 'x':
        g_variant_builder_add(b, "{sv}", key, g_variant_new_int64((int64_t)o->number));
        break;
    }
}

/* Calls CommitWith; the error. A success aborts the test. */
static GError *call(GDBusConnection *bus, const Scene *s, GVariant *arguments)
{
    GError *error = NULL;
    g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
        bus, SERVICE_NAME, s->disk, DISK_INTERFACE, "CommitWith", arguments, NULL,
        G_DBUS_CALL_FLAGS_NONE, WAIT_SECONDS * 1000, NULL, &error);

    g_assert_null(reply);
    return error;
}

static GDBusConnection *connect_bus(const Scene *s)
{
    g_autoptr(GError) error = NULL;
    GDBusConnection *bus =
        g_dbus_connection_new_for_address_sync(test_bus_address(s->rig->bus),
                                               G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                                   G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
                                               NULL, NULL, &error);

    g_assert_no_error(error);
    return bus;
}

static void check_refused(const Scene *s, GError *error, const char *name, const char *hint)
{
    g_autofree char *found = g_dbus_error_get_remote_error(error);

    g_assert_cmpstr(found, ==, name);
    if (!strstr(error->message, hint) || !strstr(error->message, "web1") ||
        !strstr(error->message, "vda"))
        g_error("The text does not name VM 'web1', disk 'vda' and %s: %s", hint, error->message);
    g_error_free(error);
}

/* Nothing was started, and nothing keeps the next call from its work. */
static void check_untouched(Scene *s)
{
    unsigned from;

    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
    scene_check_active(s, s->depth, scene_top(s));
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "none");
    if (s->depth == 1)
        return;
    from = scene_commit_until_ready(s);
    scene_abort(s);
    scene_wait_finished(s, from, "kept");
}

static void test_refused(gconstpointer data)
{
    const Refused *refused = data;
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = refused->depth, .no_guest = true});
    g_autoptr(GDBusConnection) bus = connect_bus(s);
    GVariantBuilder options;

    g_variant_builder_init(&options, G_VARIANT_TYPE("a{sv}"));
    for (unsigned i = 0; i < OPTIONS_MAX && refused->options[i].key; i++)
        append(&options, s, &refused->options[i]);
    check_refused(s, call(bus, s, g_variant_new("(a{sv})", &options)), refused->error,
                  refused->hint);
    check_untouched(s);
}

/* Names of all bytes that a string can have are looked for, told and found nowhere. */
static void test_any_byte(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    g_autoptr(GDBusConnection) bus = connect_bus(s);
    static const char *const names[] = {
        "'",
        "\"",
        "\\",
        "\\u0000",
        "{\"a\": 1}",
        "%s%n%d",
        "$(false)",
        "a b",
        "..",
        "/",
        "#block",
        "\xc3\xa9",
        "\xef\xbf\xbd",
        "\xf0\x9f\x92\xbe",
        "0x0",
        "-1",
        "+0",
        "00000000000000000000",
    };

    for (unsigned i = 1; i < 0x80 + G_N_ELEMENTS(names); i++) {
        const char byte[] = {(char)i, '\0'};
        const char *name = i < 0x80 ? byte : names[i - 0x80];

        /* These are indices of images. */
        if (strcmp(name, "0") == 0 || strcmp(name, "1") == 0)
            continue;
        check_refused(s, call(bus, s, g_variant_new_parsed("({'base': <%s>},)", name)),
                      SERVICE_ERROR("NoSuchImage"), name);
        check_refused(s, call(bus, s, g_variant_new_parsed("({%s: <'1'>},)", name)), INVALID_ARGS,
                      name);
    }
    /* What is no character in Unicode is no string for sd-bus, and never gets as far as an option.
     */
    for (unsigned i = 0; i < 2; i++) {
        const char *format = i == 0 ? "({'base': <%s>},)" : "({%s: <'1'>},)";
        GError *error = call(bus, s, g_variant_new_parsed(format, "\xef\xbf\xbf"));
        g_autofree char *found = g_dbus_error_get_remote_error(error);

        g_assert_cmpstr(found, ==, "org.freedesktop.DBus.Error.InconsistentMessage");
        g_error_free(error);
    }
    check_untouched(s);
}

/* Writes the message with one byte of its text made wrong, past the library, which would not. */
static void send_wrong(GDBusConnection *bus, const Scene *s, const char *key, const char *value)
{
    g_autoptr(GDBusMessage) m =
        g_dbus_message_new_method_call(SERVICE_NAME, s->disk, DISK_INTERFACE, "CommitWith");
    g_autoptr(GError) error = NULL;
    g_autofree guchar *blob = NULL;
    gsize size;
    void *at;

    g_dbus_message_set_body(m, g_variant_new_parsed("({%s: <%s>},)", key, value));
    g_dbus_message_set_serial(m, 1000000);
    blob = g_dbus_message_to_blob(m, &size, G_DBUS_CAPABILITY_FLAGS_NONE, &error);
    g_assert_no_error(error);
    at = memmem(blob, size, "WRONG", strlen("WRONG"));
    g_assert_nonnull(at);
    memset(at, 0xff, 1);
    g_output_stream_write_all(g_io_stream_get_output_stream(g_dbus_connection_get_stream(bus)),
                              blob, size, NULL, NULL, &error);
    g_assert_no_error(error);
}

static bool is_closed(gpointer bus)
{
    g_main_context_iteration(NULL, FALSE);
    return g_dbus_connection_is_closed(bus);
}

/* The bus throws out whoever sends what is no UTF-8; the service never sees it. */
static void test_not_utf8(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    static const char *const wrong[][2] = {{"base", "WRONG"}, {"WRONG", "1"}};

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GDBusConnection) bus = connect_bus(s);

        g_dbus_connection_set_exit_on_close(bus, FALSE);
        send_wrong(bus, s, wrong[i][0], wrong[i][1]);
        wait_until("the bus closes the connection", is_closed, bus);
    }
    check_untouched(s);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *path = g_strdup_printf("/choices/refused/%s", table[i].name);

        g_test_add_data_func(path, &table[i], test_refused);
    }
    g_test_add_func("/choices/refused/names-of-any-byte", test_any_byte);
    g_test_add_func("/choices/refused/not-utf8", test_not_utf8);
    return g_test_run();
}
