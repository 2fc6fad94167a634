/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the service serves is what interfaces/ says, and nobody without a right can use any of it.
 */
#include <gio/gio.h>
#include <unistd.h>

#include "process.h"
#include "scene.h"

#define INTROSPECTABLE "org.freedesktop.DBus.Introspectable"
#define PROPERTIES "org.freedesktop.DBus.Properties"
#define ORDINARY_USER 65534

static const char *const interfaces[] = {"org.vmdisk1.Manager", "org.vmdisk1.VM",
                                         "org.vmdisk1.Disk", "org.vmdisk1.Job"};

static void add_args(GString *text, GDBusArgInfo **args)
{
    for (size_t i = 0; args && args[i]; i++) {
        g_assert_nonnull(args[i]->name);
        g_string_append_printf(text, " %s:%s", args[i]->name, args[i]->signature);
    }
}

static int compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* One line a member, sorted: methods, signals and properties with all that a caller sees of them.
 */
static char *describe(const GDBusInterfaceInfo *info)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    for (size_t i = 0; info->methods && info->methods[i]; i++) {
        GString *line = g_string_new("method ");

        g_string_append(line, info->methods[i]->name);
        add_args(line, info->methods[i]->in_args);
        g_string_append(line, " ->");
        add_args(line, info->methods[i]->out_args);
        g_ptr_array_add(lines, g_string_free(line, FALSE));
    }
    for (size_t i = 0; info->signals && info->signals[i]; i++) {
        GString *line = g_string_new("signal ");

        g_string_append(line, info->signals[i]->name);
        add_args(line, info->signals[i]->args);
        g_ptr_array_add(lines, g_string_free(line, FALSE));
    }
    for (size_t i = 0; info->properties && info->properties[i]; i++) {
        const GDBusPropertyInfo *p = info->properties[i];
        const char *emits = g_dbus_annotation_info_lookup(
            p->annotations, "org.freedesktop.DBus.Property.EmitsChangedSignal");

        g_ptr_array_add(lines,
                        g_strdup_printf("property %s:%s %s%s emits %s", p->name, p->signature,
                                        p->flags & G_DBUS_PROPERTY_INFO_FLAGS_READABLE ? "r" : "",
                                        p->flags & G_DBUS_PROPERTY_INFO_FLAGS_WRITABLE ? "w" : "",
                                        emits ? emits : "true"));
    }
    g_ptr_array_sort(lines, compare_lines);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

static GDBusNodeInfo *parse(const char *xml)
{
    g_autoptr(GError) error = NULL;
    GDBusNodeInfo *node = g_dbus_node_info_new_for_xml(xml, &error);

    g_assert_no_error(error);
    return node;
}

static GDBusNodeInfo *parse_file(const char *interface)
{
    g_autofree char *name = g_strdup_printf("%s.xml", interface);
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "interfaces", name, NULL);
    g_autofree char *xml = NULL;
    g_autoptr(GError) error = NULL;

    g_file_get_contents(path, &xml, NULL, &error);
    g_assert_no_error(error);
    return parse(xml);
}

static sd_bus *connect_as(Rig *rig, sd_event **ret_event, uid_t uid)
{
    g_assert_cmpint(sd_event_new(ret_event), >=, 0);
    return test_bus_connect(rig->bus, *ret_event, uid);
}

static GDBusNodeInfo *introspect(sd_bus *bus, const char *path)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *reply = NULL;
    const char *xml;

    int r = sd_bus_call_method(bus, "org.vmdisk1", path, INTROSPECTABLE, "Introspect", &error,
                               &reply, NULL);
    g_assert_cmpstr(error.message, ==, NULL);
    g_assert_cmpint(r, >=, 0);
    g_assert_cmpint(sd_bus_message_read(reply, "s", &xml), >=, 0);
    GDBusNodeInfo *node = parse(xml);
    sd_bus_message_unref(reply);
    return node;
}

/* The object that has the interface while a job is ready on the disk. */
static char *path_of(const Scene *s, const char *interface)
{
    if (strcmp(interface, "org.vmdisk1.Manager") == 0)
        return g_strdup("/org/vmdisk1");
    if (strcmp(interface, "org.vmdisk1.VM") == 0)
        return g_path_get_dirname(s->disk);
    return g_strdup(s->disk);
}

static void test_served(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    sd_event *event;
    sd_bus *bus = connect_as(s->rig, &event, geteuid());

    scene_commit_until_ready(s);
    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
        g_autofree char *path = path_of(s, interfaces[i]), *served = NULL, *written = NULL;
        GDBusNodeInfo *node = introspect(bus, path), *file = parse_file(interfaces[i]);
        GDBusInterfaceInfo *there = g_dbus_node_info_lookup_interface(node, interfaces[i]);

        g_assert_nonnull(there);
        served = describe(there);
        written = describe(g_dbus_node_info_lookup_interface(file, interfaces[i]));
        g_assert_cmpstr(served, ==, written);
        g_dbus_node_info_unref(node);
        g_dbus_node_info_unref(file);
    }
    test_bus_disconnect(bus);
    sd_event_unref(event);
}

/* "in  s name" and the like, as gdbus prints them; method arguments only have a direction. */
static void check_args(const char *text, const char *direction, GDBusArgInfo **args)
{
    for (size_t i = 0; args && args[i]; i++) {
        g_autofree char *pattern =
            g_strdup_printf("[( ]%s\\Q%s %s\\E[,)]", direction, args[i]->signature, args[i]->name);

        if (!g_regex_match_simple(pattern, text, 0, 0))
            g_error("'%s' is not in: %s", pattern, text);
    }
}

static char *run_tool(const Scene *s, const char *command, const char *path)
{
    g_autofree char *line =
        g_strdup_printf("DBUS_SYSTEM_BUS_ADDRESS='%s' %s", test_bus_address(s->rig->bus), command);

    return process_run("sh", "-c", line, "sh", path, NULL);
}

/* What people look at an unknown service with. */
static void test_tools(void)
{
    g_autoptr(Scene) s = scene_new(NULL);

    scene_commit_until_ready(s);
    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
        g_autofree char *path = path_of(s, interfaces[i]);
        g_autofree char *xml =
            run_tool(s, "busctl --system introspect --xml-interface org.vmdisk1 \"$1\"", path);
        g_autofree char *text =
            run_tool(s, "gdbus introspect --system --dest org.vmdisk1 --object-path \"$1\"", path);
        GDBusNodeInfo *node = parse(xml), *file = parse_file(interfaces[i]);
        GDBusInterfaceInfo *info = g_dbus_node_info_lookup_interface(file, interfaces[i]);
        g_autofree char *written = describe(info);
        g_autofree char *shown = describe(g_dbus_node_info_lookup_interface(node, interfaces[i]));

        g_assert_cmpstr(shown, ==, written);
        for (size_t k = 0; info->methods && info->methods[k]; k++) {
            check_args(text, "in  ", info->methods[k]->in_args);
            check_args(text, "out ", info->methods[k]->out_args);
        }
        for (size_t k = 0; info->signals && info->signals[k]; k++)
            check_args(text, "", info->signals[k]->args);
        g_dbus_node_info_unref(node);
        g_dbus_node_info_unref(file);
    }
}

/* Arguments of the right types; a monitor that is none. */
static void append_arguments(sd_bus_message *call, GDBusArgInfo **args)
{
    for (size_t i = 0; args && args[i]; i++) {
        const char *type = args[i]->signature;
        int r = -EINVAL;

        if (strcmp(type, "s") == 0)
            r = sd_bus_message_append(call, "s", "org.vmdisk1.Disk");
        else if (strcmp(type, "b") == 0)
            r = sd_bus_message_append(call, "b", 1);
        else if (strcmp(type, "t") == 0)
            r = sd_bus_message_append(call, "t", UINT64_C(1));
        else if (strcmp(type, "h") == 0)
            r = sd_bus_message_append(call, "h", STDERR_FILENO);
        else if (strcmp(type, "a{sv}") == 0)
            r = sd_bus_message_append(call, "a{sv}", 0);
        else if (strcmp(type, "v") == 0)
            r = sd_bus_message_append(call, "v", "s", "x");
        g_assert_cmpint(r, >=, 0);
    }
}

static void check_denied(sd_bus *bus, const char *path, const char *interface,
                         const GDBusMethodInfo *method)
{
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *call = NULL, *reply = NULL;

    g_test_message("%s %s.%s", path, interface, method->name);
    g_assert_cmpint(
        sd_bus_message_new_method_call(bus, &call, "org.vmdisk1", path, interface, method->name),
        >=, 0);
    append_arguments(call, method->in_args);
    int r = sd_bus_call(bus, call, WAIT_SECONDS * G_USEC_PER_SEC, &error, &reply);

    g_assert_cmpint(r, <, 0);
    g_assert_cmpstr(error.name, ==, SD_BUS_ERROR_ACCESS_DENIED);
    sd_bus_error_free(&error);
    sd_bus_message_unref(call);
    sd_bus_message_unref(reply);
}

/* No polkit is on this bus: only root, the service's own user and the VM's owner pass. */
static void test_ordinary_user(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    sd_event *event, *own_event;
    sd_bus *own, *other;
    unsigned calls = 0;

    if (geteuid() != 0) {
        g_test_skip("only root can call as somebody else");
        scene_commit_until_ready(s);
        return;
    }
    own = connect_as(s->rig, &own_event, 0);
    other = connect_as(s->rig, &event, ORDINARY_USER);
    scene_commit_until_ready(s);

    for (size_t i = 0; i < G_N_ELEMENTS(interfaces); i++) {
        g_autofree char *path = path_of(s, interfaces[i]);
        GDBusNodeInfo *node = introspect(own, path);

        for (size_t k = 0; node->interfaces[k]; k++)
            for (size_t m = 0; node->interfaces[k]->methods && node->interfaces[k]->methods[m];
                 m++) {
                check_denied(other, path, node->interfaces[k]->name,
                             node->interfaces[k]->methods[m]);
                calls++;
            }
        g_dbus_node_info_unref(node);
    }
    g_assert_cmpuint(calls, >, 20);

    /* Nothing has happened: the job is ready still, the only one, and the VM is attached. */
    property_check_string(s->recorder, s->disk, DISK_INTERFACE, "JobState", "ready");
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 1);
    test_bus_disconnect(other);
    test_bus_disconnect(own);
    sd_event_unref(event);
    sd_event_unref(own_event);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/interfaces/served-equals-files", test_served);
    g_test_add_func("/interfaces/tools-show-names", test_tools);
    g_test_add_func("/interfaces/ordinary-user-is-refused", test_ordinary_user);
    return g_test_run();
}
