/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl commit with a choice: what reaches the service of the options, what --dry-run makes of
 * the service's report, and what status says of a job.
 */
#include <string.h>

#include "client-fixture.h"

#define DONE 0
#define FAILED 1
#define USAGE 2
#define NOT_FOUND 4
#define BUSY 5

static void accept(ClientFixture *f, const char *options)
{
    fake_service_reply(f->service, fake_service_take_with(f->service, "CommitWith", options), "s",
                       "job1");
}

static void test_options_reach_the_service(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *words, *options;
    } table[] = {
        {"--top=1", "top=1"},
        {"--base=/images/a,b.qcow2", "base=/images/a,b.qcow2"},
        {"--active --shallow", "active=yes, shallow=yes"},
        {"--on-error=stop", "on-error=stop"},
        {"--speed=20M", "speed=20971520"},
        {"--speed=0", "speed=0"},
        {"--backing-file=base.raw", "backing-file=base.raw"},
        {"--relative", "relative=yes"},
        {"--override", "override=yes"},
        {"--drop-bitmaps", "drop-bitmaps=yes"},
        {"--active --deadline=1.5 --on-deadline=slow-guest",
         "active=yes, deadline-usec=1500000, on-deadline=slow-guest"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autofree char *line = g_strconcat("commit web1/vda ", table[i].words, NULL);
        g_auto(GStrv) words = g_strsplit(line, " ", -1);
        ClientWorld world = {
            .event = fake_service_event(f->service),
            .bus_address = fake_service_address(f->service),
        };
        g_autoptr(ClientRun) r = client_run_new(&world, (const char *const *)words);

        g_test_message("%s", line);
        accept(f, table[i].options);
        client_run_end(r, DONE);
    }
}

/* The bus would take it for an attack, and end the connection. */
static void test_name_that_is_no_utf8(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--top=\xff", NULL);

    client_run_end(r, USAGE);
    client_run_assert_complains(r, "--top takes text in UTF-8.");
    fake_service_assert_no_call(f->service);
}

/* The service's answer to Check. */
static void report(ClientFixture *f, const char *options, bool possible, const char *error,
                   const char *obstacle)
{
    sd_bus_message *call = fake_service_take_with(f->service, "Check", options);

    fake_service_reply(f->service, call, "a{sv}", 9, "possible", "b", possible, "active", "b",
                       strstr(options, "active=yes") != NULL, error ? "error" : "x", "s",
                       error ? error : "", error ? "message" : "y", "s",
                       error ? "The service's own words." : "", obstacle ? "obstacles" : "z", "as",
                       1, obstacle, "bytes-to-copy", "t", UINT64_C(3) << 20, "grows-to", "t",
                       UINT64_C(64) << 20, "base-size", "t", UINT64_C(32) << 20, "images", "aa{sv}",
                       2, 3, "index", "u", UINT32_C(0), "file", "s", "/images/top.qcow2", "becomes",
                       "s", "stale", 2, "file", "s", "/images/base.raw", "becomes", "s", "written");
}

static void test_dry_run(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--dry-run", "--active", "--pivot", NULL);

    report(f, "active=yes, on-ready=pivot", true, NULL, NULL);
    client_run_end(r, DONE);
    client_run_assert_says(r, "web1/vda: the commit is possible. Nothing was changed.");
    client_run_assert_says(r, "0: /images/top.qcow2 leaves the chain with the pivot");
    client_run_assert_says(r, "1: /images/base.raw is written");
    client_run_assert_says(r, "3.0 MiB at most, and what the guest writes meanwhile");
    client_run_assert_says(r, "32.0 MiB, has to grow to 64.0 MiB");
    fake_service_assert_no_call(f->service);
}

/* The guest does not write to the images that are copied then. */
static void test_dry_run_below_the_active_image(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--dry-run", NULL);

    report(f, "", true, NULL, NULL);
    client_run_end(r, DONE);
    client_run_assert_says(r, "3.0 MiB at most\n");
}

static void test_dry_run_of_what_is_refused(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--dry-run", NULL);

    report(f, "", false, "org.vmdisk1.Error.JobExists", NULL);
    client_run_end(r, BUSY);
    client_run_assert_says(r, "not possible");
    client_run_assert_says(r, "The service's own words.");
}

static void test_dry_run_with_an_obstacle(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--dry-run", NULL);

    report(f, "", false, NULL, "The base cannot grow.");
    client_run_end(r, FAILED);
    client_run_assert_says(r, "The base cannot grow.");
}

static void test_dry_run_that_is_refused(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--dry-run", "--drop-bitmaps", NULL);

    fake_service_refuse(f->service, fake_service_take_with(f->service, "Check", "drop-bitmaps=yes"),
                        SD_BUS_ERROR_INVALID_ARGS,
                        "VM 'web1', disk 'vda': there is no option 'drop-bitmaps'.");
    client_run_end(r, USAGE);
    client_run_assert_complains(r, "'drop-bitmaps'");
}

/* As it is: with what the client does not know. */
static void test_dry_run_as_json(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--dry-run", "--json=short", NULL);

    fake_service_reply(f->service, fake_service_take(f->service, "Check"), "a{sv}", 5, "possible",
                       "b", true, "chain-depth", "u", UINT32_C(2), "bytes-to-copy", "t",
                       UINT64_C(1) << 60, "novelty", "a{sv}", 1, "inner", "as", 2, "a", "b", "odd",
                       "(su)", "x", UINT32_C(1));
    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_output(r), ==,
                    "{\"possible\":true,\"chain-depth\":2,\"bytes-to-copy\":1152921504606846976,"
                    "\"novelty\":{\"inner\":[\"a\",\"b\"]},\"odd\":null}\n");
}

static ClientRun *dry_run_of_two(ClientFixture *f, const char *more)
{
    fake_service_add(f->service, "web1", "vdb");
    return client_fixture_run(f, "commit", "web1", "--dry-run", "--active", more, NULL);
}

/* The service's answer for the next disk, as far as it matters here. */
static void report_disk(ClientFixture *f, const char *error, bool left_out, const char *together)
{
    sd_bus_message *call = fake_service_take_with(f->service, "Check", "active=yes");

    fake_service_reply(f->service, call, "a{sv}", 5, "possible", "b", error == NULL,
                       error ? "error" : "x", "s", error ? error : "", error ? "message" : "y", "s",
                       error ? "It cannot be." : "", "left-out", "b", left_out,
                       together ? "together" : "z", "s", together ? together : "");
}

static void test_dry_run_of_a_vm(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, NULL);

    report_disk(f, NULL, false, NULL);
    report_disk(f, NULL, false, NULL);
    client_run_end(r, DONE);
    client_run_assert_says(r, "web1/vda: the commit is possible.");
    client_run_assert_says(r, "web1/vdb: the commit is possible.");
    client_run_assert_says(r, "web1: 2 disks would be committed together.");
}

static void test_dry_run_of_a_vm_leaves_out(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, NULL);

    report_disk(f, "org.vmdisk1.Error.NothingToCommit", true, NULL);
    report_disk(f, NULL, false, NULL);
    client_run_end(r, DONE);
    client_run_assert_says(r, "web1/vda is left out. It cannot be.");
    client_run_assert_says(r, "web1: 1 disk would be committed.");
}

/* It is the whole that is refused. */
static void test_dry_run_of_a_vm_with_a_disk_that_is_refused(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, NULL);

    report_disk(f, "org.vmdisk1.Error.JobExists", false, NULL);
    report_disk(f, NULL, false, NULL);
    client_run_end(r, BUSY);
    client_run_assert_says(r, "web1/vda: the commit is not possible.");
    client_run_assert_says(r, "web1: no disk would be committed");
}

/* Possible for the disk alone, not for the disks together. */
static void test_dry_run_of_a_vm_with_a_disk_that_goes_alone(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, NULL);

    report_disk(f, NULL, false, NULL);
    report_disk(f, NULL, false, "It is exported.");
    client_run_end(r, FAILED);
    client_run_assert_says(r, "web1/vdb: the commit is not possible.");
    client_run_assert_says(r, "It is exported.");
}

static void test_dry_run_of_a_vm_with_nothing_to_commit(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, NULL);

    report_disk(f, "org.vmdisk1.Error.NothingToCommit", true, NULL);
    report_disk(f, "org.vmdisk1.Error.NothingToCommit", true, NULL);
    client_run_end(r, FAILED);
    client_run_assert_says(r, "web1: no disk has anything to commit");
}

/* Whoever names a disk wants it. */
static void test_dry_run_of_named_disks(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, "--disk=vdb");

    report_disk(f, "org.vmdisk1.Error.NothingToCommit", true, NULL);
    client_run_end(r, FAILED);
    client_run_assert_says(r, "web1/vdb: the commit is not possible.");
    fake_service_assert_no_call(f->service);
}

static void test_dry_run_of_a_disk_that_is_not_there(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, "--disk=vdx");

    client_run_end(r, NOT_FOUND);
    client_run_assert_complains(r, "The VM web1 has no disk \"vdx\". It has: vda, vdb.");
    fake_service_assert_no_call(f->service);
}

static void test_dry_run_of_a_vm_as_json(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = dry_run_of_two(f, "--json=short");

    report_disk(f, "org.vmdisk1.Error.ReadOnly", true, NULL);
    fake_service_reply(f->service, fake_service_take(f->service, "Check"), "a{sv}", 1, "possible",
                       "b", true);
    client_run_end(r, DONE);
    g_assert_cmpstr(
        client_run_output(r), ==,
        "{\"vm\":\"web1\",\"possible\":true,\"disks\":[{\"disk\":\"vda\",\"left-out\":true,"
        "\"report\":{\"possible\":false,\"error\":\"org.vmdisk1.Error.ReadOnly\","
        "\"message\":\"It cannot be.\",\"left-out\":true,\"z\":\"\"}},"
        "{\"disk\":\"vdb\",\"left-out\":false,\"report\":{\"possible\":true}}]}\n");
}

static void test_status_of_a_job_with_a_choice(ClientFixture *f, gconstpointer data)
{
    fake_disk_choose(f->disk, "keep");
    fake_disk_set_rate(f->disk, 12U << 20, 3U << 20);
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_state(f->disk, "paused");
    fake_disk_set_error(f->disk, "No space left on device");
    g_autoptr(ClientRun) r = client_fixture_run(f, "status", "web1/vda", NULL);

    client_run_end(r, DONE);
    client_run_assert_says(r, "paused by an I/O error: No space left on device");
    client_run_assert_says(r, "12.0 MiB left, at 3.0 MiB/s");
    client_run_assert_says(r, "keeps the overlay by itself when it is ready");
}

/* Somebody has decided already. */
static void test_status_of_a_ready_job_that_ends_by_itself(ClientFixture *f, gconstpointer data)
{
    fake_disk_choose(f->disk, "pivot");
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_state(f->disk, "ready");
    g_autoptr(ClientRun) r = client_fixture_run(f, "status", "web1/vda", NULL);

    client_run_end(r, DONE);
    client_run_assert_says(r, "pivots by itself");
    g_assert_null(strstr(client_run_output(r), "vmdiskctl pivot"));
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"options-reach-the-service", test_options_reach_the_service},
        {"name-that-is-no-utf8", test_name_that_is_no_utf8},
        {"dry-run", test_dry_run},
        {"dry-run-below-the-active-image", test_dry_run_below_the_active_image},
        {"dry-run-of-what-is-refused", test_dry_run_of_what_is_refused},
        {"dry-run-with-an-obstacle", test_dry_run_with_an_obstacle},
        {"dry-run-that-is-refused", test_dry_run_that_is_refused},
        {"dry-run-as-json", test_dry_run_as_json},
        {"dry-run-of-a-vm", test_dry_run_of_a_vm},
        {"dry-run-of-a-vm/leaves-out", test_dry_run_of_a_vm_leaves_out},
        {"dry-run-of-a-vm/disk-that-is-refused", test_dry_run_of_a_vm_with_a_disk_that_is_refused},
        {"dry-run-of-a-vm/disk-that-goes-alone", test_dry_run_of_a_vm_with_a_disk_that_goes_alone},
        {"dry-run-of-a-vm/nothing-to-commit", test_dry_run_of_a_vm_with_nothing_to_commit},
        {"dry-run-of-a-vm/named-disks", test_dry_run_of_named_disks},
        {"dry-run-of-a-vm/disk-that-is-not-there", test_dry_run_of_a_disk_that_is_not_there},
        {"dry-run-of-a-vm/json", test_dry_run_of_a_vm_as_json},
        {"status-of-a-job-with-a-choice", test_status_of_a_job_with_a_choice},
        {"status-of-a-ready-job-that-ends-by-itself",
         test_status_of_a_ready_job_that_ends_by_itself},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client-commit/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
