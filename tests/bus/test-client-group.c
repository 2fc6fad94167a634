/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl on a whole VM: one call for all its disks, one wait until all are ready or have ended.
 */
#include <signal.h>
#include <string.h>

#include "client-fixture.h"

#define DONE 0
#define FAILED 1
#define NOT_FOUND 4
#define BUSY 5
#define INTERRUPTED 130

typedef struct Group {
    ClientFixture *fixture;
    FakeDisk *disks[2];
} Group;

static Group group_of(ClientFixture *f)
{
    fake_service_group(f->service);
    return (Group){f, {f->disk, fake_service_add(f->service, "web1", "vdb")}};
}

static void start_jobs(Group *g, bool active)
{
    static const char *const ids[] = {"job1", "job2"};

    for (size_t i = 0; i < G_N_ELEMENTS(g->disks); i++) {
        fake_disk_start_job(g->disks[i], ids[i], active);
        fake_disk_set_progress(g->disks[i], 20 * (i + 1), 100);
    }
}

static void start_jobs_with_choice(Group *g, const char *on_ready)
{
    for (size_t i = 0; i < G_N_ELEMENTS(g->disks); i++)
        fake_disk_choose(g->disks[i], on_ready);
    start_jobs(g, true);
}

static void become_ready(Group *g)
{
    for (size_t i = 0; i < G_N_ELEMENTS(g->disks); i++)
        fake_disk_set_state(g->disks[i], "ready");
    fake_disk_say_all_ready(g->disks[0]);
}

static void finish(Group *g, const char *first, const char *second)
{
    fake_disk_finish_job(g->disks[0], first, "", "");
    fake_disk_finish_job(g->disks[1], second, "",
                         strcmp(second, "failed") == 0 ? "Input/output error" : "");
    fake_disk_say_all_finished(g->disks[0]);
}

static void accept(Group *g, const char *method)
{
    fake_service_reply(g->fixture->service, fake_service_take(g->fixture->service, method), "");
}

static void test_commit_returns_when_started(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", NULL);

    accept(&g, "Commit");
    client_run_end(r, DONE);
    client_run_assert_says(r, "vmdiskctl wait web1");
}

static void test_options_reach_the_service(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1", "--active", "--disk=vda", "--disk", "vdb",
                           "--speed=1K", "--deadline=2", "--on-deadline=cancel", NULL);
    sd_bus_message *call = fake_service_take_with(f->service, "CommitWith",
                                                  "active=yes, speed=1024, deadline-usec=2000000, "
                                                  "on-deadline=cancel, disks=vda+vdb");

    g_assert_cmpstr(sd_bus_message_get_interface(call), ==, "org.vmdisk1.VM");
    fake_service_reply(f->service, call, "");
    client_run_end(r, DONE);
    g_assert_nonnull(g.disks[1]);
}

/* The bar is over the sum; one disk that is ready is not all. */
static void test_commit_waits_until_all_are_ready(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", "--wait", NULL);

    accept(&g, "Commit");
    start_jobs(&g, true);
    client_run_wait_for(r, "web1: running 30%");
    fake_disk_set_state(g.disks[0], "ready");
    fake_disk_say_ready(g.disks[0]);
    fake_disk_set_progress(g.disks[1], 60, 100);
    client_run_wait_for(r, "web1: running 40%");
    become_ready(&g);
    client_run_end(r, DONE);
    client_run_assert_says(r, "vmdiskctl pivot web1 ");
    fake_service_assert_no_call(f->service);
}

static void test_pivot_is_chosen_in_advance(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", "--pivot", NULL);

    fake_service_reply(
        f->service, fake_service_take_with(f->service, "CommitWith", "active=yes, on-ready=pivot"),
        "");
    start_jobs_with_choice(&g, "pivot");
    become_ready(&g);
    client_run_wait_for(r, "web1: ready");
    finish(&g, "completed", "completed");
    client_run_end(r, DONE);
    client_run_assert_says(r, "web1/vda: completed. The guest continues on the base.");
    client_run_assert_says(r, "web1/vdb: completed.");
    fake_service_assert_no_call(f->service);
}

static void test_one_that_fails(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", "--pivot", NULL);

    accept(&g, "CommitWith");
    start_jobs_with_choice(&g, "pivot");
    finish(&g, "kept", "failed");
    client_run_end(r, FAILED);
    client_run_assert_complains(r, "web1/vda: kept.");
    client_run_assert_complains(r, "web1/vdb: failed: Input/output error");
}

static void test_results_as_json(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "--json=short", "commit", "web1", "--active", "--keep-overlay", NULL);

    accept(&g, "CommitWith");
    start_jobs_with_choice(&g, "keep");
    finish(&g, "kept", "kept");
    client_run_end(r, DONE);
    g_assert_cmpstr(client_run_output(r), ==,
                    "{\"vm\":\"web1\",\"result\":\"kept\",\"disks\":["
                    "{\"disk\":\"vda\",\"result\":\"kept\",\"message\":null},"
                    "{\"disk\":\"vdb\",\"result\":\"kept\",\"message\":null}]}\n");
}

static void test_refused_commit(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", "--wait", NULL);

    fake_service_refuse(f->service, fake_service_take(f->service, "Commit"),
                        "org.vmdisk1.Error.JobExists", "The service's own words.");
    client_run_end(r, BUSY);
    client_run_assert_complains(r, "The service's own words.");
}

static void test_pivot_waits_for_the_end(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);

    start_jobs(&g, true);
    become_ready(&g);
    g_autoptr(ClientRun) r = client_fixture_run(f, "pivot", "web1", "--wait", NULL);
    accept(&g, "Pivot");
    finish(&g, "completed", "completed");
    client_run_end(r, DONE);
}

static void test_abort_returns_when_accepted(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);

    start_jobs(&g, true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "abort", "web1", NULL);
    accept(&g, "Abort");
    client_run_end(r, DONE);
}

static void test_wait_comes_back(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);

    start_jobs(&g, true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1", NULL);
    client_run_wait_for(r, "web1: running");
    become_ready(&g);
    client_run_end(r, DONE);
    client_run_assert_says(r, "all jobs are ready");
}

/* The VM is what its disks end with. */
static void test_ways_out_are_those_of_the_vm(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);

    start_jobs(&g, true);
    become_ready(&g);
    g_autoptr(ClientRun) waits = client_fixture_run(f, "wait", "web1/vda", NULL);
    client_run_end(waits, DONE);
    client_run_assert_says(waits, "vmdiskctl pivot web1 ");
    g_autoptr(ClientRun) r = client_fixture_run(f, "status", "web1", NULL);
    client_run_end(r, DONE);
    client_run_assert_says(r, "committed together: ready");
    client_run_assert_says(r, "vmdiskctl abort web1:");
}

/* A job of one disk alone is none of the VM. */
static void test_wait_with_a_job_of_a_disk(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1", NULL);

    client_run_end(r, NOT_FOUND);
}

static void test_wait_without_jobs(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1", NULL);

    client_run_end(r, NOT_FOUND);
}

static void test_interruption_leaves_the_jobs(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", "--pivot", NULL);

    accept(&g, "CommitWith");
    start_jobs_with_choice(&g, "pivot");
    client_run_wait_for(r, "running");
    client_run_signal(r, SIGINT);
    client_run_end(r, INTERRUPTED);
    client_run_assert_complains(r, "The jobs go on, and each pivots by itself when all are ready. "
                                   "\"vmdiskctl wait web1\" waits for them");
    fake_service_assert_no_call(f->service);
}

/* JobsFinished was said while nobody could hear it: the disks tell. */
static void test_end_while_the_service_is_away(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--active", "--pivot", NULL);

    accept(&g, "CommitWith");
    start_jobs_with_choice(&g, "pivot");
    client_run_wait_for(r, "running");
    fake_service_leave(f->service);
    client_run_wait_for(r, "left the bus");
    fake_disk_end_job(g.disks[0], "completed", "", "");
    fake_disk_end_job(g.disks[1], "completed", "", "");
    fake_service_return(f->service);
    client_run_end(r, DONE);
}

/* What is said before the answer is about jobs of before. */
static void test_end_of_an_earlier_group(ClientFixture *f, gconstpointer data)
{
    Group g = group_of(f);
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1", "--wait", NULL);
    sd_bus_message *call = fake_service_take(f->service, "Commit");

    start_jobs(&g, false);
    finish(&g, "failed", "failed");
    fake_service_reply(f->service, call, "");
    start_jobs(&g, false);
    client_run_wait_for(r, "running");
    finish(&g, "completed", "completed");
    client_run_end(r, DONE);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"commit-returns-when-started", test_commit_returns_when_started},
        {"options-reach-the-service", test_options_reach_the_service},
        {"commit-waits-until-all-are-ready", test_commit_waits_until_all_are_ready},
        {"pivot-is-chosen-in-advance", test_pivot_is_chosen_in_advance},
        {"one-that-fails", test_one_that_fails},
        {"results-as-json", test_results_as_json},
        {"refused-commit", test_refused_commit},
        {"pivot-waits-for-the-end", test_pivot_waits_for_the_end},
        {"abort-returns-when-accepted", test_abort_returns_when_accepted},
        {"wait-comes-back", test_wait_comes_back},
        {"wait-without-jobs", test_wait_without_jobs},
        {"wait-with-a-job-of-a-disk", test_wait_with_a_job_of_a_disk},
        {"ways-out-are-those-of-the-vm", test_ways_out_are_those_of_the_vm},
        {"interruption-leaves-the-jobs", test_interruption_leaves_the_jobs},
        {"end-while-the-service-is-away", test_end_while_the_service_is_away},
        {"end-of-an-earlier-group", test_end_of_an_earlier_group},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client-group/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
