/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of one VM that are committed together, on a real QEMU, under a guest that writes the same
 * counter to all of them in lock step: whatever happens, the bases that the guest goes on with, or
 * that are kept, hold one and the same instant of it.
 */
#include <assert.h>
#include <glib/gstdio.h>
#include <string.h>

#include "bus-options.h"
#include "crew.h"
#include "properties.h"

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

#define FOUR(...) __VA_ARGS__, __VA_ARGS__, __VA_ARGS__, __VA_ARGS__
/* BUS_OPTION_ARRAY_MAX times. */
#define MANY(s) FOUR(FOUR(FOUR(FOUR(s))))
static_assert(BUS_OPTION_ARRAY_MAX == 4 * 4 * 4 * 4, "MANY() is as many as there may be");

static void test_pivot(gconstpointer disks)
{
    g_autoptr(Crew) c =
        crew_new(&(CrewOptions){.disks = GPOINTER_TO_UINT(disks), .oddity = ODDITY_NONE});
    const unsigned from = crew_commit_until_ready(c);

    guest_wait_more(c->guest, 0, 10);
    crew_call(c, "Pivot");
    crew_check_all_finished(c, from, "completed");
    for (unsigned i = 0; i < c->disks; i++)
        g_assert_cmpuint(property_u32(c->recorder, c->disk[i], DISK_INTERFACE, "ChainDepth"), ==,
                         1);
    /* What the overlays were left with is the instant of the handover. */
    crew_check_one_instant(c, c->top);
    crew_check_nothing_lost(c, c->base, c->disks);
}

/* Each round is an instant of its own. */
static void test_keep(gconstpointer disks)
{
    g_autoptr(Crew) c =
        crew_new(&(CrewOptions){.disks = GPOINTER_TO_UINT(disks), .oddity = ODDITY_NONE});

    for (unsigned round = 0; round < 5; round++) {
        const unsigned from = crew_commit_until_ready(c);

        guest_wait_more(c->guest, 0, 10);
        crew_call(c, "Abort");
        crew_check_all_finished(c, from, "kept");
        crew_check_one_instant(c, c->base);
    }
    crew_check_nothing_lost(c, c->top, c->disks);
}

static void test_abort_running(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .oddity = ODDITY_SLOW});
    const unsigned from = crew_commit(c);
    const char *const results[] = {"kept", "cancelled"};

    recorder_wait(c->recorder, from, (Sought){.path = c->disk[0], .member = "JobReady"});
    property_check_string(c->recorder, c->path, VM_INTERFACE, "JobsState", "running");
    recorder_refused(c->recorder, SERVICE_ERROR("NotReady"), c->path, VM_INTERFACE, "Pivot", NULL);
    crew_call(c, "Abort");
    crew_check_finished(c, from, results);
    crew_check_nothing_lost(c, c->top, 2);
}

/* The ends of the one are the ends of all. */
static void test_member_is_not_ended_alone(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .oddity = ODDITY_NONE});
    const unsigned from = crew_commit_until_ready(c);
    const char *text = recorder_refused(c->recorder, SERVICE_ERROR("NotSupported"), c->disk[0],
                                        DISK_INTERFACE, "Pivot", NULL);

    g_assert_nonnull(strstr(text, "together"));
    recorder_refused(c->recorder, SERVICE_ERROR("NotSupported"), c->disk[1], DISK_INTERFACE,
                     "Abort", NULL);
    recorder_refused(c->recorder, SERVICE_ERROR("JobExists"), c->path, VM_INTERFACE, "Commit", "b",
                     1);
    crew_call(c, "Pivot");
    crew_check_all_finished(c, from, "completed");
    recorder_refused(c->recorder, SERVICE_ERROR("NoJob"), c->path, VM_INTERFACE, "Pivot", NULL);
    recorder_refused(c->recorder, SERVICE_ERROR("NoJob"), c->path, VM_INTERFACE, "Abort", NULL);
}

/* The last disk has ended so, the others are kept, and the guest is on all of its overlays. */
static void check_on_overlays(Crew *c, unsigned from, const char *last)
{
    const char *results[CREW_DISKS_MAX];

    for (unsigned i = 0; i < c->disks; i++)
        results[i] = i == c->disks - 1 ? last : "kept";
    crew_check_finished(c, from, results);
    for (unsigned i = 0; i < c->disks; i++)
        g_assert_cmpuint(property_u32(c->recorder, c->disk[i], DISK_INTERFACE, "ChainDepth"), ==,
                         2);
    crew_check_nothing_lost(c, c->top, c->disks);
}

static void test_one_fails(gconstpointer disks)
{
    g_autoptr(Crew) c =
        crew_new(&(CrewOptions){.disks = GPOINTER_TO_UINT(disks), .oddity = ODDITY_FULL});
    const unsigned from = crew_commit(c);

    check_on_overlays(c, from, "failed");
}

static char *last_job(Crew *c)
{
    return property_string(c->recorder, c->disk[c->disks - 1], JOB_INTERFACE, "Id");
}

/* Through another monitor, as the rest of this kind. */
static void test_one_is_cancelled_while_running(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .oddity = ODDITY_SLOW});
    const unsigned from = crew_commit(c);
    g_autofree char *id = NULL;

    recorder_wait(c->recorder, from, (Sought){.path = c->disk[0], .member = "JobReady"});
    id = last_job(c);
    qmp_client_do(qemu_monitor(c->vm), "job-cancel", "{'id': '%s'}", id);
    check_on_overlays(c, from, "cancelled");
}

/* QEMU holds the job at the barrier, to whatever end it was sent there. */
static void test_one_is_ended_when_ready(gconstpointer command)
{
    const bool at_once = strcmp(command, "job-cancel") == 0;
    const char *key = strcmp(command, "block-job-cancel") == 0 ? "device" : "id";
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 8, .oddity = ODDITY_NONE});
    const unsigned from = crew_commit_until_ready(c);
    g_autofree char *id = last_job(c);

    qmp_client_do(qemu_monitor(c->vm), command, "{'%s': '%s'}", key, id);
    check_on_overlays(c, from, at_once ? "cancelled" : "kept");
}

/* All are held, and that cannot be put on record, of which a part is written before: none is handed
 * over. */
static void test_record_cannot_be_written(gconstpointer disks)
{
    g_autoptr(Crew) c =
        crew_new(&(CrewOptions){.disks = GPOINTER_TO_UINT(disks), .oddity = ODDITY_NONE});
    g_autofree char *in_the_way = g_strdup_printf("%s/together", daemon_state(c->rig->daemon));
    const unsigned from = crew_commit_until_ready(c);

    g_assert_cmpint(g_mkdir(in_the_way, 0700), ==, 0);
    crew_call(c, "Pivot");
    check_on_overlays(c, from, "kept");
    crew_check_one_instant(c, c->base);
}

static void test_left_out(gconstpointer oddity)
{
    const bool alone = GPOINTER_TO_UINT(oddity) == ODDITY_ALONE;
    g_autoptr(Crew) c =
        crew_new(&(CrewOptions){.disks = 3, .oddity = (Oddity)GPOINTER_TO_UINT(oddity)});
    const unsigned from = crew_commit_until_ready(c);
    const char *const results[] = {"completed", "completed", ""};
    char *const files[] = {c->base[0], c->base[1], c->top[2]};

    crew_call(c, "Pivot");
    crew_check_finished(c, from, results);
    crew_check_nothing_lost(c, files, alone ? 3 : 2);
}

static void test_named_disks(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 3, .oddity = ODDITY_NONE});
    const unsigned from = recorder_mark(c->recorder);
    const char *const results[] = {"completed", "", "completed"};
    char *const files[] = {c->base[0], c->top[1], c->base[2]};

    recorder_call(c->recorder, c->path, VM_INTERFACE, "CommitWith", "a{sv}", 3, "active", "b", 1,
                  "disks", "as", 2, "vda", "vdc", "on-ready", "s", "pivot");
    crew_check_finished(c, from, results);
    crew_check_nothing_lost(c, files, 3);
}

static void test_refusals(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 3, .oddity = ODDITY_ALONE});
    unsigned from;

#define refused(error, ...)                                                                        \
    recorder_refused(c->recorder, error, c->path, VM_INTERFACE, "CommitWith", "a{sv}", __VA_ARGS__)
    refused(SERVICE_ERROR("NothingToCommit"), 1, "active", "b", 0);
    refused(SERVICE_ERROR("NothingToCommit"), 2, "active", "b", 1, "disks", "as", 2, "vda", "vdc");
    refused(SERVICE_ERROR("NoSuchDisk"), 2, "active", "b", 1, "disks", "as", 2, "vda", "vdz");
    refused(INVALID_ARGS, 2, "active", "b", 1, "disks", "as", 2, "vda", "vda");
    refused(INVALID_ARGS, 2, "active", "b", 1, "disks", "as", 0);
    refused(INVALID_ARGS, 1, "disks", "s", "vda");
    /* As many as there may be, and one more. */
    refused(SERVICE_ERROR("NoSuchDisk"), 2, "active", "b", 1, "disks", "as", BUS_OPTION_ARRAY_MAX,
            MANY("vdz"));
    g_assert_nonnull(strstr(refused(INVALID_ARGS, 2, "active", "b", 1, "disks", "as",
                                    BUS_OPTION_ARRAY_MAX + 1, MANY("vdz"), "vdz"),
                            "1 to 256 strings"));
    refused(INVALID_ARGS, 2, "active", "b", 1, "on-deadline", "s", "cancel");
    /* Each names the VM; what is about one disk is sent there, and not known here. */
    g_assert_nonnull(strstr(refused(INVALID_ARGS, 1, "top", "s", "1"), "VM 'web1': "));
    g_assert_nonnull(strstr(refused(INVALID_ARGS, 1, "base", "s", "1"), "one by one"));
    g_assert_nonnull(strstr(refused(INVALID_ARGS, 1, "backing-file", "s", "x"), "one by one"));
    g_assert_null(strstr(refused(INVALID_ARGS, 1, "tops", "s", "1"), "'top',"));
    recorder_refused(c->recorder, SERVICE_ERROR("NoJob"), c->path, VM_INTERFACE, "Pivot", NULL);
    g_assert_cmpuint(qemu_count_jobs(c->vm), ==, 0);

    /* One disk has a job of its own. */
    from = recorder_mark(c->recorder);
    recorder_call(c->recorder, c->disk[1], DISK_INTERFACE, "Commit", "b", 1);
    recorder_wait(c->recorder, from, (Sought){.path = c->disk[1], .member = "JobReady"});
    refused(SERVICE_ERROR("JobExists"), 1, "active", "b", 1);
    g_assert_cmpuint(qemu_count_jobs(c->vm), ==, 1);
    recorder_call(c->recorder, c->disk[1], DISK_INTERFACE, "Abort", NULL);
    recorder_wait(c->recorder, from, (Sought){.path = c->disk[1], .member = "JobFinished"});
#undef refused
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/group/two-disks-pivot", GUINT_TO_POINTER(2), test_pivot);
    g_test_add_data_func("/group/eight-disks-pivot", GUINT_TO_POINTER(8), test_pivot);
    g_test_add_data_func("/group/two-disks-keep", GUINT_TO_POINTER(2), test_keep);
    g_test_add_data_func("/group/eight-disks-keep", GUINT_TO_POINTER(8), test_keep);
    g_test_add_func("/group/abort-mixed", test_abort_running);
    g_test_add_func("/group/member-is-not-ended-alone", test_member_is_not_ended_alone);
    g_test_add_data_func("/group/one-of-two-fails", GUINT_TO_POINTER(2), test_one_fails);
    g_test_add_data_func("/group/one-of-eight-fails", GUINT_TO_POINTER(8), test_one_fails);
    g_test_add_func("/group/one-is-cancelled-while-running", test_one_is_cancelled_while_running);
    g_test_add_data_func("/group/one-is-cancelled-when-ready", "job-cancel",
                         test_one_is_ended_when_ready);
    g_test_add_data_func("/group/one-is-ended-softly-by-others", "block-job-cancel",
                         test_one_is_ended_when_ready);
    g_test_add_data_func("/group/one-is-completed-by-others", "job-complete",
                         test_one_is_ended_when_ready);
    g_test_add_data_func("/group/two-disks-record-cannot-be-written", GUINT_TO_POINTER(2),
                         test_record_cannot_be_written);
    g_test_add_data_func("/group/eight-disks-record-cannot-be-written", GUINT_TO_POINTER(8),
                         test_record_cannot_be_written);
    g_test_add_data_func("/group/disk-without-backing-is-left-out", GUINT_TO_POINTER(ODDITY_ALONE),
                         test_left_out);
    g_test_add_data_func("/group/read-only-disk-is-left-out", GUINT_TO_POINTER(ODDITY_READ_ONLY),
                         test_left_out);
    g_test_add_func("/group/named-disks", test_named_disks);
    g_test_add_func("/group/refusals", test_refusals);
    return g_test_run();
}
