/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The job's state machine: every state that can be reached, by every event, and the paths that
 * people care for, step by step.
 */
#include <glib.h>
#include <stdbool.h>

#include "job.h"

/* What means something in a phase, written down a second time: a list of events. */
static const char *const meaningful[JOB_PHASE_MAX_] = {
    [JOB_STARTING] = "started lost",
    [JOB_RUNNING] = "ready abort forced pending concluded gone lost",
    [JOB_READY] = "pivot abort forced pending concluded gone lost",
    [JOB_ENDING] = "restart forced pending concluded gone lost",
    [JOB_HELD] = "pivot abort restart barrier-done barrier-refused concluded gone lost",
    [JOB_RELEASED] = "pivot abort concluded gone lost",
    [JOB_SETTLING] = "settled lost",
    [JOB_FINISHED] = "",
};

static bool means_something(JobPhase phase, JobEvent event)
{
    g_auto(GStrv) events = g_strsplit(meaningful[phase], " ", -1);

    return g_strv_contains((const char *const *)events, job_event_to_string(event));
}

/* A machine, and what has happened to it on the way: all that the promises are about. */
typedef struct Walker {
    JobMachine machine;
    unsigned n_started, n_ready, n_released, n_finished;
    bool lost_at_start;
} Walker;

static unsigned walker_key(const Walker *w)
{
    unsigned key = w->machine.phase;

    key = key * 3 + w->machine.intent;
    key = key * 2 + w->machine.paused;
    key = key * 2 + w->machine.announced;
    key = key * 3 + w->n_started;
    key = key * 3 + w->n_ready;
    key = key * 3 + w->n_released;
    key = key * 3 + w->n_finished;
    return key * 2 + w->lost_at_start + 1; /* no key is NULL */
}

typedef void (*VisitFunc)(const Walker *before, JobEvent event, const Walker *after,
                          unsigned effects);

/* Two of anything is one too many already: counting further would never end. */
static void count(unsigned *n, unsigned effects, unsigned which)
{
    if (effects & which)
        *n = MIN(*n + 1, 2);
}

static unsigned walker_step(Walker *w, JobEvent event)
{
    JobPhase before = w->machine.phase;
    unsigned effects = job_handle(&w->machine, event);

    count(&w->n_started, effects, JOB_EFFECT_ANNOUNCE_START);
    count(&w->n_ready, effects, JOB_EFFECT_ANNOUNCE_READY);
    count(&w->n_released, effects, JOB_EFFECT_FINALIZE | JOB_EFFECT_GIVE_UP);
    count(&w->n_finished, effects, JOB_EFFECT_FINISH);
    if (before == JOB_STARTING && event == JOB_EVENT_LOST)
        w->lost_at_start = true;
    return effects;
}

/* Breadth first over all that can happen, until nothing is new. Returns the phases met, as bits. */
static unsigned walk(VisitFunc visit)
{
    unsigned phases = 1U << JOB_STARTING;
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) todo = g_array_new(FALSE, FALSE, sizeof(Walker));

    for (unsigned paused = 0; paused < 2; paused++) {
        Walker start = {.machine = {.phase = JOB_STARTING, .paused = paused}};

        g_array_append_val(todo, start);
        g_hash_table_add(seen, GUINT_TO_POINTER(walker_key(&start)));
    }

    for (guint i = 0; i < todo->len; i++)
        for (JobEvent event = 0; event < JOB_EVENT_MAX_; event++) {
            Walker before = g_array_index(todo, Walker, i), after = before;
            unsigned effects = walker_step(&after, event);

            visit(&before, event, &after, effects);
            phases |= 1U << after.machine.phase;
            if (g_hash_table_add(seen, GUINT_TO_POINTER(walker_key(&after))))
                g_array_append_val(todo, after);
        }
    return phases;
}

static bool machine_equal(const JobMachine *a, const JobMachine *b)
{
    return a->phase == b->phase && a->intent == b->intent && a->paused == b->paused &&
           a->announced == b->announced;
}

static void check_meaning(const Walker *before, JobEvent event, const Walker *after,
                          unsigned effects)
{
    JobPhase phase = before->machine.phase;
    bool moved = !machine_equal(&before->machine, &after->machine) || effects;

    if (!means_something(phase, event) && moved)
        g_error("'%s' did something in phase '%s'", job_event_to_string(event),
                job_phase_to_string(phase));
    /* A job that is restarted, or told once more to end, is on its way to the end, as it was. */
    bool repeats = event == JOB_EVENT_RESTART || event == JOB_EVENT_FORCED ||
                   (phase >= JOB_HELD && (event == JOB_EVENT_PIVOT || event == JOB_EVENT_ABORT));
    if (means_something(phase, event) && !repeats && !moved)
        g_error("'%s' did nothing in phase '%s'", job_event_to_string(event),
                job_phase_to_string(phase));
}

static void test_meaning(void)
{
    g_assert_cmphex(walk(check_meaning), ==, (1U << JOB_PHASE_MAX_) - 1);
}

static void check_finished(const Walker *before, JobEvent event, const Walker *after,
                           unsigned effects)
{
    if (before->machine.phase != JOB_FINISHED)
        return;
    g_assert_cmphex(effects, ==, JOB_EFFECT_NONE);
    g_assert_true(machine_equal(&before->machine, &after->machine));
}

static void test_finished_is_terminal(void)
{
    walk(check_finished);
}

static void check_lost(const Walker *before, JobEvent event, const Walker *after, unsigned effects)
{
    if (event == JOB_EVENT_LOST)
        g_assert_cmpint(after->machine.phase, ==, JOB_FINISHED);
}

static void test_lost_ends_every_phase(void)
{
    walk(check_lost);
}

static void check_announcements(const Walker *before, JobEvent event, const Walker *after,
                                unsigned effects)
{
    JobPhase phase = after->machine.phase;

    g_assert_cmpuint(after->n_started, <=, 1);
    g_assert_cmpuint(after->n_ready, <=, 1);
    g_assert_cmpuint(after->n_finished, <=, 1);
    g_assert_cmpint(after->n_ready, ==, after->machine.announced);
    /* Nothing is told of a job that nobody has heard of. */
    if (after->n_ready + after->n_finished > 0)
        g_assert_cmpuint(after->n_started, ==, 1);
    if (phase != JOB_FINISHED)
        g_assert_cmpuint(after->n_finished, ==, 0);
    else
        g_assert_cmpuint(after->n_finished, ==, after->lost_at_start ? 0 : 1);
}

static void test_announced_once(void)
{
    walk(check_announcements);
}

static void check_release(const Walker *before, JobEvent event, const Walker *after,
                          unsigned effects)
{
    bool finalize = effects & JOB_EFFECT_FINALIZE, give_up = effects & JOB_EFFECT_GIVE_UP;

    g_assert_cmpint(finalize, ==,
                    event == JOB_EVENT_BARRIER_DONE && before->machine.phase == JOB_HELD);
    g_assert_cmpint(give_up, ==,
                    event == JOB_EVENT_BARRIER_REFUSED && before->machine.phase == JOB_HELD);
    g_assert_cmpuint(after->n_released, <=, 1);
    if (effects & JOB_EFFECT_RECORD)
        g_assert_cmpint(after->machine.phase, ==, JOB_HELD);
    if (after->machine.phase == JOB_HELD && before->machine.phase != JOB_HELD)
        g_assert_cmphex(effects, ==, JOB_EFFECT_RECORD);
}

static void test_released_after_the_barrier_only(void)
{
    walk(check_release);
}

static void check_effects(const Walker *before, JobEvent event, const Walker *after,
                          unsigned effects)
{
    /* Each may end the life of the job: two at once could not be carried out. */
    unsigned fatal = effects & (JOB_EFFECT_RECORD | JOB_EFFECT_SETTLE | JOB_EFFECT_FINISH);

    g_assert_cmphex(fatal & (fatal - 1), ==, 0);
    g_assert_cmpint((effects & JOB_EFFECT_SETTLE) != 0, ==,
                    after->machine.phase == JOB_SETTLING && before->machine.phase != JOB_SETTLING);
    g_assert_cmpint((effects & JOB_EFFECT_FINISH) != 0, ==,
                    after->machine.phase == JOB_FINISHED && before->machine.phase != JOB_FINISHED &&
                        before->machine.phase != JOB_STARTING);
}

static void test_effects_belong_to_phases(void)
{
    walk(check_effects);
}

static void check_way_out(const Walker *before, JobEvent event, const Walker *after,
                          unsigned effects)
{
    Walker w = *after;

    if (w.machine.phase == JOB_STARTING || w.machine.phase == JOB_FINISHED)
        return;
    (void)walker_step(&w, JOB_EVENT_CONCLUDED);
    (void)walker_step(&w, JOB_EVENT_SETTLED);
    g_assert_cmpint(w.machine.phase, ==, JOB_FINISHED);
    g_assert_cmpuint(w.n_finished, ==, 1);
}

/* However a job comes to its end, by us or by another monitor, it is announced. */
static void test_conclusion_ends_every_phase(void)
{
    walk(check_way_out);
}

static void check_intent(const Walker *before, JobEvent event, const Walker *after,
                         unsigned effects)
{
    JobIntent intent = before->machine.intent;

    if (!means_something(before->machine.phase, event))
        return;
    if (event == JOB_EVENT_PIVOT)
        intent = JOB_INTENT_PIVOT;
    if (event == JOB_EVENT_ABORT || event == JOB_EVENT_FORCED)
        intent = JOB_INTENT_ABORT;
    g_assert_cmpint(after->machine.intent, ==, intent);
    g_assert_cmpint(after->machine.paused, ==, before->machine.paused);
}

static void test_intent_is_the_callers(void)
{
    walk(check_intent);
}

static void check_state(const Walker *before, JobEvent event, const Walker *after, unsigned effects)
{
    static const char *const endings[] = {
        [JOB_INTENT_NONE] = "running",
        [JOB_INTENT_PIVOT] = "pivoting",
        [JOB_INTENT_ABORT] = "aborting",
    };
    const JobMachine *m = &after->machine;
    const char *expected = "none";

    if (m->phase == JOB_RUNNING)
        expected = m->paused ? "paused" : "running";
    else if (m->phase == JOB_READY)
        expected = m->paused ? "paused" : "ready";
    else if (m->phase == JOB_ENDING && m->paused)
        expected = "paused";
    else if (m->phase != JOB_STARTING && m->phase != JOB_FINISHED)
        expected = endings[m->intent];
    g_assert_cmpstr(job_state_to_string(job_state(m)), ==, expected);
}

static void test_state(void)
{
    walk(check_state);
}

typedef struct Step {
    JobEvent event;
    JobPhase phase;
    const char *state;
    unsigned effects;
} Step;

static void follow(const Step *steps, size_t n)
{
    JobMachine m = {.phase = JOB_STARTING};

    for (size_t i = 0; i < n; i++) {
        unsigned effects = job_handle(&m, steps[i].event);

        g_test_message("%s", job_event_to_string(steps[i].event));
        g_assert_cmpstr(job_phase_to_string(m.phase), ==, job_phase_to_string(steps[i].phase));
        g_assert_cmpstr(job_state_to_string(job_state(&m)), ==, steps[i].state);
        g_assert_cmphex(effects, ==, steps[i].effects);
    }
}

static void test_pivot(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_READY, JOB_READY, "ready", JOB_EFFECT_ANNOUNCE_READY},
        {JOB_EVENT_READY, JOB_READY, "ready", JOB_EFFECT_NONE},
        {JOB_EVENT_PIVOT, JOB_ENDING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_ABORT, JOB_ENDING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_PENDING, JOB_HELD, "pivoting", JOB_EFFECT_RECORD},
        {JOB_EVENT_PENDING, JOB_HELD, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_BARRIER_DONE, JOB_RELEASED, "pivoting", JOB_EFFECT_FINALIZE},
        {JOB_EVENT_PENDING, JOB_RELEASED, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "pivoting", JOB_EFFECT_SETTLE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_NONE},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

static void test_keep(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_READY, JOB_READY, "ready", JOB_EFFECT_ANNOUNCE_READY},
        {JOB_EVENT_ABORT, JOB_ENDING, "aborting", JOB_EFFECT_NONE},
        {JOB_EVENT_PENDING, JOB_HELD, "aborting", JOB_EFFECT_RECORD},
        {JOB_EVENT_BARRIER_DONE, JOB_RELEASED, "aborting", JOB_EFFECT_FINALIZE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "aborting", JOB_EFFECT_SETTLE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

static void test_cancel(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_PIVOT, JOB_RUNNING, "running", JOB_EFFECT_NONE},
        {JOB_EVENT_ABORT, JOB_ENDING, "aborting", JOB_EFFECT_NONE},
        {JOB_EVENT_READY, JOB_ENDING, "aborting", JOB_EFFECT_NONE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "aborting", JOB_EFFECT_SETTLE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

/* Images below the active layer: one phase, the job comes to the barrier by itself. */
static void test_intermediate(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_PENDING, JOB_HELD, "running", JOB_EFFECT_RECORD},
        {JOB_EVENT_BARRIER_DONE, JOB_RELEASED, "running", JOB_EFFECT_FINALIZE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "running", JOB_EFFECT_SETTLE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

static void test_barrier_refused(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_READY, JOB_READY, "ready", JOB_EFFECT_ANNOUNCE_READY},
        {JOB_EVENT_PIVOT, JOB_ENDING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_PENDING, JOB_HELD, "pivoting", JOB_EFFECT_RECORD},
        {JOB_EVENT_BARRIER_REFUSED, JOB_RELEASED, "pivoting", JOB_EFFECT_GIVE_UP},
        {JOB_EVENT_BARRIER_DONE, JOB_RELEASED, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "pivoting", JOB_EFFECT_SETTLE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

/* An export came up: the job is started again, and QEMU hands over without a barrier. */
static void test_restart_at_the_barrier(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_READY, JOB_READY, "ready", JOB_EFFECT_ANNOUNCE_READY},
        {JOB_EVENT_PIVOT, JOB_ENDING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_PENDING, JOB_HELD, "pivoting", JOB_EFFECT_RECORD},
        {JOB_EVENT_RESTART, JOB_ENDING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_READY, JOB_ENDING, "pivoting", JOB_EFFECT_NONE},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "pivoting", JOB_EFFECT_SETTLE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

/* Another monitor has completed the job: we did not ask, and follow. */
static void test_foreign_end(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_READY, JOB_READY, "ready", JOB_EFFECT_ANNOUNCE_READY},
        {JOB_EVENT_PENDING, JOB_HELD, "running", JOB_EFFECT_RECORD},
        {JOB_EVENT_CONCLUDED, JOB_SETTLING, "running", JOB_EFFECT_SETTLE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

static void test_gone(void)
{
    static const Step steps[] = {
        {JOB_EVENT_STARTED, JOB_RUNNING, "running", JOB_EFFECT_ANNOUNCE_START},
        {JOB_EVENT_GONE, JOB_SETTLING, "running", JOB_EFFECT_SETTLE},
        {JOB_EVENT_GONE, JOB_SETTLING, "running", JOB_EFFECT_NONE},
        {JOB_EVENT_SETTLED, JOB_FINISHED, "none", JOB_EFFECT_FINISH},
    };

    follow(steps, G_N_ELEMENTS(steps));
}

static void test_lost_at_each_step(void)
{
    static const JobEvent way[] = {
        JOB_EVENT_STARTED, JOB_EVENT_READY,        JOB_EVENT_PIVOT,
        JOB_EVENT_PENDING, JOB_EVENT_BARRIER_DONE, JOB_EVENT_CONCLUDED,
    };

    for (size_t n = 0; n <= G_N_ELEMENTS(way); n++) {
        JobMachine m = {.phase = JOB_STARTING};

        for (size_t i = 0; i < n; i++)
            (void)job_handle(&m, way[i]);
        g_assert_cmpint(m.phase, ==, (JobPhase)n);
        /* Of a start that QEMU has not answered nobody has heard. */
        g_assert_cmphex(job_handle(&m, JOB_EVENT_LOST), ==,
                        n == 0 ? JOB_EFFECT_NONE : JOB_EFFECT_FINISH);
        g_assert_cmpint(m.phase, ==, JOB_FINISHED);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/job/event-without-meaning-changes-nothing", test_meaning);
    g_test_add_func("/job/finished-is-terminal-and-silent", test_finished_is_terminal);
    g_test_add_func("/job/lost-ends-every-phase", test_lost_ends_every_phase);
    g_test_add_func("/job/announced-once", test_announced_once);
    g_test_add_func("/job/released-after-the-barrier-only", test_released_after_the_barrier_only);
    g_test_add_func("/job/effects-belong-to-phases", test_effects_belong_to_phases);
    g_test_add_func("/job/conclusion-ends-every-phase", test_conclusion_ends_every_phase);
    g_test_add_func("/job/intent-is-the-callers", test_intent_is_the_callers);
    g_test_add_func("/job/state", test_state);
    g_test_add_func("/job/pivot", test_pivot);
    g_test_add_func("/job/abort-when-ready-keeps-overlay", test_keep);
    g_test_add_func("/job/abort-while-running-cancels", test_cancel);
    g_test_add_func("/job/intermediate-ends-by-itself", test_intermediate);
    g_test_add_func("/job/barrier-refused-gives-up", test_barrier_refused);
    g_test_add_func("/job/restart-at-the-barrier", test_restart_at_the_barrier);
    g_test_add_func("/job/foreign-end", test_foreign_end);
    g_test_add_func("/job/gone", test_gone);
    g_test_add_func("/job/lost-at-each-step", test_lost_at_each_step);
    return g_test_run();
}
