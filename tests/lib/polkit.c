/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A polkit for tests.
 */
#include "polkit.h"

static void check_free(gpointer data)
{
    MockCheck *c = data;

    g_free(c->subject_kind);
    g_free(c->subject_name);
    g_free(c->action);
    g_hash_table_unref(c->details);
    g_free(c->cancellation_id);
    sd_bus_message_unref(c->message);
    g_free(c);
}

static MockCheck *check_read(sd_bus_message *m)
{
    MockCheck *c = g_new0(MockCheck, 1);
    const char *kind, *key, *name, *value, *action, *id;

    c->message = sd_bus_message_ref(m);
    c->details = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);

    g_assert_cmpint(sd_bus_message_read(m, "(sa{sv})s", &kind, 1, &key, "s", &name, &action), >=,
                    0);
    g_assert_cmpstr(key, ==, "name");
    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{ss}"), >=, 0);
    while (sd_bus_message_read(m, "{ss}", &key, &value) > 0)
        g_assert_true(g_hash_table_insert(c->details, g_strdup(key), g_strdup(value)));
    g_assert_cmpint(sd_bus_message_exit_container(m), >=, 0);
    g_assert_cmpint(sd_bus_message_read(m, "us", &c->flags, &id), >=, 0);

    c->subject_kind = g_strdup(kind);
    c->subject_name = g_strdup(name);
    c->action = g_strdup(action);
    c->cancellation_id = g_strdup(id);
    return c;
}

static int answer(MockCheck *c, bool authorized, bool challenge)
{
    c->answered = true;
    return sd_bus_reply_method_return(c->message, "(bba{ss})", authorized, challenge, 0);
}

static int on_check(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    MockPolkit *p = userdata;
    MockCheck *c = check_read(m);

    g_ptr_array_add(p->checks, c);
    switch (p->mode) {
    case MOCK_POLKIT_YES:
        return answer(c, true, false);
    case MOCK_POLKIT_NO:
        return answer(c, false, false);
    case MOCK_POLKIT_CHALLENGE:
        return answer(c, false, true);
    case MOCK_POLKIT_HANG:
        return 1;
    case MOCK_POLKIT_ERROR:
        c->answered = true;
        return sd_bus_reply_method_errorf(m, "org.freedesktop.PolicyKit1.Error.Failed",
                                          "Out of order");
    case MOCK_POLKIT_MALFORMED:
        c->answered = true;
        return sd_bus_reply_method_return(m, "s", "yes");
    case MOCK_POLKIT_CRASH:
        sd_bus_close(p->bus);
        return 1;
    }
    g_assert_not_reached();
}

static int on_cancel(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    MockPolkit *p = userdata;
    const char *id;

    g_assert_cmpint(sd_bus_message_read(m, "s", &id), >=, 0);
    for (guint i = 0; i < p->checks->len; i++) {
        MockCheck *c = mock_polkit_check(p, i);
        if (g_str_equal(c->cancellation_id, id))
            c->cancelled = true;
    }
    return sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("CheckAuthorization", "(sa{sv})sa{ss}us", "(bba{ss})", on_check,
                  SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("CancelCheckAuthorization", "s", "", on_cancel, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

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

MockPolkit *mock_polkit_new(const TestBus *bus, sd_event *event)
{
    MockPolkit *p = g_new0(MockPolkit, 1);
    bool is_taken = false;

    p->checks = g_ptr_array_new_with_free_func(check_free);
    p->bus = test_bus_connect(bus, event, geteuid());
    g_assert_cmpint(sd_bus_add_object_vtable(p->bus, /* slot= */ NULL,
                                             "/org/freedesktop/PolicyKit1/Authority",
                                             "org.freedesktop.PolicyKit1.Authority", vtable, p),
                    >=, 0);
    g_assert_cmpint(sd_bus_request_name_async(p->bus, /* slot= */ NULL,
                                              "org.freedesktop.PolicyKit1", 0, on_name, &is_taken),
                    >=, 0);
    test_bus_run_until(event, "polkit's name", is_true, &is_taken);
    return p;
}

void mock_polkit_free(MockPolkit *p)
{
    if (!p)
        return;
    g_ptr_array_unref(p->checks);
    test_bus_disconnect(p->bus);
    g_free(p);
}

MockCheck *mock_polkit_check(const MockPolkit *p, guint index)
{
    return index < p->checks->len ? g_ptr_array_index(p->checks, index) : NULL;
}

const char *mock_check_detail(const MockCheck *c, const char *key)
{
    return g_hash_table_lookup(c->details, key);
}

void mock_polkit_answer(MockPolkit *p, guint index, bool authorized)
{
    MockCheck *c = mock_polkit_check(p, index);

    g_assert_nonnull(c);
    g_assert_false(c->answered);
    g_assert_cmpint(answer(c, authorized, /* challenge= */ false), >=, 0);
}
