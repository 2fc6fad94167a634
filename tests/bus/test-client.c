/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl and the course of a job: what it waits for, what it tells the service and when, and
 * what it makes of a service that is restarted, of signals that are forged, and of Ctrl-C.
 */
#include <signal.h>
#include <unistd.h>

#include "client-fixture.h"

#define NOT_READY "org.vmdisk1.Error.NotReady"
#define DONE 0
#define FAILED 1
#define BUSY 5
#define TIMED_OUT 6
#define INTERRUPTED 130

/* Takes the call of Commit, answers it, and then publishes the job. */
static void accept_commit(ClientFixture *f, bool active)
{
    sd_bus_message *call = fake_service_take(f->service, "Commit");
    int said;

    g_assert_cmpint(sd_bus_message_read(call, "b", &said), >, 0);
    g_assert_cmpint(said, ==, active);
    fake_service_reply(f->service, call, "s", "job1");
    fake_disk_start_job(f->disk, "job1", active);
}

/* The same for a commit whose end is chosen. */
static void accept_choice(ClientFixture *f, const char *on_ready)
{
    g_autofree char *options = g_strdup_printf("active=yes, on-ready=%s", on_ready);

    fake_service_reply(f->service, fake_service_take_with(f->service, "CommitWith", options), "s",
                       "job1");
    fake_disk_choose(f->disk, on_ready);
    fake_disk_start_job(f->disk, "job1", true);
}

static void become_ready(ClientFixture *f)
{
    fake_disk_set_progress(f->disk, 100, 100);
    fake_disk_set_state(f->disk, "ready");
    fake_disk_say_ready(f->disk);
}

static void accept_end(ClientFixture *f, const char *method, const char *state)
{
    fake_service_reply(f->service, fake_service_take(f->service, method), "");
    fake_disk_set_state(f->disk, state);
}

static void test_commit_returns_when_started(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--active", NULL);

    accept_commit(f, true);
    client_run_end(r, DONE);
    client_run_assert_says(r, "vmdiskctl pivot web1/vda");
    client_run_assert_says(r, "vmdiskctl abort web1/vda");
}

static void test_commit_waits_until_ready(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--wait", NULL);

    accept_commit(f, true);
    become_ready(f);
    client_run_end(r, DONE);
    client_run_assert_says(r, "ready");
    fake_service_assert_no_call(f->service);
}

static void test_intermediate_commit_waits_until_finished(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--wait", NULL);

    accept_commit(f, false);
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_end(r, DONE);
    client_run_assert_says(r, "completed");
}

/* The service pivots by itself, so that it does when nobody is there any more. */
static void test_pivot_is_chosen_in_advance(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    fake_disk_set_progress(f->disk, 100, 100);
    client_run_wait_for(r, "running 100%");
    become_ready(f);
    fake_disk_set_state(f->disk, "pivoting");
    client_run_wait_for(r, "pivoting");
    fake_service_assert_no_call(f->service);
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_end(r, DONE);
    client_run_assert_says(r, "The guest continues on the base");
}

static void test_keep_overlay_is_chosen_in_advance(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--keep-overlay", NULL);

    accept_choice(f, "keep");
    become_ready(f);
    fake_disk_finish_job(f->disk, "kept", "", "");
    client_run_end(r, DONE);
    fake_service_assert_no_call(f->service);
}

static void test_other_end_than_asked_for_is_a_failure(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    /* Somebody else has aborted it meanwhile. */
    fake_disk_set_state(f->disk, "aborting");
    fake_disk_finish_job(f->disk, "kept", "", "");
    client_run_end(r, FAILED);
    client_run_assert_complains(r, "not what was asked for");
}

static void test_failure_tells_why(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    fake_disk_finish_job(f->disk, "failed", "org.vmdisk1.Error.QMP", "No space left on device");
    client_run_end(r, FAILED);
    client_run_assert_complains(r, "web1/vda: failed: No space left on device");
}

static void test_wait_comes_back_to_a_job(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1/vda", NULL);

    client_run_wait_for(r, "running");
    become_ready(f);
    client_run_end(r, DONE);
    client_run_assert_says(r, "ready");
}

/* Nobody has to decide: what is waited for is the end. */
static void test_wait_for_a_job_that_ends_by_itself(ClientFixture *f, gconstpointer data)
{
    fake_disk_choose(f->disk, "pivot");
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1/vda", NULL);

    client_run_wait_for(r, "running");
    become_ready(f);
    client_run_wait_for(r, "ready");
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_end(r, DONE);
    client_run_assert_says(r, "completed");
}

static void test_pause_by_an_error_is_told(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1/vda", NULL);

    client_run_wait_for(r, "running");
    fake_disk_set_state(f->disk, "paused");
    fake_disk_set_error(f->disk, "No space left on device");
    client_run_wait_for(r, "No space left on device. Remove the cause, then \"vmdiskctl resume "
                           "web1/vda\".");
    fake_disk_set_error(f->disk, "");
    become_ready(f);
    client_run_end(r, DONE);
}

/* The signal came before anybody waited. */
static void test_wait_sees_a_job_that_is_ready(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_state(f->disk, "ready");
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1/vda", NULL);

    client_run_end(r, DONE);
}

static void test_wait_tells_how_the_last_job_ended(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_finish_job(f->disk, "cancelled", "", "");
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1/vda", NULL);

    client_run_end(r, FAILED);
    client_run_assert_complains(r, "cancelled");
}

static void test_end_of_another_job_is_not_ours(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", "--wait", NULL);
    sd_bus_message *call = fake_service_take(f->service, "Commit");

    fake_disk_start_job(f->disk, "job0", false);
    fake_disk_finish_job(f->disk, "failed", "org.vmdisk1.Error.QMP", "Another job");
    fake_service_reply(f->service, call, "s", "job1");
    fake_disk_start_job(f->disk, "job1", false);
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_end(r, DONE);
}

/* Anybody may send anybody a signal. Believed, this one would cost somebody an overlay in use. */
static void test_forged_signals_are_not_believed(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);
    sd_bus *forger =
        test_bus_connect(fake_service_bus(f->service), fake_service_event(f->service), geteuid());
    const char *path = fake_disk_path(f->disk);
    sd_bus_message *call = fake_service_take(f->service, "CommitWith");
    g_autofree char *client = g_strdup(sd_bus_message_get_sender(call));
    sd_bus_message *ready, *finished;

    fake_service_reply(f->service, call, "s", "job1");
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_progress(f->disk, 50, 100);
    client_run_wait_for(r, "running 50%");

    g_assert_cmpint(sd_bus_message_new_signal(forger, &ready, path, "org.vmdisk1.Disk", "JobReady"),
                    >=, 0);
    g_assert_cmpint(sd_bus_message_append(ready, "ss", "job1", "commit"), >=, 0);
    g_assert_cmpint(
        sd_bus_message_new_signal(forger, &finished, path, "org.vmdisk1.Disk", "JobFinished"), >=,
        0);
    g_assert_cmpint(sd_bus_message_append(finished, "sssss", "job1", "commit", "completed", "", ""),
                    >=, 0);
    g_assert_cmpint(sd_bus_send_to(forger, ready, client, NULL), >=, 0);
    g_assert_cmpint(sd_bus_send_to(forger, finished, client, NULL), >=, 0);
    g_assert_cmpint(sd_bus_flush(forger), >=, 0);
    sd_bus_message_unref(ready);
    sd_bus_message_unref(finished);

    fake_disk_set_progress(f->disk, 70, 100);
    client_run_wait_for(r, "running 70%");
    fake_service_assert_no_call(f->service);
    fake_disk_finish_job(f->disk, "failed", "org.vmdisk1.Error.QMP", "The truth");
    client_run_end(r, FAILED);
    client_run_assert_complains(r, "The truth");
    test_bus_disconnect(forger);
}

static void test_job_that_ends_while_the_service_is_away(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    fake_disk_set_state(f->disk, "pivoting");
    client_run_wait_for(r, "pivoting");
    fake_service_leave(f->service);
    client_run_wait_for(r, "left the bus");
    fake_disk_end_job(f->disk, "completed", "", "");
    fake_service_return(f->service);
    client_run_end(r, DONE);
}

static void test_job_that_goes_on_after_a_restart(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    client_run_wait_for(r, "running");
    fake_service_leave(f->service);
    client_run_wait_for(r, "left the bus");
    fake_service_return(f->service);
    become_ready(f);
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_end(r, DONE);
}

static void test_pivot_without_an_answer_is_told_again(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    fake_disk_set_state(f->disk, "ready");
    g_autoptr(ClientRun) r = client_fixture_run(f, "pivot", "web1/vda", "--wait", NULL);

    sd_bus_message_unref(fake_service_take(f->service, "Pivot"));
    fake_service_leave(f->service);
    fake_service_return(f->service);
    accept_end(f, "Pivot", "pivoting");
    fake_disk_finish_job(f->disk, "completed", "", "");
    client_run_end(r, DONE);
}

static void test_disk_that_goes_away(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    client_run_wait_for(r, "running");
    fake_disk_remove(f->disk);
    client_run_end(r, FAILED);
    client_run_assert_complains(r, "lost");
}

static void test_interruption_leaves_the_job(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--wait", NULL);

    accept_commit(f, true);
    client_run_wait_for(r, "running");
    client_run_signal(r, SIGINT);
    client_run_end(r, INTERRUPTED);
    client_run_assert_complains(
        r, "The job goes on. \"vmdiskctl wait web1/vda\" waits for it, \"vmdiskctl pivot "
           "web1/vda\" or \"vmdiskctl abort web1/vda\" ends it.");
    fake_service_assert_no_call(f->service);
}

static void test_interruption_leaves_the_choice(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);

    accept_choice(f, "pivot");
    client_run_wait_for(r, "running");
    client_run_signal(r, SIGINT);
    client_run_end(r, INTERRUPTED);
    client_run_assert_complains(
        r, "The job goes on, and pivots by itself when it is ready. \"vmdiskctl wait web1/vda\" "
           "waits for it, \"vmdiskctl abort web1/vda\" ends it before.");
    fake_service_assert_no_call(f->service);
}

static void test_interruption_before_the_answer(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) r =
        client_fixture_run(f, "commit", "web1/vda", "--active", "--pivot", NULL);
    sd_bus_message *call = fake_service_take(f->service, "CommitWith");

    client_run_signal(r, SIGTERM);
    client_run_end(r, INTERRUPTED);
    client_run_assert_complains(r, "vmdiskctl status web1/vda");
    sd_bus_message_unref(call);
}

static void test_timeout_leaves_the_job(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "wait", "web1/vda", "--timeout=0.01", NULL);

    client_run_end(r, TIMED_OUT);
    client_run_assert_complains(r, "did not become ready within 0.01 s. The job goes on.");
    fake_service_assert_no_call(f->service);
}

static void test_pivot_does_not_wait_for_ready(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "pivot", "web1/vda", "--wait", NULL);

    fake_service_refuse(f->service, fake_service_take(f->service, "Pivot"), NOT_READY, "Not yet.");
    client_run_end(r, BUSY);
    client_run_assert_complains(r, "Not yet.");
}

static void test_abort_waits_for_the_end(ClientFixture *f, gconstpointer data)
{
    fake_disk_start_job(f->disk, "job1", true);
    g_autoptr(ClientRun) r = client_fixture_run(f, "abort", "web1/vda", "--wait", NULL);

    accept_end(f, "Abort", "aborting");
    client_run_wait_for(r, "aborting");
    fake_disk_finish_job(f->disk, "cancelled", "", "");
    client_run_end(r, DONE);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"commit-returns-when-started", test_commit_returns_when_started},
        {"commit-waits-until-ready", test_commit_waits_until_ready},
        {"intermediate-commit-waits-until-finished", test_intermediate_commit_waits_until_finished},
        {"pivot-is-chosen-in-advance", test_pivot_is_chosen_in_advance},
        {"keep-overlay-is-chosen-in-advance", test_keep_overlay_is_chosen_in_advance},
        {"other-end-than-asked-for-is-a-failure", test_other_end_than_asked_for_is_a_failure},
        {"failure-tells-why", test_failure_tells_why},
        {"wait-comes-back-to-a-job", test_wait_comes_back_to_a_job},
        {"wait-for-a-job-that-ends-by-itself", test_wait_for_a_job_that_ends_by_itself},
        {"pause-by-an-error-is-told", test_pause_by_an_error_is_told},
        {"wait-sees-a-job-that-is-ready", test_wait_sees_a_job_that_is_ready},
        {"wait-tells-how-the-last-job-ended", test_wait_tells_how_the_last_job_ended},
        {"end-of-another-job-is-not-ours", test_end_of_another_job_is_not_ours},
        {"forged-signals-are-not-believed", test_forged_signals_are_not_believed},
        {"job-that-ends-while-the-service-is-away", test_job_that_ends_while_the_service_is_away},
        {"job-that-goes-on-after-a-restart", test_job_that_goes_on_after_a_restart},
        {"pivot-without-an-answer-is-told-again", test_pivot_without_an_answer_is_told_again},
        {"disk-that-goes-away", test_disk_that_goes_away},
        {"interruption-leaves-the-job", test_interruption_leaves_the_job},
        {"interruption-leaves-the-choice", test_interruption_leaves_the_choice},
        {"interruption-before-the-answer", test_interruption_before_the_answer},
        {"timeout-leaves-the-job", test_timeout_leaves_the_job},
        {"pivot-does-not-wait-for-ready", test_pivot_does_not_wait_for_ready},
        {"abort-waits-for-the-end", test_abort_waits_for_the_end},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
