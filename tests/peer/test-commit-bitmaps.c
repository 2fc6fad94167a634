/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty bitmaps at the end of a commit: what comes before what, and what becomes of the job when
 * QEMU does not carry them.
 */
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "commit.h"
#include "event-wait.h"
#include "play.h"

#define BITMAP(name, recording)                                                                    \
    "{'name': '" name "', 'persistent': true, 'recording': " recording                             \
    ", 'busy': false, 'granularity': 65536, 'count': 131072}"
#define BITMAPS "[" BITMAP("n", "true") "]"

/* A job on a chain whose active image has a bitmap. */
static Play *start_ready(void)
{
    Play *p = play_new(PLAY_CHAIN);

    fake_vm_set_bitmaps(p->vm, "top", BITMAPS);
    play_start_ready(p);
    return p;
}

/* Pivot, until the job stands at its barrier. */
static void hold(Play *p)
{
    qmp_peer_reply(p->peer, play_ask_pivot(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_move(p->vm, "pending");
}

static bool is_on_record(const Play *p)
{
    return ledger_find_stale(p->domain->ledger, "web1", "/images/top") != NULL;
}

static const char *text_of(const QmpPeerCommand *c)
{
    return json_object_to_json_string_ext(c->args, JSON_C_TO_STRING_PLAIN);
}

/* The guest stays on the overlay. */
static void check_failed(Play *p, const char *why)
{
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "job-cancel");

    g_assert_false(is_on_record(p));
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda failed"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
    if (!strstr(disk_last_job(p->disk)->message, why))
        g_error("No word of '%s': %s", why, disk_last_job(p->disk)->message);
}

/* Carried, then on record, then let go. */
static void test_order(void)
{
    g_autoptr(Play) p = start_ready();
    QmpPeerCommand *c;

    hold(p);
    c = qmp_peer_expect(p->peer, "transaction");
    event_wait_idle(p->domain->event);
    g_assert_false(is_on_record(p));
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-finalize"), ==, 0);
    g_assert_cmpstr(
        text_of(c), ==,
        "{\"actions\":[{\"type\":\"block-dirty-bitmap-add\",\"data\":{\"node\":\"base\","
        "\"name\":\"n\",\"persistent\":true,\"granularity\":65536,\"disabled\":false}},"
        "{\"type\":\"block-dirty-bitmap-merge\",\"data\":{\"node\":\"base\",\"target\":\"n\","
        "\"bitmaps\":[{\"node\":\"top\",\"name\":\"n\"}]}}]}");

    fake_vm_set_bitmaps(p->vm, "base", BITMAPS);
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-finalize");
    g_assert_true(is_on_record(p));
    play_dismiss(p, play_conclude(p, c, "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "transaction"), ==, 1);
}

static void test_refused(void)
{
    g_autoptr(Play) p = start_ready();

    hold(p);
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "transaction"), "GenericError",
                         "no room for it");
    check_failed(p, "no room for it");
}

/* QEMU says yes, and the base does not show it. */
static void test_not_verified(void)
{
    g_autoptr(Play) p = start_ready();

    hold(p);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "transaction"), "{}");
    check_failed(p, "'n'");
}

static void test_unreadable(void)
{
    g_autoptr(Play) p = start_ready();
    QmpPeerCommand *c = play_ask_pivot(p);

    qmp_peer_let_wait(p->peer, "query-block-exports");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    fake_vm_move(p->vm, "pending");
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "query-block-exports"), "GenericError",
                         "not now");
    fake_vm_set_export(p->vm, "none", NULL);
    check_failed(p, "not now");
}

/* What keeps the overlay keeps its bitmaps. */
static void test_abort(void)
{
    g_autoptr(Play) p = start_ready();

    play_dismiss(p, play_conclude(p, play_hold(p, play_ask_abort(p)), PLAY_CHAIN));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda kept"), ==, 1);
    g_assert_cmpuint(qmp_peer_count(p->peer, "transaction"), ==, 0);
}

/* It is somebody else who goes on, while QEMU is at it. */
static void test_concluded_meanwhile(void)
{
    g_autoptr(Play) p = start_ready();
    QmpPeerCommand *c;

    hold(p);
    c = qmp_peer_expect(p->peer, "transaction");
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    qmp_peer_reply(p->peer, c, "{}");
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(domain_count(p->domain, "job-finished"), ==, 1);
}

static void test_vm_lost_meanwhile(void)
{
    g_autoptr(Play) p = start_ready();

    hold(p);
    (void)qmp_peer_expect(p->peer, "transaction");
    qmp_peer_hang_up(p->peer);
    domain_wait(p->domain, "vm-removed");
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda lost"), ==, 1);
}

static void test_below(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_bitmaps(p->vm, "top", "[" BITMAP("other", "true") "]");
    fake_vm_set_bitmaps(p->vm, "mid", "[" BITMAP("n", "false") "]");
    play_start(p, false);
    fake_vm_move(p->vm, "pending");
    c = qmp_peer_expect(p->peer, "transaction");
    g_assert_nonnull(strstr(text_of(c), "\"disabled\":true"));
    g_assert_nonnull(strstr(text_of(c), "\"bitmaps\":[{\"node\":\"mid\",\"name\":\"n\"}]"));
    g_assert_null(strstr(text_of(c), "other"));
    fake_vm_set_bitmaps(p->vm, "base", "[" BITMAP("n", "false") "]");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "top base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* A job at the barrier that a predecessor of ours has brought there. */
static Play *take_up(const char *words, const char *base_bitmaps)
{
    Play *p = play_new(PLAY_CHAIN);
    g_autofree char *id = g_strdup_printf("vmdisk-commit-active-ro-wait-report-%s-1000-7-0-0-"
                                          "keep_2dwaiting-vda-top-base",
                                          words);

    fake_vm_set_bitmaps(p->vm, "top", BITMAPS);
    fake_vm_set_bitmaps(p->vm, "base", base_bitmaps);
    fake_vm_set_job(p->vm, id, "pending", false);
    qmp_peer_event(p->peer, "DEVICE_TRAY_MOVED", NULL);
    return p;
}

static void test_successor(void)
{
    g_autoptr(Play) p = take_up("carry", "[]");
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "transaction");

    fake_vm_set_bitmaps(p->vm, "base", BITMAPS);
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* The predecessor was killed after it had carried them. */
static void test_successor_of_carrier(void)
{
    g_autoptr(Play) p = take_up("carry", BITMAPS);

    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    g_assert_cmpuint(qmp_peer_count(p->peer, "transaction"), ==, 0);
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* What may be lost holds nothing up. */
static void test_drop(void)
{
    g_autoptr(Play) p = take_up("drop", "[]");

    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "transaction"), "GenericError", "no");
    play_dismiss(p, play_conclude(p, qmp_peer_expect(p->peer, "job-finalize"), "base"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

static Request *commit_with(Play *p, const CommitOptions *options)
{
    p->request = domain_request(p->domain);
    disk_commit(p->disk, options, 0, domain_done, p->request);
    return p->request;
}

/* A bitmap that is below the top of what is merged needs the recorder, from before the job on. */
static void test_recorder(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_bitmaps(p->vm, "mid", BITMAPS);
    (void)commit_with(p, &(CommitOptions){.active = true});
    c = qmp_peer_expect(p->peer, "block-dirty-bitmap-add");
    g_assert_cmpstr(text_of(c), ==, "{\"node\":\"base\",\"name\":\"vmdisk-recorder\"}");
    fake_vm_set_bitmaps(p->vm, "base", "[" BITMAP("vmdisk-recorder", "true") "]");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "block-commit");
    fake_vm_add_job(p->vm, c, "ready");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    domain_wait(p->domain, "job-ready");

    hold(p);
    c = qmp_peer_expect(p->peer, "transaction");
    g_assert_nonnull(strstr(text_of(c), "{\"node\":\"base\",\"name\":\"vmdisk-recorder\"}"));
    fake_vm_set_bitmaps(p->vm, "base",
                        "[" BITMAP("n", "true") ", " BITMAP("vmdisk-recorder", "true") "]");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-finalize");
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "block-dirty-bitmap-remove");
    g_assert_cmpstr(text_of(c), ==, "{\"node\":\"base\",\"name\":\"vmdisk-recorder\"}");
    qmp_peer_reply(p->peer, c, "{}");
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

static void test_recorder_of_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_bitmaps(p->vm, "mid", BITMAPS);
    (void)commit_with(p, &(CommitOptions){.active = true});
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "block-dirty-bitmap-add"), "{}");
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "block-commit"), "GenericError", "no");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    qmp_peer_reply(p->peer, qmp_peer_expect(p->peer, "block-dirty-bitmap-remove"), "{}");
    event_wait_idle(p->domain->event);
}

/* There is room for one command and not for two: it is not made for a job that cannot be asked for.
 */
static void test_recorder_without_room(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *question;

    fake_vm_set_bitmaps(p->vm, "mid", BITMAPS);
    qmp_peer_let_wait(p->peer, "query-block-exports");
    p->request = domain_commit(p->domain, p->disk, true);
    question = qmp_peer_expect(p->peer, "query-block-exports");
    event_wait_idle(p->domain->event);
    while (qmp_call(vm_qmp(disk_vm(p->disk)), "stop", NULL, 0, NULL, NULL) >= 0)
        continue;
    fake_vm_answer(p->vm, question);
    domain_check_answer(p->domain, p->request, REFUSAL_LIMIT_EXCEEDED);
    event_wait_idle(p->domain->event);
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-dirty-bitmap-add"), ==, 0);
    g_assert_null(disk_job(p->disk));
}

/* It was not made, or somebody has taken it away: what it was for cannot be carried. */
static void test_recorder_missing(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_bitmaps(p->vm, "mid", BITMAPS);
    (void)commit_with(p, &(CommitOptions){.active = true});
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "block-dirty-bitmap-add"),
                         "GenericError", "no");
    QmpPeerCommand *c = qmp_peer_expect(p->peer, "block-commit");
    fake_vm_add_job(p->vm, c, "ready");
    qmp_peer_reply(p->peer, c, "{}");
    domain_wait(p->domain, "job-ready");
    hold(p);
    c = qmp_peer_expect(p->peer, "job-cancel");
    g_assert_cmpuint(qmp_peer_count(p->peer, "transaction"), ==, 0);
}

/* With an export there is no barrier: it is done before QEMU is told to complete. */
static void test_exported(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    QmpPeerCommand *c;

    fake_vm_set_export(p->vm, "e0", "top");
    fake_vm_set_bitmaps(p->vm, "top", BITMAPS);
    play_start_ready(p);
    p->request = domain_pivot(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "transaction");
    event_wait_idle(p->domain->event);
    g_assert_false(is_on_record(p));
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 0);

    fake_vm_set_bitmaps(p->vm, "base", BITMAPS);
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-complete");
    g_assert_true(is_on_record(p));
    fake_vm_set_disk(p->vm, "vda", "base");
    fake_vm_set_export(p->vm, "e0", "base");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    play_dismiss(p, qmp_peer_expect(p->peer, "job-dismiss"));
    g_assert_cmpuint(domain_count(p->domain, "job-finished vda completed"), ==, 1);
}

/* Nothing was sent that could end the job: it stays ready. */
static void test_exported_refused(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_export(p->vm, "e0", "top");
    fake_vm_set_bitmaps(p->vm, "top", BITMAPS);
    play_start_ready(p);
    p->request = domain_pivot(p->domain, p->disk);
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "transaction"), "GenericError", "no");
    domain_check_answer(p->domain, p->request, REFUSAL_NOT_SUPPORTED);
    g_assert_cmpint(disk_job_state(p->disk), ==, JOB_STATE_READY);
    g_assert_false(is_on_record(p));
    g_assert_cmpuint(qmp_peer_count(p->peer, "job-complete"), ==, 0);
    qmp_peer_reply(p->peer, play_ask_abort(p), "{}");
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
}

/* The VM goes while a Pivot waits for QEMU to carry them: the caller is told. */
static void test_exported_lost(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);

    fake_vm_set_export(p->vm, "e0", "top");
    fake_vm_set_bitmaps(p->vm, "top", BITMAPS);
    play_start_ready(p);
    p->request = domain_pivot(p->domain, p->disk);
    (void)qmp_peer_expect(p->peer, "transaction");
    qmp_peer_hang_up(p->peer);
    domain_check_answer(p->domain, p->request, REFUSAL_DISCONNECTED);
}

/* An export came up: the job is started again, and then there is no barrier either. */
static void test_restarted(void)
{
    g_autoptr(Play) p = start_ready();
    QmpPeerCommand *c;

    fake_vm_set_export(p->vm, "e0", "top");
    p->request = domain_pivot(p->domain, p->disk);
    c = qmp_peer_expect(p->peer, "job-cancel");
    fake_vm_set_error(p->vm, "Operation canceled");
    fake_vm_move(p->vm, "concluded");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "job-dismiss");
    fake_vm_move(p->vm, NULL);
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "block-commit");
    fake_vm_add_job(p->vm, c, "ready");
    qmp_peer_reply(p->peer, c, "{}");
    c = qmp_peer_expect(p->peer, "transaction");
    fake_vm_set_bitmaps(p->vm, "base", BITMAPS);
    qmp_peer_reply(p->peer, c, "{}");
    (void)qmp_peer_expect(p->peer, "job-complete");
}

static void test_plan(void)
{
    g_autoptr(Play) p = play_new(PLAY_CHAIN);
    Request *r;

    fake_vm_set_bitmaps(p->vm, "top", BITMAPS);
    fake_vm_set_bitmaps(p->vm, "base",
                        "[{'name': 'n', 'persistent': true, 'recording': false, 'busy': false, "
                        "'inconsistent': true, 'granularity': 65536, 'count': 0}]");
    r = commit_with(p, &(CommitOptions){.active = true});
    domain_check_answer(p->domain, r, REFUSAL_NOT_SUPPORTED);
    g_assert_nonnull(strstr(r->text, "drop-bitmaps"));
    /* Nothing is lost below the image, or where it stays. */
    (void)commit_with(p, &(CommitOptions){.active = true, .on_ready = JOB_ON_READY_KEEP});
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "block-commit"), "GenericError", "no");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    (void)commit_with(p, &(CommitOptions){.active = false});
    qmp_peer_reply_error(p->peer, qmp_peer_expect(p->peer, "block-commit"), "GenericError", "no");
    domain_check_answer(p->domain, p->request, REFUSAL_QMP);
    (void)commit_with(p, &(CommitOptions){.active = true, .drop_bitmaps = true});
    (void)qmp_peer_expect(p->peer, "block-commit");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/commit-bitmaps/order", test_order);
    g_test_add_func("/commit-bitmaps/refused", test_refused);
    g_test_add_func("/commit-bitmaps/not-verified", test_not_verified);
    g_test_add_func("/commit-bitmaps/unreadable", test_unreadable);
    g_test_add_func("/commit-bitmaps/abort-carries-nothing", test_abort);
    g_test_add_func("/commit-bitmaps/concluded-meanwhile", test_concluded_meanwhile);
    g_test_add_func("/commit-bitmaps/vm-lost-meanwhile", test_vm_lost_meanwhile);
    g_test_add_func("/commit-bitmaps/below", test_below);
    g_test_add_func("/commit-bitmaps/successor", test_successor);
    g_test_add_func("/commit-bitmaps/successor-of-one-that-carried", test_successor_of_carrier);
    g_test_add_func("/commit-bitmaps/drop", test_drop);
    g_test_add_func("/commit-bitmaps/recorder", test_recorder);
    g_test_add_func("/commit-bitmaps/recorder-of-refused-commit", test_recorder_of_refused);
    g_test_add_func("/commit-bitmaps/recorder-without-room", test_recorder_without_room);
    g_test_add_func("/commit-bitmaps/recorder-missing", test_recorder_missing);
    g_test_add_func("/commit-bitmaps/exported", test_exported);
    g_test_add_func("/commit-bitmaps/exported-refused", test_exported_refused);
    g_test_add_func("/commit-bitmaps/exported-vm-lost", test_exported_lost);
    g_test_add_func("/commit-bitmaps/restarted-for-export", test_restarted);
    g_test_add_func("/commit-bitmaps/plan", test_plan);
    return g_test_run();
}
