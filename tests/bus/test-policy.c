/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The gate's table, the interfaces, the polkit actions and the rules of the bus fit together.
 */
#include <gio/gio.h>
#include <string.h>

#include "test-bus.h"
#include "gate-table.h"
#include "gate.h"

static const char *const interface_files[] = {"org.vmdisk1.Disk.xml", "org.vmdisk1.Job.xml",
                                              "org.vmdisk1.Manager.xml", "org.vmdisk1.VM.xml"};

static char *read_file(const char *directory, const char *name)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, directory, name, NULL);
    g_autoptr(GError) error = NULL;
    char *text;

    g_file_get_contents(path, &text, NULL, &error);
    g_assert_no_error(error);
    return text;
}

static void test_all_interfaces_are_known_here(void)
{
    g_autofree char *path = g_test_build_filename(G_TEST_DIST, "interfaces", NULL);
    g_autoptr(GDir) directory = g_dir_open(path, 0, NULL);
    const char *name;
    guint n = 0;

    g_assert_nonnull(directory);
    while ((name = g_dir_read_name(directory)) != NULL)
        n += g_str_has_suffix(name, ".xml");
    g_assert_cmpuint(n, ==, G_N_ELEMENTS(interface_files));
}

static void test_every_method_has_an_action(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(interface_files); i++) {
        g_autofree char *xml = read_file("interfaces", interface_files[i]);
        g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);
        g_assert_nonnull(node);
        for (GDBusInterfaceInfo **in = node->interfaces; in && *in; in++)
            for (GDBusMethodInfo **m = (*in)->methods; m && *m; m++) {
                g_test_message("%s.%s", (*in)->name, (*m)->name);
                g_assert_nonnull(gate_action((*in)->name, (*m)->name));
            }
    }
}

static void test_every_entry_has_a_method(void)
{
    const GateEntry *e;

    for (size_t i = 0; (e = gate_table_get(i)) != NULL; i++) {
        if (!g_str_has_prefix(e->interface, "org.vmdisk1."))
            continue;
        g_autofree char *name = g_strdup_printf("%s.xml", e->interface);
        g_autofree char *xml = read_file("interfaces", name);
        g_autoptr(GDBusNodeInfo) node = g_dbus_node_info_new_for_xml(xml, NULL);
        GDBusInterfaceInfo *in = g_dbus_node_info_lookup_interface(node, e->interface);
        g_test_message("%s.%s", e->interface, e->member);
        g_assert_nonnull(in);
        g_assert_nonnull(g_dbus_interface_info_lookup_method(in, e->member));
    }
}

/* The comment before each method names its action. */
static void test_documented_actions(void)
{
    g_autoptr(GRegex) regex =
        g_regex_new("<!--((?:(?!-->).)*)-->\\s*<method name=\"(\\w+)\"", G_REGEX_DOTALL, 0, NULL);
    guint n = 0;

    for (size_t i = 0; i < G_N_ELEMENTS(interface_files); i++) {
        g_autofree char *xml = read_file("interfaces", interface_files[i]);
        g_autofree char *interface = g_strdup(interface_files[i]);
        g_autoptr(GMatchInfo) match = NULL;
        *strrchr(interface, '.') = '\0';
        for (g_regex_match(regex, xml, 0, &match); g_match_info_matches(match);
             g_match_info_next(match, NULL)) {
            g_autofree char *comment = g_match_info_fetch(match, 1);
            g_autofree char *member = g_match_info_fetch(match, 2);
            g_autofree char *words =
                g_strdup_printf("Polkit action: %s.", gate_action(interface, member));
            g_test_message("%s.%s: %s", interface, member, words);
            g_assert_nonnull(strstr(comment, words));
            n++;
        }
    }
    g_assert_cmpuint(n, >, 0);
}

typedef struct Policy {
    GHashTable *actions; /* id to a table of element (or annotation's key) to text */
    GHashTable *current;
    char *key;
} Policy;

static void on_start(GMarkupParseContext *context, const char *element, const char **names,
                     const char **values, gpointer data, GError **error)
{
    Policy *p = data;

    g_free(p->key);
    p->key = g_strdup(element);
    if (g_str_equal(element, "action")) {
        p->current = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
        g_hash_table_insert(p->actions, g_strdup(values[0]), p->current);
    } else if (g_str_equal(element, "annotate")) {
        g_free(p->key);
        p->key = g_strdup(values[0]);
    }
}

static void on_end(GMarkupParseContext *context, const char *element, gpointer data, GError **error)
{
    Policy *p = data;

    g_clear_pointer(&p->key, g_free);
}

static void on_text(GMarkupParseContext *context, const char *text, gsize size, gpointer data,
                    GError **error)
{
    Policy *p = data;

    if (p->key && p->current)
        g_hash_table_insert(p->current, g_strdup(p->key), g_strndup(text, size));
}

static GHashTable *read_policy(void)
{
    static const GMarkupParser parser = {
        .start_element = on_start, .end_element = on_end, .text = on_text};
    g_autofree char *xml = read_file("policy", "org.vmdisk1.policy");
    g_autoptr(GError) error = NULL;
    Policy p = {.actions = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                 (GDestroyNotify)g_hash_table_unref)};
    g_autoptr(GMarkupParseContext) context = g_markup_parse_context_new(&parser, 0, &p, NULL);

    g_markup_parse_context_parse(context, xml, -1, &error);
    g_assert_no_error(error);
    return p.actions;
}

static void test_every_action_is_declared(void)
{
    g_autoptr(GHashTable) actions = read_policy();
    const GateEntry *e;

    for (size_t i = 0; (e = gate_table_get(i)) != NULL; i++) {
        g_test_message("%s", e->action);
        g_assert_true(g_hash_table_contains(actions, e->action));
    }
}

static void test_defaults(void)
{
    static const struct {
        const char *id, *inactive, *active;
    } wanted[] = {
        {"org.vmdisk1.inspect", "auth_admin_keep", "yes"},
        {"org.vmdisk1.attach", "auth_admin_keep", "auth_admin_keep"},
        {"org.vmdisk1.commit", "auth_admin_keep", "auth_admin_keep"},
        {"org.vmdisk1.conclude", "auth_admin_keep", "auth_admin_keep"},
        {"org.vmdisk1.snapshot", "auth_admin_keep", "auth_admin_keep"},
        {"org.vmdisk1.override", "auth_admin", "auth_admin"},
    };
    g_autoptr(GHashTable) actions = read_policy();

    g_assert_cmpuint(g_hash_table_size(actions), ==, G_N_ELEMENTS(wanted));
    for (size_t i = 0; i < G_N_ELEMENTS(wanted); i++) {
        GHashTable *a = g_hash_table_lookup(actions, wanted[i].id);
        g_test_message("%s", wanted[i].id);
        g_assert_nonnull(a);
        g_assert_cmpstr(g_hash_table_lookup(a, "allow_any"), ==, wanted[i].inactive);
        g_assert_cmpstr(g_hash_table_lookup(a, "allow_inactive"), ==, wanted[i].inactive);
        g_assert_cmpstr(g_hash_table_lookup(a, "allow_active"), ==, wanted[i].active);
        /* Without it polkit refuses details from anybody but root. */
        g_assert_cmpstr(g_hash_table_lookup(a, "org.freedesktop.policykit.owner"), ==,
                        "unix-user:vmdisk");
    }
}

/* polkit puts details into the message; one that is not passed stays there as "$(name)". */
static void test_messages(void)
{
    g_autoptr(GHashTable) actions = read_policy();
    g_autoptr(GRegex) regex = g_regex_new("\\$\\((?!vm\\)|disk\\))", 0, 0, NULL);
    GHashTableIter iter;
    gpointer id, values;

    g_hash_table_iter_init(&iter, actions);
    while (g_hash_table_iter_next(&iter, &id, &values)) {
        const char *message = g_hash_table_lookup(values, "message");
        g_test_message("%s: %s", (char *)id, message);
        g_assert_nonnull(message);
        g_assert_false(g_regex_match(regex, message, 0, NULL));
    }
}

typedef struct NameRequest {
    sd_bus_message *reply;
} NameRequest;

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    NameRequest *r = userdata;

    r->reply = sd_bus_message_ref(m);
    return 1;
}

static bool has_reply(gpointer data)
{
    const NameRequest *r = data;

    return r->reply != NULL;
}

static void test_others_cannot_be_the_service(void)
{
    if (geteuid() != 0) {
        g_test_skip("needs root, to be another user");
        return;
    }

    g_autoptr(TestBus) bus = test_bus_start(NULL);
    sd_event *event;
    g_assert_cmpint(sd_event_new(&event), ==, 0);

    for (uid_t uid = 0; uid < 2; uid++) {
        sd_bus *connection = test_bus_connect(bus, event, uid);
        NameRequest request = {};
        g_assert_cmpint(
            sd_bus_request_name_async(connection, NULL, "org.vmdisk1", 0, on_name, &request), >=,
            0);
        test_bus_run_until(event, "the answer to RequestName", has_reply, &request);
        const sd_bus_error *error = sd_bus_message_get_error(request.reply);
        if (uid == 0)
            g_assert_null(error);
        else
            g_assert_true(sd_bus_error_has_name(error, SD_BUS_ERROR_ACCESS_DENIED));
        sd_bus_message_unref(request.reply);
        test_bus_disconnect(connection);
    }
    sd_event_unref(event);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/policy/all-interfaces-are-known-here", test_all_interfaces_are_known_here);
    g_test_add_func("/policy/every-method-has-an-action", test_every_method_has_an_action);
    g_test_add_func("/policy/every-entry-has-a-method", test_every_entry_has_a_method);
    g_test_add_func("/policy/documented-actions-are-asked-for", test_documented_actions);
    g_test_add_func("/policy/every-action-is-declared", test_every_action_is_declared);
    g_test_add_func("/policy/defaults-are-as-designed", test_defaults);
    g_test_add_func("/policy/messages-name-vm-and-disk-only", test_messages);
    g_test_add_func("/policy/others-cannot-be-the-service", test_others_cannot_be_the_service);
    return g_test_run();
}
