/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The end of a group that was chosen in advance: nobody asks for it when all are ready, so that it
 * must come about without anybody.
 */
#include <glib.h>
#include <stdbool.h>

#include "event-wait.h"
#include "troupe.h"

static void start(Troupe *t, JobOnReady choice)
{
    troupe_start(t, &(CommitOptions){.active = true, .on_ready = choice});
}

static const char *command_of(JobOnReady choice)
{
    return choice == JOB_ON_READY_PIVOT ? "job-complete" : "block-job-cancel";
}

/* QEMU has accepted the command for all. */
static void finish(Troupe *t, JobOnReady choice)
{
    troupe_accept_all(t);
    troupe_hold_all(t);
    if (choice == JOB_ON_READY_PIVOT)
        troupe_complete_all(t);
    else
        troupe_keep_all(t);
    troupe_check_ends(t, choice == JOB_ON_READY_PIVOT ? "vda=completed vdb=completed"
                                                      : "vda=kept vdb=kept");
}

static void test_accepted(gconstpointer data)
{
    g_autoptr(Troupe) t = troupe_new(2);
    const JobOnReady choice = GPOINTER_TO_UINT(data);

    start(t, choice);
    troupe_move(t, 0, "ready");
    g_assert_cmpuint(qmp_peer_count(t->peer, command_of(choice)), ==, 0);
    troupe_move(t, 1, "ready");
    troupe_expect(t, command_of(choice));
    finish(t, choice);
}

/* QEMU refuses all of it once. */
static void test_refused(gconstpointer data)
{
    g_autoptr(Troupe) t = troupe_new(2);
    const JobOnReady choice = GPOINTER_TO_UINT(data);

    start(t, choice);
    troupe_move(t, 0, "ready");
    troupe_move(t, 1, "ready");
    troupe_expect(t, command_of(choice));
    for (unsigned i = 0; i < t->n; i++)
        qmp_peer_reply_error(t->peer, t->command[i], "GenericError", "no");
    troupe_expect(t, command_of(choice));
    finish(t, choice);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_data_func("/group-choice/pivot", GUINT_TO_POINTER(JOB_ON_READY_PIVOT),
                         test_accepted);
    g_test_add_data_func("/group-choice/keep", GUINT_TO_POINTER(JOB_ON_READY_KEEP), test_accepted);
    g_test_add_data_func("/group-choice/pivot-refused", GUINT_TO_POINTER(JOB_ON_READY_PIVOT),
                         test_refused);
    g_test_add_data_func("/group-choice/keep-refused", GUINT_TO_POINTER(JOB_ON_READY_KEEP),
                         test_refused);
    return g_test_run();
}
