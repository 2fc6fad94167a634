/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Who may call what: root, the daemon itself, a VM's owner, and everybody else as polkit says.
 */
#include <string.h>

#include "gate-fixture.h"

#define ACCESS_DENIED "org.freedesktop.DBus.Error.AccessDenied"
#define INTERACTIVE "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"

static const Method commit = {PATH_WEB1_VDA,        "org.vmdisk1.Disk", "Commit",
                              "org.vmdisk1.commit", "Commit",           "b"};
static const Method commit_other = {PATH_OTHER_VDA,       "org.vmdisk1.Disk", "Commit",
                                    "org.vmdisk1.commit", "Commit",           "b"};
static const Method attach = {
    PATH_ROOT, "org.vmdisk1.Manager", "AttachVM", "org.vmdisk1.attach", "AttachVM", "sha{sv}"};
static const Method get_all = {PATH_WEB1_VDA,  "org.freedesktop.DBus.Properties",
                               "GetAll",       "org.vmdisk1.inspect",
                               "Get JobState", "s"};
static const Method get_all_other = {PATH_OTHER_VDA, "org.freedesktop.DBus.Properties",
                                     "GetAll",       "org.vmdisk1.inspect",
                                     "Get JobState", "s"};

/* Nobody may call these, whatever they are. */
static const Method unknown[] = {
    {PATH_WEB1_VDA, NULL, "Commit", NULL, NULL, "b"},
    {PATH_WEB1_VDA, NULL, "Abort", NULL, NULL, ""},
    {PATH_ROOT, NULL, "Leak", NULL, NULL, ""},
    {PATH_ROOT, NULL, "GetManagedObjects", NULL, NULL, ""},
    {PATH_ROOT, "org.vmdisk1.Forgotten", "Leak", NULL, NULL, ""},
    {PATH_ROOT, "org.freedesktop.DBus.Properties", "Set", NULL, NULL, "ssv"},
    {PATH_ROOT, "org.freedesktop.DBus.Properties", "get", NULL, NULL, "ss"},
    {PATH_ROOT, "org.freedesktop.DBus.ObjectManager", "Nonsense", NULL, NULL, ""},
    {PATH_ROOT, "org.freedesktop.DBus.Peer", "Nonsense", NULL, NULL, ""},
    {PATH_WEB1_VDA, "org.vmdisk1.Disk", "Nonsense", NULL, NULL, ""},
    {PATH_WEB1, "org.vmdisk1.VM", "Nonsense", NULL, NULL, "b"},
    {"/nowhere", "org.example.Other", "Nonsense", NULL, NULL, ""},
};

static void assert_passes(Fixture *f, const Method *m, const sd_bus_error *error)
{
    /* sd-bus answers this one, from a file that not every container has. */
    bool may_fail = g_str_equal(m->member, "GetMachineId");

    g_test_message("%s.%s", m->interface, m->member);
    if (error && !may_fail)
        g_error("%s: %s", error->name, error->message);
    if (error)
        g_assert_cmpstr(error->name, !=, ACCESS_DENIED);
    fixture_assert_reached(f, m->reached ? m->reached : "");
}

static void assert_all_pass_unasked(Fixture *f, uid_t uid)
{
    sd_bus *client = fixture_client(f, uid);

    for (size_t i = 0; i < fixture_n_methods; i++)
        assert_passes(f, &fixture_methods[i], fixture_ask(f, client, &fixture_methods[i]));
    if (f->polkit)
        g_assert_cmpuint(f->polkit->checks->len, ==, 0);
}

static void assert_all_refused(Fixture *f, uid_t uid, const char *error_name)
{
    for (size_t i = 0; i < fixture_n_methods; i++) {
        sd_bus *client = fixture_client(f, uid);
        const Method *m = &fixture_methods[i];
        const sd_bus_error *error = fixture_ask(f, client, m);
        fixture_assert_error(error, error_name);
        g_assert_nonnull(strstr(error->message, m->member));
        fixture_assert_reached(f, "");
        fixture_client_leaves(f, client);
    }
}

static void test_root(Fixture *f, gconstpointer data)
{
    assert_all_pass_unasked(f, 0);
}

static void test_own_uid(Fixture *f, gconstpointer data)
{
    assert_all_pass_unasked(f, UID_DAEMON);
}

/* The first call of a connection goes another way than later ones: its uid is not known yet. */
static void test_first_call(Fixture *f, gconstpointer data)
{
    for (size_t i = 0; i < fixture_n_methods; i++) {
        sd_bus *client = fixture_client(f, 0);
        assert_passes(f, &fixture_methods[i], fixture_ask(f, client, &fixture_methods[i]));
        fixture_client_leaves(f, client);
    }
}

static void test_owner(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_OWNER);

    f->polkit->mode = MOCK_POLKIT_NO;
    for (size_t i = 0; i < fixture_n_methods; i++) {
        const Method *m = &fixture_methods[i];
        const sd_bus_error *error = fixture_ask(f, client, m);
        if (g_str_has_prefix(m->path, PATH_WEB1)) {
            assert_passes(f, m, error);
        } else {
            fixture_assert_error(error, ACCESS_DENIED);
            fixture_assert_reached(f, "");
        }
    }
    fixture_assert_error(fixture_ask(f, client, &commit_other), ACCESS_DENIED);
    fixture_assert_error(fixture_ask(f, client, &attach), ACCESS_DENIED);
    fixture_assert_reached(f, "");
}

/* (uid_t)-1 stands for "not known" and for nobody. */
static void test_owner_unknown(Fixture *f, gconstpointer data)
{
    f->owner = (uid_t)-1;
    f->polkit->mode = MOCK_POLKIT_NO;
    fixture_assert_error(fixture_ask(f, fixture_client(f, UID_OWNER), &commit), ACCESS_DENIED);
    fixture_assert_reached(f, "");
    g_assert_null(mock_check_detail(mock_polkit_check(f->polkit, 0), "owner"));
}

static void test_owner_of_nothing(Fixture *f, gconstpointer data)
{
    f->web1_is_gone = true;
    f->polkit->mode = MOCK_POLKIT_NO;
    fixture_assert_error(fixture_ask(f, fixture_client(f, UID_OWNER), &commit), ACCESS_DENIED);
    g_assert_cmpuint(f->polkit->checks->len, ==, 1);
}

static void test_user_mode(Fixture *f, gconstpointer data)
{
    assert_all_pass_unasked(f, UID_DAEMON);
    assert_all_refused(f, UID_USER, ACCESS_DENIED);
    assert_all_refused(f, UID_OWNER, ACCESS_DENIED);
    assert_all_refused(f, 0, ACCESS_DENIED);
    g_assert_cmpuint(f->polkit->checks->len, ==, 0);
}

static void assert_question(const MockCheck *c, sd_bus *client, const Method *m)
{
    const char *name;
    bool is_vm = g_str_has_prefix(m->path, PATH_WEB1);
    bool is_disk = g_str_equal(m->path, PATH_WEB1_VDA);

    g_assert_cmpint(sd_bus_get_unique_name(client, &name), >=, 0);
    g_assert_cmpstr(c->subject_kind, ==, "system-bus-name");
    g_assert_cmpstr(c->subject_name, ==, name);
    g_assert_cmpstr(c->action, ==, m->action);
    g_assert_cmpuint(c->flags, ==, 0);
    g_assert_cmpstr(mock_check_detail(c, "operation"), ==, m->member);
    g_assert_cmpstr(mock_check_detail(c, "vm"), ==, is_vm ? "web1" : NULL);
    g_assert_cmpstr(mock_check_detail(c, "owner"), ==, is_vm ? G_STRINGIFY(UID_OWNER) : NULL);
    g_assert_cmpstr(mock_check_detail(c, "disk"), ==, is_disk ? "vda" : NULL);
    g_assert_cmpstr(mock_check_detail(c, "job"), ==, is_disk ? "job0" : NULL);
    g_assert_cmpuint(g_hash_table_size(c->details), ==, is_disk ? 5 : is_vm ? 3 : 1);
}

static void test_yes(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    for (guint i = 0; i < fixture_n_methods; i++) {
        const Method *m = &fixture_methods[i];
        assert_passes(f, m, fixture_ask(f, client, m));
        g_assert_cmpuint(f->polkit->checks->len, ==, i + 1);
        assert_question(mock_polkit_check(f->polkit, i), client, m);
    }
}

static void test_no(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_NO;
    assert_all_refused(f, UID_USER, ACCESS_DENIED);
    g_assert_cmpuint(f->polkit->checks->len, ==, fixture_n_methods);
}

static void test_error(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_ERROR;
    assert_all_refused(f, UID_USER, ACCESS_DENIED);
    g_assert_cmpuint(f->polkit->checks->len, ==, fixture_n_methods);
}

static void test_malformed(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_MALFORMED;
    assert_all_refused(f, UID_USER, ACCESS_DENIED);
    g_assert_cmpuint(f->polkit->checks->len, ==, fixture_n_methods);
}

static void test_challenge(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_CHALLENGE;
    assert_all_refused(f, UID_USER, INTERACTIVE);
}

static void test_absent(Fixture *f, gconstpointer data)
{
    fixture_stop_polkit(f);
    assert_all_refused(f, UID_USER, ACCESS_DENIED);
    assert_all_pass_unasked(f, 0);
}

static void test_crash(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_CRASH;
    fixture_assert_error(fixture_ask(f, client, &commit), ACCESS_DENIED);
    fixture_assert_reached(f, "");

    fixture_stop_polkit(f);
    fixture_assert_error(fixture_ask(f, client, &commit), ACCESS_DENIED);
    fixture_assert_reached(f, "");

    fixture_start_polkit(f);
    g_assert_null(fixture_ask(f, client, &commit));
    fixture_assert_reached(f, "Commit");
}

static void test_refusal_text(Fixture *f, gconstpointer data)
{
    f->polkit->mode = MOCK_POLKIT_NO;
    const sd_bus_error *error = fixture_ask(f, fixture_client(f, UID_USER), &commit);
    static const char *const words[] = {"Commit", "'vda'", "'web1'", "org.vmdisk1.commit", "root"};

    fixture_assert_error(error, ACCESS_DENIED);
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        g_assert_nonnull(strstr(error->message, words[i]));
}

static const sd_bus_error *ask_interactively(Fixture *f, sd_bus *client, const Method *m)
{
    sd_bus_message *message = fixture_message(client, m);

    g_assert_cmpint(sd_bus_message_set_allow_interactive_authorization(message, true), >=, 0);
    Call *call = fixture_send(f, client, message);
    sd_bus_message_unref(message);
    return fixture_wait(f, call);
}

static void test_interactive(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    g_assert_null(ask_interactively(f, client, &commit));
    g_assert_cmpuint(mock_polkit_check(f->polkit, 0)->flags, ==, 1);
    fixture_assert_reached(f, "Commit");

    f->polkit->mode = MOCK_POLKIT_CHALLENGE;
    fixture_assert_error(ask_interactively(f, client, &commit), ACCESS_DENIED);
    fixture_assert_reached(f, "");
}

static void assert_unknown_refused(Fixture *f, uid_t uid, const char *error_name)
{
    sd_bus *client = fixture_client(f, uid);

    for (size_t i = 0; i < G_N_ELEMENTS(unknown); i++) {
        const sd_bus_error *error = fixture_ask(f, client, &unknown[i]);
        g_test_message("%s.%s: %s", unknown[i].interface, unknown[i].member, error->message);
        fixture_assert_error(error, error_name);
        fixture_assert_reached(f, "");
    }
    g_assert_cmpuint(f->polkit->checks->len, ==, 0);
}

static void test_unknown(Fixture *f, gconstpointer data)
{
    assert_unknown_refused(f, UID_USER, ACCESS_DENIED);
    assert_unknown_refused(f, 0, "org.freedesktop.DBus.Error.UnknownMethod");
}

static void test_no_such_object(Fixture *f, gconstpointer data)
{
    static const Method on_vm = {PATH_WEB1, "org.vmdisk1.VM", "Detach", NULL, NULL, ""};
    static const Method on_job = {PATH_WEB1_VDA, "org.vmdisk1.Job", "Pause", NULL, NULL, ""};
    static const Method introspect = {
        PATH_WEB1_VDA, "org.freedesktop.DBus.Introspectable", "Introspect", NULL, NULL, ""};
    sd_bus *client = fixture_client(f, UID_USER);

    f->job_is_gone = true;
    fixture_assert_error(fixture_ask(f, client, &on_job), "org.vmdisk1.Error.NoJob");
    f->vda_is_gone = true;
    fixture_assert_error(fixture_ask(f, client, &commit), "org.vmdisk1.Error.NoSuchDisk");
    fixture_assert_error(fixture_ask(f, client, &get_all), "org.vmdisk1.Error.NoSuchDisk");
    f->web1_is_gone = true;
    fixture_assert_error(fixture_ask(f, client, &on_vm), "org.vmdisk1.Error.NoSuchVM");
    fixture_assert_error(fixture_ask(f, client, &commit), "org.vmdisk1.Error.NoSuchVM");
    fixture_assert_reached(f, "");
    g_assert_null(fixture_ask(f, client, &introspect));
}

/* Who may not act on a VM is not told whether it is there. */
static void test_existence_is_not_told(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_NO;
    f->web1_is_gone = true;
    fixture_assert_error(fixture_ask(f, client, &commit), ACCESS_DENIED);
    fixture_assert_error(fixture_ask(f, client, &get_all), ACCESS_DENIED);
}

/* A name that the caller makes up must neither break the connection to the bus nor a dialogue. */
static void test_made_up_name(Fixture *f, gconstpointer data)
{
    static const Method made_up = {
        "/org/vmdisk1/vm/a_ff_0ab", "org.vmdisk1.VM", "Detach", NULL, NULL, ""};
    static const Method made_up_disk = {
        "/org/vmdisk1/vm/web1/a_ff_0ab", "org.vmdisk1.Disk", "Pivot", NULL, NULL, ""};
    sd_bus *client = fixture_client(f, UID_USER);
    const sd_bus_error *error = fixture_ask(f, client, &made_up);

    fixture_assert_error(error, "org.vmdisk1.Error.NoSuchVM");
    g_assert_nonnull(strstr(error->message, "'a??b'"));
    g_assert_cmpstr(mock_check_detail(mock_polkit_check(f->polkit, 0), "vm"), ==, "a??b");

    error = fixture_ask(f, client, &made_up_disk);
    fixture_assert_error(error, "org.vmdisk1.Error.NoSuchDisk");
    g_assert_nonnull(strstr(error->message, "'a??b'"));
}

static void test_unknown_object(Fixture *f, gconstpointer data)
{
    static const Method get = {"/nowhere", "org.freedesktop.DBus.Properties", "Get", NULL, NULL,
                               "ss"};
    sd_bus *client = fixture_client(f, UID_USER);

    fixture_assert_error(fixture_ask(f, client, &get), "org.freedesktop.DBus.Error.UnknownObject");
    g_assert_cmpuint(f->polkit->checks->len, ==, 1);
}

static void test_inspect_is_remembered(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    for (int i = 0; i < 3; i++)
        g_assert_null(fixture_ask(f, client, &get_all));
    g_assert_cmpuint(f->polkit->checks->len, ==, 1);

    /* What a rule may decide differently is another question. */
    g_assert_null(fixture_ask(f, client, &get_all_other));
    g_assert_cmpuint(f->polkit->checks->len, ==, 2);
    f->owner = UID_SOMEBODY;
    g_assert_null(fixture_ask(f, client, &get_all));
    g_assert_cmpuint(f->polkit->checks->len, ==, 3);

    g_assert_null(fixture_ask(f, fixture_client(f, UID_USER), &get_all));
    g_assert_cmpuint(f->polkit->checks->len, ==, 4);
}

static void test_only_inspect_yes_is_remembered(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    g_assert_null(fixture_ask(f, client, &commit));
    f->polkit->mode = MOCK_POLKIT_NO;
    fixture_assert_error(fixture_ask(f, client, &commit), ACCESS_DENIED);
    fixture_assert_error(fixture_ask(f, client, &get_all), ACCESS_DENIED);
    f->polkit->mode = MOCK_POLKIT_YES;
    g_assert_null(fixture_ask(f, client, &get_all));
    g_assert_cmpuint(f->polkit->checks->len, ==, 4);
}

/* While polkit asks about one VM, another one of another user takes its name. */
static void test_owner_changes(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_HANG;
    Call *call = fixture_call(f, client, &commit);
    fixture_wait_for_checks(f, 1);

    f->owner = UID_SOMEBODY;
    mock_polkit_answer(f->polkit, 0, true);
    fixture_wait_for_checks(f, 2);
    fixture_assert_reached(f, "");
    g_assert_cmpstr(mock_check_detail(mock_polkit_check(f->polkit, 1), "owner"), ==,
                    G_STRINGIFY(UID_SOMEBODY));

    mock_polkit_answer(f->polkit, 1, false);
    fixture_assert_error(fixture_wait(f, call), ACCESS_DENIED);
    fixture_assert_reached(f, "");
}

static void send_without_reply(sd_bus *client)
{
    sd_bus_message *message = fixture_message(client, &commit);

    g_assert_cmpint(sd_bus_message_set_expect_reply(message, false), >=, 0);
    g_assert_cmpint(sd_bus_send(client, message, NULL), >=, 0);
    sd_bus_message_unref(message);
}

static void test_no_reply(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);

    f->polkit->mode = MOCK_POLKIT_NO;
    send_without_reply(client);
    fixture_wait_for_checks(f, 1);
    f->polkit->mode = MOCK_POLKIT_YES;
    g_assert_null(fixture_ask(f, client, &get_all));
    fixture_assert_reached(f, "Get JobState");

    send_without_reply(client);
    g_assert_null(fixture_ask(f, client, &get_all));
    fixture_assert_reached(f, "Commit, Get JobState");
}

/* A bus that does not say who calls. */
static const FixtureConfig silent_bus = {
    GATE_SYSTEM, "<policy context='mandatory'>"
                 "<deny send_interface='org.freedesktop.DBus' send_member='GetConnectionUnixUser'/>"
                 "</policy>"};

static void test_uid_is_not_told(Fixture *f, gconstpointer data)
{
    assert_all_refused(f, 0, ACCESS_DENIED);
    assert_all_refused(f, UID_USER, ACCESS_DENIED);
    g_assert_cmpuint(f->polkit->checks->len, ==, 0);
}

/* For handlers, which may not ask the bus and wait. */
static void test_uid_is_told(Fixture *f, gconstpointer data)
{
    sd_bus *client = fixture_client(f, UID_USER);
    const char *name;

    g_assert_null(fixture_ask(f, client, &commit));
    g_assert_cmpint(sd_bus_get_unique_name(client, &name), >=, 0);
    g_assert_cmpuint(gate_caller_uid(f->gate, name), ==, UID_USER);
    g_assert_cmpuint(gate_caller_uid(f->gate, ":1.4711"), ==, (uid_t)-1);
    g_assert_cmpuint(gate_caller_uid(f->gate, NULL), ==, (uid_t)-1);

    g_autofree char *old_name = g_strdup(name);
    fixture_client_leaves(f, client);
    fixture_settle(f);
    g_assert_cmpuint(gate_caller_uid(f->gate, old_name), ==, (uid_t)-1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    fixture_add_test("/gate/root-is-not-asked-about", &fixture_system, test_root);
    fixture_add_test("/gate/own-uid-is-not-asked-about", &fixture_system, test_own_uid);
    fixture_add_test("/gate/first-call-of-a-connection-passes", &fixture_system, test_first_call);
    fixture_add_test("/gate/owner-passes-on-own-vm-only", &fixture_system, test_owner);
    fixture_add_test("/gate/unknown-owner-is-nobody", &fixture_system, test_owner_unknown);
    fixture_add_test("/gate/owner-of-a-vm-that-is-gone-is-nobody", &fixture_system,
                     test_owner_of_nothing);
    fixture_add_test("/gate/caller-that-nobody-knows-is-refused", &silent_bus,
                     test_uid_is_not_told);
    fixture_add_test("/gate/uid-of-a-caller-is-known-until-it-leaves", &fixture_system,
                     test_uid_is_told);
    fixture_add_test("/gate/user-mode-is-for-own-uid-alone", &fixture_user, test_user_mode);
    fixture_add_test("/gate/polkit-says-yes", &fixture_system, test_yes);
    fixture_add_test("/gate/polkit-says-no", &fixture_system, test_no);
    fixture_add_test("/gate/polkit-fails", &fixture_system, test_error);
    fixture_add_test("/gate/polkit-answers-nonsense", &fixture_system, test_malformed);
    fixture_add_test("/gate/polkit-challenges", &fixture_system, test_challenge);
    fixture_add_test("/gate/polkit-is-absent", &fixture_system, test_absent);
    fixture_add_test("/gate/polkit-crashes", &fixture_system, test_crash);
    fixture_add_test("/gate/refusal-says-what-to-do", &fixture_system, test_refusal_text);
    fixture_add_test("/gate/interactive-flag-goes-to-polkit", &fixture_system, test_interactive);
    fixture_add_test("/gate/unknown-methods-are-refused", &fixture_system, test_unknown);
    fixture_add_test("/gate/missing-objects-are-told", &fixture_system, test_no_such_object);
    fixture_add_test("/gate/existence-is-not-told", &fixture_system, test_existence_is_not_told);
    fixture_add_test("/gate/made-up-name-does-no-harm", &fixture_system, test_made_up_name);
    fixture_add_test("/gate/unknown-object-is-authorised-first", &fixture_system,
                     test_unknown_object);
    fixture_add_test("/gate/inspect-is-remembered", &fixture_system, test_inspect_is_remembered);
    fixture_add_test("/gate/nothing-else-is-remembered", &fixture_system,
                     test_only_inspect_yes_is_remembered);
    fixture_add_test("/gate/new-owner-is-asked-about-again", &fixture_system, test_owner_changes);
    fixture_add_test("/gate/call-without-reply-is-authorised", &fixture_system, test_no_reply);
    return g_test_run();
}
