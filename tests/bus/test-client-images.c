/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl and the record of images: which one to boot, and that in doubt it is none.
 */
#include <string.h>

#include "client-fixture.h"

#define DONE 0
#define FAILED 1
#define USAGE 2
#define NOT_FOUND 4
#define BUSY 5

#define NO_SUCH_IMAGE "org.vmdisk1.Error.NoSuchImage"

static void know(ClientFixture *f, const char *image, const char *vm, const char *state,
                 const char *use_instead)
{
    fake_record_add(fake_service_record(f->service), image, vm, "vda", state, use_instead);
}

/* The record after a pivot; the VM does not run. */
static void know_pivoted(ClientFixture *f)
{
    know(f, "/images/overlay.qcow2", "web2", "stale", "/images/base.raw");
    know(f, "/images/base.raw", "web2", "active", NULL);
}

static void assert_prints(ClientFixture *f, const char *word, const char *fallback,
                          const char *image)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "boot-image", word, fallback, NULL);
    g_autofree char *line = g_strconcat(image, "\n", NULL);

    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_output(r), ==, line);
    g_assert_cmpstr(client_run_errors(r), ==, "");
}

/* A script takes what is on stdout for the image. */
static void assert_refuses(ClientFixture *f, const char *word, const char *fallback, int code,
                           const char *text)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "boot-image", word, fallback, NULL);

    client_run_end(r, code);
    client_run_assert_complains(r, text);
    g_assert_cmpstr(client_run_output(r), ==, "");
}

static void test_base_is_booted_after_a_pivot(ClientFixture *f, gconstpointer data)
{
    know_pivoted(f);
    assert_prints(f, "web2/vda", NULL, "/images/base.raw");
    assert_prints(f, "web2/vda", "/images/overlay.qcow2", "/images/base.raw");
    assert_prints(f, "/org/vmdisk1/vm/web2/vda", NULL, "/images/base.raw");
}

static void test_other_disks_do_not_count(ClientFixture *f, gconstpointer data)
{
    know(f, "/images/1", "web", "active", NULL);
    know(f, "/images/2", "web2", "active", NULL);
    know(f, "/images/3", "web2", "merging", "/images/4");
    fake_record_add(fake_service_record(f->service), "/images/5", "web", "vdb", "merging",
                    "/images/6");
    assert_prints(f, "web/vda", NULL, "/images/1");
}

static void test_names_with_slashes(ClientFixture *f, gconstpointer data)
{
    fake_record_add(fake_service_record(f->service), "/images/1", "a/b", "c", "active", NULL);
    assert_prints(f, "a/b/c", NULL, "/images/1");

    fake_record_add(fake_service_record(f->service), "/images/2", "a", "b/c", "active", NULL);
    assert_refuses(f, "a/b/c", NULL, USAGE, "/org/vmdisk1/vm/a/b_2fc");
    assert_prints(f, "/org/vmdisk1/vm/a/b_2fc", NULL, "/images/2");
}

static void test_name_reaches_a_pipe_as_it_is(ClientFixture *f, gconstpointer data)
{
    const char *file = "/images/\033 \"b\u00fcro\"\n\u202e.qcow2";

    know(f, file, "web2", "active", NULL);
    assert_prints(f, "web2/vda", NULL, file);
}

static void test_nothing_on_record(ClientFixture *f, gconstpointer data)
{
    know_pivoted(f);
    assert_refuses(f, "web1/vda", NULL, NOT_FOUND, "Did you mean web2/vda?");
    assert_refuses(f, "mail/sda", NULL, NOT_FOUND, "\"vmdiskctl images\"");
    assert_refuses(f, "web2", NULL, NOT_FOUND, "web2/vda");
}

static void test_default_where_nothing_is_on_record(ClientFixture *f, gconstpointer data)
{
    know_pivoted(f);
    assert_prints(f, "web1/vda", "/images/first.qcow2", "/images/first.qcow2");
}

/* As after a slip in the name of the disk. */
static void test_default_that_the_record_knows_to_be_wrong(ClientFixture *f, gconstpointer data)
{
    know_pivoted(f);
    know(f, "/images/golden.qcow2", "web3", "base", NULL);
    assert_refuses(f, "web2/sda", "/images/overlay.qcow2", FAILED, "Use /images/base.raw instead");
    assert_refuses(f, "web2/sda", "/images/golden.qcow2", BUSY, "web3/vda");
}

static void test_default_needs_the_service(ClientFixture *f, gconstpointer data)
{
    fake_service_leave(f->service);
    assert_refuses(f, "web1/vda", "/images/first.qcow2", NOT_FOUND, "org.vmdisk1");
}

static void test_unknown_outcome_is_not_booted(ClientFixture *f, gconstpointer data)
{
    know(f, "/images/overlay.qcow2", "web2", "merging", "/images/base.raw");
    know(f, "/images/base.raw", "web2", "base", NULL);
    assert_refuses(f, "web2/vda", NULL, FAILED, "vmdiskctl forget /images/overlay.qcow2");
    assert_refuses(f, "web2/vda", "/images/overlay.qcow2", FAILED, "not known which image to boot");
}

static void test_record_without_an_active_image(ClientFixture *f, gconstpointer data)
{
    know(f, "/images/base.raw", "web2", "base", NULL);
    assert_refuses(f, "web2/vda", "/images/first.qcow2", FAILED, "not which of them to boot");
}

static void test_images_as_a_table(ClientFixture *f, gconstpointer data)
{
    know_pivoted(f);
    know(f, "/images/1", "web1", "active", NULL);
    g_autoptr(ClientRun) r = client_fixture_run(f, "images", NULL);

    client_run_end(r, DONE);
    g_auto(GStrv) lines = g_strsplit(client_run_output(r), "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 5);
    g_assert_true(g_regex_match_simple("^DISK +STATE +SINCE +IMAGE +USE INSTEAD$", lines[0], 0, 0));
    g_assert_true(
        g_regex_match_simple("^web1/vda +active +2024-05-0[12] .* +/images/1$", lines[1], 0, 0));
    g_assert_true(g_regex_match_simple(
        "^web2/vda +stale +2024.* +/images/overlay.qcow2 +/images/base.raw$", lines[2], 0, 0));
    g_assert_true(g_regex_match_simple("^web2/vda +active .*/images/base.raw$", lines[3], 0, 0));
}

static void test_images_of_a_vm_or_a_disk(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *word, *names;
    } table[] = {
        {"web", "/images/1\n/images/2\n"},
        {"/org/vmdisk1/vm/web", "/images/1\n/images/2\n"},
        {"web/vdb", "/images/2\n"},
        {"web2/vda", "/images/overlay.qcow2\n/images/base.raw\n"},
    };

    fake_record_add(fake_service_record(f->service), "/images/2", "web", "vdb", "active", NULL);
    know_pivoted(f);
    know(f, "/images/1", "web", "active", NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(ClientRun) r = client_fixture_run(f, "images", table[i].word, "--names", NULL);

        client_run_end(r, DONE);
        g_assert_cmpstr(client_run_output(r), ==, table[i].names);
    }

    g_autoptr(ClientRun) r = client_fixture_run(f, "images", "web1", NULL);
    client_run_end(r, NOT_FOUND);
    client_run_assert_complains(r, "web1");
}

static void test_images_as_json(ClientFixture *f, gconstpointer data)
{
    know_pivoted(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "images", "--json=short", NULL);

    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_output(r), ==,
                    "[{\"image\":\"/images/overlay.qcow2\",\"vm\":\"web2\",\"disk\":\"vda\","
                    "\"state\":\"stale\",\"since-usec\":1714564800000000,"
                    "\"use-instead\":\"/images/base.raw\"},"
                    "{\"image\":\"/images/base.raw\",\"vm\":\"web2\",\"disk\":\"vda\","
                    "\"state\":\"active\",\"since-usec\":1714564800000000,"
                    "\"use-instead\":null}]\n");
}

static void test_empty_record(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) people = client_fixture_run(f, "images", NULL);
    g_autoptr(ClientRun) script = client_fixture_run(f, "images", "--json=short", NULL);

    client_run_end(people, DONE);
    client_run_assert_says(people, "No image is on record.");
    client_run_end(script, DONE);
    g_assert_cmpstr(client_run_output(script), ==, "[]\n");
}

static void test_forget_says_which(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "forget", "/images/a b", NULL);
    sd_bus_message *call = fake_service_take(f->service, "ForgetImage");
    const char *image;

    g_assert_cmpint(sd_bus_message_read(call, "s", &image), >, 0);
    g_assert_cmpstr(image, ==, "/images/a b");
    fake_service_reply(f->service, call, "");
    client_run_end(r, DONE);
    client_run_assert_says(r, "/images/a b");
}

static void test_forget_what_is_not_on_record(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "forget", "/images/a", NULL);

    fake_service_refuse(f->service, fake_service_take(f->service, "ForgetImage"), NO_SUCH_IMAGE,
                        "Nothing is on record.");
    client_run_end(r, NOT_FOUND);
    g_assert_cmpstr(client_run_output(r), ==, "");

    /* No name on the bus can be that. */
    g_autoptr(ClientRun) bytes = client_fixture_run(f, "forget", "/images/\xff", NULL);
    client_run_end(bytes, NOT_FOUND);
    fake_service_assert_no_call(f->service);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"base-is-booted-after-a-pivot", test_base_is_booted_after_a_pivot},
        {"other-disks-do-not-count", test_other_disks_do_not_count},
        {"names-with-slashes", test_names_with_slashes},
        {"name-reaches-a-pipe-as-it-is", test_name_reaches_a_pipe_as_it_is},
        {"nothing-on-record", test_nothing_on_record},
        {"default-where-nothing-is-on-record", test_default_where_nothing_is_on_record},
        {"default-that-the-record-knows-to-be-wrong",
         test_default_that_the_record_knows_to_be_wrong},
        {"default-needs-the-service", test_default_needs_the_service},
        {"unknown-outcome-is-not-booted", test_unknown_outcome_is_not_booted},
        {"record-without-an-active-image", test_record_without_an_active_image},
        {"images-as-a-table", test_images_as_a_table},
        {"images-of-a-vm-or-a-disk", test_images_of_a_vm_or_a_disk},
        {"images-as-json", test_images_as_json},
        {"empty-record", test_empty_record},
        {"forget-says-which", test_forget_says_which},
        {"forget-what-is-not-on-record", test_forget_what_is_not_on_record},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client-images/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
