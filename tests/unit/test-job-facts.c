/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a job's end is called, for each combination of the facts; and the words of the job's enums.
 */
#include <errno.h>
#include <glib.h>
#include <stdbool.h>

#include "job.h"

static const char *const errors[] = {NULL, "Operation canceled", "No space left on device"};
static const char *const graphs[] = {
    [JOB_GRAPH_UNCHANGED] = "unchanged",
    [JOB_GRAPH_MERGED] = "merged",
    [JOB_GRAPH_UNKNOWN] = "unknown",
};

typedef struct Verdict {
    JobGraph graph;
    /* One for each of errors[]: no error, cancelled, failed. */
    const char *active[3], *active_gone[3];
    const char *below[3], *below_gone[3];
} Verdict;

/* The graph decides. Where it says nothing new, QEMU's error does; where QEMU has forgotten the job
 * as well, the least that may be true is claimed. */
static const Verdict verdicts[] = {
    {
        .graph = JOB_GRAPH_MERGED,
        .active = {"completed", "completed", "completed"},
        .active_gone = {"completed", "completed", "completed"},
        .below = {"completed", "completed", "completed"},
        .below_gone = {"completed", "completed", "completed"},
    },
    {
        .graph = JOB_GRAPH_UNCHANGED,
        .active = {"kept", "cancelled", "failed"},
        .active_gone = {"cancelled", "cancelled", "failed"},
        .below = {"failed", "cancelled", "failed"},
        .below_gone = {"cancelled", "cancelled", "failed"},
    },
    {
        .graph = JOB_GRAPH_UNKNOWN,
        /* The only case in which the request counts: after a Pivot it is "completed". */
        .active = {"kept", "cancelled", "failed"},
        .active_gone = {"lost", "cancelled", "failed"},
        .below = {"lost", "cancelled", "failed"},
        .below_gone = {"lost", "cancelled", "failed"},
    },
};

static void check_verdict(bool active, bool gone, JobGraph graph, JobIntent intent,
                          const char *const *results)
{
    const JobMachine m = {.phase = JOB_SETTLING, .intent = intent};
    bool request_counts = active && !gone && graph == JOB_GRAPH_UNKNOWN;

    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        JobResult result = job_judge(&m, active, errors[i], gone, graph);
        const char *expected = results[i];

        if (request_counts && intent == JOB_INTENT_PIVOT && !errors[i])
            expected = "completed";
        g_test_message("%s, %s, intent %d, graph %s, error %s", active ? "active" : "below",
                       gone ? "gone" : "concluded", intent, graphs[graph],
                       errors[i] ? errors[i] : "none");
        g_assert_cmpstr(job_result_to_string(result), ==, expected);
    }
}

static void test_judge(void)
{
    g_assert_cmpuint(G_N_ELEMENTS(verdicts), ==, JOB_GRAPH_MAX_);
    for (size_t i = 0; i < G_N_ELEMENTS(verdicts); i++)
        for (JobIntent intent = JOB_INTENT_NONE; intent <= JOB_INTENT_ABORT; intent++) {
            const Verdict *v = &verdicts[i];

            check_verdict(true, false, v->graph, intent, v->active);
            check_verdict(true, true, v->graph, intent, v->active_gone);
            check_verdict(false, false, v->graph, intent, v->below);
            check_verdict(false, true, v->graph, intent, v->below_gone);
        }
}

/* At the barrier a copy is whole, whoever has taken the job away since. Below the active layer
 * nothing is kept. */
static void test_judge_gone_from_barrier(void)
{
    const JobMachine m = {.phase = JOB_SETTLING, .held = true};

    g_assert_cmpint(job_judge(&m, true, NULL, true, JOB_GRAPH_UNCHANGED), ==, JOB_RESULT_KEPT);
    g_assert_cmpint(job_judge(&m, false, NULL, true, JOB_GRAPH_UNCHANGED), ==,
                    JOB_RESULT_CANCELLED);
    g_assert_cmpint(job_judge(&m, true, NULL, true, JOB_GRAPH_MERGED), ==, JOB_RESULT_COMPLETED);
    g_assert_cmpint(job_judge(&m, true, NULL, true, JOB_GRAPH_UNKNOWN), ==, JOB_RESULT_LOST);
}

typedef const char *(*WordFunc)(int value);

static void check_words(WordFunc word, int n)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (int i = 0; i < n; i++) {
        const char *text = word(i);

        g_assert_nonnull(text);
        g_assert_cmpstr(text, !=, "");
        for (const char *c = text; *c; c++)
            g_assert_true(g_ascii_islower(*c) || *c == '-');
        g_assert_true(g_hash_table_add(seen, (char *)text));
    }
}

static const char *phase_word(int value)
{
    return job_phase_to_string((JobPhase)value);
}

static const char *event_word(int value)
{
    return job_event_to_string((JobEvent)value);
}

static const char *state_word(int value)
{
    return job_state_to_string((JobState)value);
}

static const char *result_word(int value)
{
    return job_result_to_string((JobResult)value);
}

static const char *on_ready_word(int value)
{
    return job_on_ready_to_string((JobOnReady)value);
}

static void test_words_differ(void)
{
    check_words(phase_word, JOB_PHASE_MAX_);
    check_words(event_word, JOB_EVENT_MAX_);
    check_words(state_word, JOB_STATE_MAX_);
    check_words(result_word, JOB_RESULT_MAX_);
    check_words(on_ready_word, JOB_ON_READY_MAX_);
}

/* These are on the wire: callers compare them. */
static void test_words_of_the_interface(void)
{
    static const char *const states[] = {"none",  "running",  "paused",
                                         "ready", "pivoting", "aborting"};
    static const char *const results[] = {"completed", "kept", "cancelled", "failed", "lost"};

    g_assert_cmpuint(G_N_ELEMENTS(states), ==, JOB_STATE_MAX_);
    for (int i = 0; i < JOB_STATE_MAX_; i++)
        g_assert_cmpstr(state_word(i), ==, states[i]);
    g_assert_cmpuint(G_N_ELEMENTS(results), ==, JOB_RESULT_MAX_);
    for (int i = 0; i < JOB_RESULT_MAX_; i++)
        g_assert_cmpstr(result_word(i), ==, results[i]);
}

static void test_on_ready_round_trip(void)
{
    static const char *const strangers[] = {"", "Wait", "wait ", "waits", "wai", "none", "abort"};

    for (int i = 0; i < JOB_ON_READY_MAX_; i++) {
        JobOnReady back = JOB_ON_READY_MAX_;

        g_assert_cmpint(job_on_ready_from_string(on_ready_word(i), &back), ==, 0);
        g_assert_cmpint((int)back, ==, i);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(strangers); i++) {
        JobOnReady back = JOB_ON_READY_MAX_;

        g_assert_cmpint(job_on_ready_from_string(strangers[i], &back), ==, -EINVAL);
        g_assert_cmpint(back, ==, JOB_ON_READY_MAX_);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/job/judge", test_judge);
    g_test_add_func("/job/judge-gone-from-barrier", test_judge_gone_from_barrier);
    g_test_add_func("/job/words-differ", test_words_differ);
    g_test_add_func("/job/words-of-the-interface", test_words_of_the_interface);
    g_test_add_func("/job/on-ready-round-trip", test_on_ready_round_trip);
    return g_test_run();
}
