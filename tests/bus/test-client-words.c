/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl and words: names that people give, command lines, what is shown to people and to
 * scripts, and what the process ends with.
 */
#include <string.h>

#include "client-fixture.h"

#define DONE 0
#define FAILED 1
#define USAGE 2
#define DENIED 3
#define NOT_FOUND 4
#define BUSY 5
#define TIMED_OUT 6

#define OURS(name) "org.vmdisk1.Error." name

static const char *json_at(json_object *object, const char *key)
{
    json_object *value;

    if (!json_object_object_get_ex(object, key, &value))
        g_error("No \"%s\" in %s", key, json_object_to_json_string(object));
    return json_object_get_string(value);
}

static void test_exit_code_of_each_error(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *error;
        int code;
    } table[] = {
        {SD_BUS_ERROR_INVALID_ARGS, USAGE},
        {SD_BUS_ERROR_ACCESS_DENIED, DENIED},
        {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, DENIED},
        {OURS("NoSuchVM"), NOT_FOUND},
        {OURS("NoSuchDisk"), NOT_FOUND},
        {OURS("NoSuchImage"), NOT_FOUND},
        {OURS("NoJob"), NOT_FOUND},
        {OURS("JobExists"), BUSY},
        {OURS("MonitorBusy"), BUSY},
        {OURS("ImageInUse"), BUSY},
        {OURS("NotReady"), BUSY},
        {OURS("TimedOut"), TIMED_OUT},
        {OURS("ActiveLayer"), FAILED},
        {OURS("StaleImage"), FAILED},
        {OURS("QMP"), FAILED},
        {OURS("FromTheFuture"), FAILED},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(ClientRun) r = client_fixture_run(f, "--json=short", "commit", "web1/vda", NULL);

        fake_service_refuse(f->service, fake_service_take(f->service, "Commit"), table[i].error,
                            "The service's own words.");
        client_run_end(r, table[i].code);
        g_assert_cmpstr(client_run_errors(r), ==, "The service's own words.\n");
        json_object *value = client_run_json(r);
        g_assert_cmpstr(json_at(value, "error"), ==, table[i].error);
        g_assert_cmpstr(json_at(value, "message"), ==, "The service's own words.");
        json_object_put(value);
    }
}

static void test_service_that_is_not_there(ClientFixture *f, gconstpointer data)
{
    fake_service_leave(f->service);
    g_autoptr(ClientRun) r = client_fixture_run(f, "list", NULL);

    client_run_end(r, NOT_FOUND);
    client_run_assert_complains(r, "org.vmdisk1");
}

/* None of these reaches the service. */
static void test_wrong_command_lines(ClientFixture *f, gconstpointer data)
{
    static const char *const lines[] = {
        "",
        "lsit",
        "list web1",
        "commit",
        "commit web1/vda web1/vdb",
        "commit web1/vda --pivot",
        "commit web1/vda --keep-overlay --wait",
        "commit web1/vda --active --pivot --keep-overlay",
        "commit web1/vda --active --timeout=5",
        "commit web1/vda --names",
        "commit web1/vda --speed=fast",
        "commit web1/vda --deadline=soon",
        "commit web1/vda --active --on-deadline=cancel",
        "commit web1/vda --top",
        "commit web1/vda --shallow=1",
        "commit web1/vda --dry-run --wait",
        "commit web1/vda --dry-run --timeout=5",
        "pivot web1/vda --timeout=5",
        "commit web1 --dry-run --top=1",
        "commit web1 --dry-run --disk=vda --disk=vda",
        "commit web1 --base=2",
        "commit web1/vda --disk=vda",
        "wait web1/vda --dry-run",
        "pivot web1/vda --active",
        "list --wait",
        "wait web1/vda --timeout=soon",
        "wait web1/vda --timeout=-1",
        "wait web1/vda --timeout=nan",
        "wait web1/vda --timeout=",
        "--json=xml list",
        "--json",
        "--quiet=1 list",
        "--nonsense",
        "-x",
        "--user --host=h list",
        "--host=-oProxyCommand=true list",
        "boot-image",
        "boot-image web1/vda /a /b",
        "boot-image web1/vda --names",
        "images web1 web2",
        "forget",
        "forget /a /b",
        "speed web1/vda",
        "speed web1/vda fast",
        "speed web1/vda 1Q",
        "speed web1/vda 1KB",
        "speed web1/vda 9223372036854775808",
        "speed web1/vda 8388608T",
        "speed web1/vda 99999999999999999999",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(lines); i++) {
        g_auto(GStrv) words = g_strsplit(lines[i], " ", -1);
        ClientWorld world = {
            .event = fake_service_event(f->service),
            .bus_address = fake_service_address(f->service),
        };
        if (g_str_equal(lines[i], ""))
            g_clear_pointer(&words[0], g_free);
        g_autoptr(ClientRun) r = client_run_new(&world, (const char *const *)words);

        g_test_message("vmdiskctl %s", lines[i]);
        client_run_end(r, USAGE);
        g_assert_cmpstr(client_run_output(r), ==, "");
        g_assert_cmpuint(strlen(client_run_errors(r)), >, 0);
    }
    fake_service_assert_no_call(f->service);
}

static void test_speed_with_units(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *word;
        uint64_t speed;
    } table[] = {
        {"0", 0},
        {"1000", 1000},
        {"2k", 2048},
        {"3M", UINT64_C(3) << 20},
        {"1T", UINT64_C(1) << 40},
        {"9223372036854775807", INT64_MAX},
    };

    fake_disk_start_job(f->disk, "job1", true);
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(ClientRun) r = client_fixture_run(f, "speed", "web1/vda", table[i].word, NULL);
        sd_bus_message *call = fake_service_take(f->service, "SetSpeed");
        uint64_t speed;

        g_assert_cmpint(sd_bus_message_read(call, "t", &speed), >, 0);
        g_assert_cmpuint(speed, ==, table[i].speed);
        fake_service_reply(f->service, call, "");
        client_run_end(r, DONE);
    }
}

/* The object on which a call for that name arrives. */
static void assert_finds(ClientFixture *f, const char *word, const FakeDisk *disk)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", word, NULL);
    sd_bus_message *call = fake_service_take(f->service, "Commit");

    g_assert_cmpstr(sd_bus_message_get_path(call), ==, fake_disk_path(disk));
    fake_service_reply(f->service, call, "s", "job1");
    client_run_end(r, DONE);
}

static void test_names_with_any_character(ClientFixture *f, gconstpointer data)
{
    static const char *const vms[] = {"a b", "a/b", "web1.example", "büro", "it's", "-v"};

    for (size_t i = 0; i < G_N_ELEMENTS(vms); i++) {
        FakeDisk *d = fake_service_add(f->service, vms[i], "vda");
        g_autofree char *name = g_strconcat(vms[i], "/vda", NULL);

        if (*name != '-')
            assert_finds(f, name, d);
        assert_finds(f, fake_disk_path(d), d);
    }
}

static void test_ambiguous_name_is_refused(ClientFixture *f, gconstpointer data)
{
    const FakeDisk *first = fake_service_add(f->service, "a", "b/c");
    const FakeDisk *second = fake_service_add(f->service, "a/b", "c");
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "a/b/c", NULL);

    client_run_end(r, USAGE);
    client_run_assert_complains(r, fake_disk_path(first));
    client_run_assert_complains(r, fake_disk_path(second));
    assert_finds(f, fake_disk_path(second), second);
}

static void test_unknown_name_lists_near_ones(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *word, *near;
    } table[] = {
        {"web1/vdx", "It has: vda"},
        {"wbe1/vda", "Did you mean: web1/vda"},
        {"web", "Did you mean: web1"},
        {"entirely-different/vda", "\"vmdiskctl list\""},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(ClientRun) r = client_fixture_run(f, "commit", table[i].word, NULL);

        client_run_end(r, NOT_FOUND);
        client_run_assert_complains(r, table[i].near);
    }
}

static void test_vm_is_no_disk(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "pause", "web1", NULL);

    client_run_end(r, USAGE);
    client_run_assert_complains(r, "web1/DISK: vda");
}

static void test_hints_can_be_copied_into_a_shell(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *vm, *hint;
    } table[] = {
        {"my vm", "vmdiskctl wait 'my vm/vda'"},
        {"büro", "vmdiskctl wait 'büro/vda'"},
        {"it's", "vmdiskctl wait /org/vmdisk1/vm/it_27s/vda"},
        {"-v", "vmdiskctl wait /org/vmdisk1/vm/_2dv/vda"},
        {"$(reboot)", "vmdiskctl wait '$(reboot)/vda'"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        FakeDisk *d = fake_service_add(f->service, table[i].vm, "vda");
        g_autoptr(ClientRun) r = client_fixture_run(f, "commit", fake_disk_path(d), NULL);

        fake_service_reply(f->service, fake_service_take(f->service, "Commit"), "s", "job1");
        client_run_end(r, DONE);
        client_run_assert_says(r, table[i].hint);
    }
}

static void test_names_are_shown_without_their_tricks(ClientFixture *f, gconstpointer data)
{
    fake_disk_set_file(f->disk, "/images/\033]0;title\007\n\u202efdp.exe");
    g_autoptr(ClientRun) r = client_fixture_run(f, "list", NULL);

    client_run_end(r, DONE);
    client_run_assert_says(r, "/images/\\x1b]0;title\\x07\\x0a\\xe2\\x80\\xaefdp.exe");
    g_assert_null(strchr(client_run_output(r), '\033'));
}

static void test_json_is_exact(ClientFixture *f, gconstpointer data)
{
    const char *file = "/images/\033 \"b\u00fcro\"\n.qcow2";

    fake_disk_set_file(f->disk, file);
    g_autoptr(ClientRun) r = client_fixture_run(f, "list", "--json=short", NULL);
    client_run_end(r, DONE);
    g_assert_cmpint(strcspn(client_run_output(r), "\n") + 1, ==, strlen(client_run_output(r)));

    json_object *vms = client_run_json(r);
    json_object *vm = json_object_array_get_idx(vms, 0), *disks, *chain, *size;
    g_assert_cmpstr(json_at(vm, "name"), ==, "web1");
    g_assert_true(json_object_object_get_ex(vm, "disks", &disks));
    json_object *disk = json_object_array_get_idx(disks, 0);
    g_assert_null(json_at(disk, "job"));
    g_assert_true(json_object_object_get_ex(disk, "chain", &chain));
    g_assert_cmpuint(json_object_array_length(chain), ==, 2);
    json_object *image = json_object_array_get_idx(chain, 0);
    g_assert_cmpstr(json_at(image, "file"), ==, file);
    g_assert_true(json_object_object_get_ex(image, "size", &size));
    g_assert_true(json_object_is_type(size, json_type_int));
    g_assert_cmpuint(json_object_get_uint64(size), ==, UINT64_C(3) << 30);
    g_assert_false(json_object_object_get_ex(image, "novelty", NULL));
    g_assert_null(json_at(json_object_array_get_idx(chain, 1), "backing-file"));
    json_object_put(vms);
}

static void test_json_of_a_commit(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "--json=pretty", "commit", "web1/vda", "--active", "--pivot", NULL);

    fake_service_reply(f->service, fake_service_take(f->service, "CommitWith"), "s", "job1");
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_finish_job(f->disk, "failed", OURS("QMP"), "No space left on device");
    client_run_end(r, FAILED);

    json_object *value = client_run_json(r);
    g_assert_cmpstr(json_at(value, "vm"), ==, "web1");
    g_assert_cmpstr(json_at(value, "disk"), ==, "vda");
    g_assert_cmpstr(json_at(value, "job"), ==, "job1");
    g_assert_cmpstr(json_at(value, "type"), ==, "commit");
    g_assert_cmpstr(json_at(value, "result"), ==, "failed");
    g_assert_cmpstr(json_at(value, "error"), ==, OURS("QMP"));
    g_assert_cmpstr(json_at(value, "message"), ==, "No space left on device");
    json_object_put(value);
}

static void test_error_in_json_is_utf8(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "--json=short", "commit", "web1/\xff\n", NULL);

    client_run_end(r, NOT_FOUND);
    g_assert_true(g_utf8_validate(client_run_output(r), -1, NULL));
    json_object *value = client_run_json(r);
    g_assert_cmpstr(json_at(value, "error"), ==, OURS("NoSuchDisk"));
    json_object_put(value);
}

static void test_list_as_a_tree(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "list", NULL);

    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_output(r), ==,
                    "NAME   STATE       SIZE  FORMAT  IMAGE\n"
                    "web1   running\n"
                    "└─vda           3.0 GiB  qcow2\n"
                    "  ├─0           3.0 GiB  qcow2   /images/top.qcow2\n"
                    "  └─1           3.0 GiB  raw     /images/base.raw\n");
}

static void test_warnings_are_shown(ClientFixture *f, gconstpointer data)
{
    fake_disk_set_warning(f->disk, "The VM runs on a merged image.");
    g_autoptr(ClientRun) list = client_fixture_run(f, "list", NULL);
    g_autoptr(ClientRun) status = client_fixture_run(f, "status", "web1/vda", NULL);
    g_autoptr(ClientRun) json = client_fixture_run(f, "--json=short", "list", NULL);

    client_run_end(list, DONE);
    client_run_assert_complains(list, "web1/vda: The VM runs on a merged image.");
    client_run_end(status, DONE);
    client_run_assert_says(status, "Warning:  The VM runs on a merged image.");
    client_run_end(json, DONE);
    client_run_assert_says(json, "\"warnings\":[\"The VM runs on a merged image.\"]");
}

static void test_names_for_completion(ClientFixture *f, gconstpointer data)
{
    fake_service_add(f->service, "web1", "vdb");
    fake_service_add(f->service, "my vm", "vda");
    g_autoptr(ClientRun) r = client_fixture_run(f, "list", "--names", NULL);

    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_output(r), ==, "my vm/vda\nweb1/vda\nweb1/vdb\n");
}

static void test_status_says_what_can_be_done(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_state(f->disk, "ready");
    g_autoptr(ClientRun) r = client_fixture_run(f, "status", "web1/vda", NULL);

    client_run_end(r, DONE);
    client_run_assert_says(r, "commit ready");
    client_run_assert_says(r, "vmdiskctl pivot web1/vda");
}

static void test_job_verbs_without_a_job(ClientFixture *f, gconstpointer data)
{
    static const char *const verbs[] = {"pivot", "abort", "wait", "pause", "resume"};

    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++) {
        g_autoptr(ClientRun) r = client_fixture_run(f, verbs[i], "web1/vda", NULL);

        client_run_end(r, NOT_FOUND);
        client_run_assert_complains(r, "No job runs on web1/vda. \"vmdiskctl status\"");
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"exit-code-of-each-error", test_exit_code_of_each_error},
        {"service-that-is-not-there", test_service_that_is_not_there},
        {"wrong-command-lines", test_wrong_command_lines},
        {"speed-with-units", test_speed_with_units},
        {"names-with-any-character", test_names_with_any_character},
        {"ambiguous-name-is-refused", test_ambiguous_name_is_refused},
        {"unknown-name-lists-near-ones", test_unknown_name_lists_near_ones},
        {"vm-is-no-disk", test_vm_is_no_disk},
        {"hints-can-be-copied-into-a-shell", test_hints_can_be_copied_into_a_shell},
        {"names-are-shown-without-their-tricks", test_names_are_shown_without_their_tricks},
        {"json-is-exact", test_json_is_exact},
        {"json-of-a-commit", test_json_of_a_commit},
        {"error-in-json-is-utf8", test_error_in_json_is_utf8},
        {"list-as-a-tree", test_list_as_a_tree},
        {"warnings-are-shown", test_warnings_are_shown},
        {"names-for-completion", test_names_for_completion},
        {"status-says-what-can-be-done", test_status_says_what_can_be_done},
        {"job-verbs-without-a-job", test_job_verbs_without_a_job},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client-words/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
