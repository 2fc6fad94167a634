/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Disks of one VM that are committed together, on a real QEMU, under a guest that writes the same
 * counter to all of them in lock step: whatever happens, the bases that the guest goes on with, or
 * that are kept, hold one and the same instant of it.
 */
#include <string.h>

#include "crew.h"
#include "properties.h"

#define INVALID_ARGS "org.freedesktop.DBus.Error.InvalidArgs"

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

static void test_one_fails(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 3, .oddity = ODDITY_FULL});
    const unsigned from = crew_commit(c);
    const char *const results[] = {"kept", "kept", "failed"};

    crew_check_finished(c, from, results);
    crew_check_nothing_lost(c, c->top, 3);
}

/* At the barrier of one disk the other one is ended by somebody else. */
static void test_one_is_cancelled_when_ready(void)
{
    g_autoptr(Crew) c = crew_new(&(CrewOptions){.disks = 2, .oddity = ODDITY_NONE});
    const unsigned from = crew_commit_until_ready(c);
    g_autofree char *id = property_string(c->recorder, c->disk[1], JOB_INTERFACE, "Id");
    const char *const results[] = {"kept", "cancelled"};

    qmp_client_do(qemu_monitor(c->vm), "job-cancel", "{'id': '%s'}", id);
    crew_check_finished(c, from, results);
    crew_check_nothing_lost(c, c->top, 2);
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
    g_test_add_func("/group/one-fails", test_one_fails);
    g_test_add_func("/group/one-is-cancelled-when-ready", test_one_is_cancelled_when_ready);
    g_test_add_data_func("/group/disk-without-backing-is-left-out", GUINT_TO_POINTER(ODDITY_ALONE),
                         test_left_out);
    g_test_add_data_func("/group/read-only-disk-is-left-out", GUINT_TO_POINTER(ODDITY_READ_ONLY),
                         test_left_out);
    g_test_add_func("/group/named-disks", test_named_disks);
    g_test_add_func("/group/refusals", test_refusals);
    return g_test_run();
}
