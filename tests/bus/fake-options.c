/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options of a call as text, for tests to compare.
 */
#include "fake-options.h"

static void add_option(sd_bus_message *call, GString *text)
{
    const char *key, *type, *s;
    uint64_t number;
    int truth;

    g_assert_cmpint(sd_bus_message_read(call, "s", &key), >, 0);
    g_assert_cmpint(sd_bus_message_peek_type(call, NULL, &type), >, 0);
    g_string_append_printf(text, "%s%s=", text->len > 0 ? ", " : "", key);
    if (*type == 'b') {
        g_assert_cmpint(sd_bus_message_read(call, "v", "b", &truth), >, 0);
        g_string_append(text, truth ? "yes" : "no");
    } else if (*type == 'a') {
        char **list = NULL;

        g_assert_cmpint(sd_bus_message_enter_container(call, 'v', "as"), >, 0);
        g_assert_cmpint(sd_bus_message_read_strv(call, &list), >, 0);
        sd_bus_message_exit_container(call);
        g_autofree char *joined = g_strjoinv("+", list);
        g_string_append(text, joined);
        g_strfreev(list);
    } else if (*type == 't') {
        g_assert_cmpint(sd_bus_message_read(call, "v", "t", &number), >, 0);
        g_string_append_printf(text, "%" G_GUINT64_FORMAT, number);
    } else {
        g_assert_cmpint(sd_bus_message_read(call, "v", "s", &s), >, 0);
        g_string_append(text, s);
    }
}

char *fake_options_text(sd_bus_message *call)
{
    GString *text = g_string_new("");

    g_assert_cmpint(sd_bus_message_enter_container(call, 'a', "{sv}"), >=, 0);
    while (sd_bus_message_enter_container(call, 'e', "sv") > 0) {
        add_option(call, text);
        sd_bus_message_exit_container(call);
    }
    return g_string_free(text, FALSE);
}
