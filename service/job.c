/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "job.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

typedef struct Transition {
    bool legal;
    JobPhase next;
    unsigned effects;
} Transition;

#define GO(next_, effects_)                                                                        \
    {                                                                                              \
        true, JOB_##next_, (effects_)                                                              \
    }
#define START JOB_EFFECT_ANNOUNCE_START
#define READY JOB_EFFECT_ANNOUNCE_READY
#define RECORD JOB_EFFECT_RECORD
#define SETTLE JOB_EFFECT_SETTLE
#define FINISH JOB_EFFECT_FINISH

/* What is not listed means nothing in that phase. */
static const Transition table[JOB_PHASE_MAX_][JOB_EVENT_MAX_] = {
    [JOB_STARTING] =
        {
            [JOB_EVENT_STARTED] = GO(RUNNING, START),
            [JOB_EVENT_LOST] = GO(FINISHED, JOB_EFFECT_NONE),
        },
    [JOB_RUNNING] =
        {
            [JOB_EVENT_READY] = GO(READY, READY),
            [JOB_EVENT_ABORT] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_FORCED] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_PENDING] = GO(HELD, RECORD),
            [JOB_EVENT_CONCLUDED] = GO(SETTLING, SETTLE),
            [JOB_EVENT_GONE] = GO(SETTLING, SETTLE),
            [JOB_EVENT_LOST] = GO(FINISHED, FINISH),
        },
    [JOB_READY] =
        {
            [JOB_EVENT_PIVOT] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_ABORT] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_FORCED] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_PENDING] = GO(HELD, RECORD),
            [JOB_EVENT_CONCLUDED] = GO(SETTLING, SETTLE),
            [JOB_EVENT_GONE] = GO(SETTLING, SETTLE),
            [JOB_EVENT_LOST] = GO(FINISHED, FINISH),
        },
    [JOB_ENDING] =
        {
            [JOB_EVENT_RESTART] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_FORCED] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_PENDING] = GO(HELD, RECORD),
            [JOB_EVENT_CONCLUDED] = GO(SETTLING, SETTLE),
            [JOB_EVENT_GONE] = GO(SETTLING, SETTLE),
            [JOB_EVENT_LOST] = GO(FINISHED, FINISH),
        },
    [JOB_HELD] =
        {
            /* The answer to what has led here may come late. */
            [JOB_EVENT_PIVOT] = GO(HELD, JOB_EFFECT_NONE),
            [JOB_EVENT_ABORT] = GO(HELD, JOB_EFFECT_NONE),
            [JOB_EVENT_RESTART] = GO(ENDING, JOB_EFFECT_NONE),
            [JOB_EVENT_BARRIER_DONE] = GO(RELEASED, JOB_EFFECT_FINALIZE),
            [JOB_EVENT_BARRIER_REFUSED] = GO(RELEASED, JOB_EFFECT_GIVE_UP),
            [JOB_EVENT_CONCLUDED] = GO(SETTLING, SETTLE),
            [JOB_EVENT_GONE] = GO(SETTLING, SETTLE),
            [JOB_EVENT_LOST] = GO(FINISHED, FINISH),
        },
    [JOB_RELEASED] =
        {
            [JOB_EVENT_PIVOT] = GO(RELEASED, JOB_EFFECT_NONE),
            [JOB_EVENT_ABORT] = GO(RELEASED, JOB_EFFECT_NONE),
            [JOB_EVENT_CONCLUDED] = GO(SETTLING, SETTLE),
            [JOB_EVENT_GONE] = GO(SETTLING, SETTLE),
            [JOB_EVENT_LOST] = GO(FINISHED, FINISH),
        },
    [JOB_SETTLING] =
        {
            [JOB_EVENT_SETTLED] = GO(FINISHED, FINISH),
            [JOB_EVENT_LOST] = GO(FINISHED, FINISH),
        },
    [JOB_FINISHED] = {},
};

unsigned job_handle(JobMachine *m, JobEvent event)
{
    assert(m->phase < JOB_PHASE_MAX_ && event < JOB_EVENT_MAX_);
    const Transition *t = &table[m->phase][event];

    if (!t->legal)
        return JOB_EFFECT_NONE;
    if (event == JOB_EVENT_PIVOT)
        m->intent = JOB_INTENT_PIVOT;
    if (event == JOB_EVENT_ABORT || event == JOB_EVENT_FORCED)
        m->intent = JOB_INTENT_ABORT;
    if (event == JOB_EVENT_READY)
        m->announced = true;
    if (event == JOB_EVENT_PENDING)
        m->held = true;
    if (event == JOB_EVENT_RESTART)
        m->held = false;
    m->phase = t->next;
    return t->effects;
}

static JobState ending_state(const JobMachine *m)
{
    switch (m->intent) {
    case JOB_INTENT_PIVOT:
        return JOB_STATE_PIVOTING;
    case JOB_INTENT_ABORT:
        return JOB_STATE_ABORTING;
    case JOB_INTENT_NONE:
        return JOB_STATE_RUNNING;
    }
    return JOB_STATE_RUNNING;
}

JobState job_state(const JobMachine *m)
{
    switch (m->phase) {
    case JOB_STARTING:
    case JOB_FINISHED:
        return JOB_STATE_NONE;
    case JOB_RUNNING:
        return m->paused ? JOB_STATE_PAUSED : JOB_STATE_RUNNING;
    case JOB_READY:
        return m->paused ? JOB_STATE_PAUSED : JOB_STATE_READY;
    case JOB_ENDING:
        return m->paused ? JOB_STATE_PAUSED : ending_state(m);
    case JOB_HELD:
    case JOB_RELEASED:
    case JOB_SETTLING:
        return ending_state(m);
    case JOB_PHASE_MAX_:
        break;
    }
    assert(false);
    return JOB_STATE_NONE;
}

/* QEMU's text for a job that was cancelled (strerror(ECANCELED), set by job.c). */
static bool is_cancelled(const char *error)
{
    return strcmp(error, "Operation canceled") == 0;
}

/* A job that was cancelled at the barrier has copied everything, and flushed it. */
static JobResult judge_error(const JobMachine *m, bool active, const char *error)
{
    if (!is_cancelled(error))
        return JOB_RESULT_FAILED;
    return active && m->held ? JOB_RESULT_KEPT : JOB_RESULT_CANCELLED;
}

JobResult job_judge(const JobMachine *m, bool active, const char *error, bool gone, JobGraph graph)
{
    switch (graph) {
    case JOB_GRAPH_MERGED:
        return JOB_RESULT_COMPLETED;
    case JOB_GRAPH_UNCHANGED:
        if (error)
            return judge_error(m, active, error);
        /* Nobody can tell a kept copy from a cancelled one: claim the lesser. At the barrier it was
         * whole. */
        if (gone)
            return active && m->held ? JOB_RESULT_KEPT : JOB_RESULT_CANCELLED;
        return active ? JOB_RESULT_KEPT : JOB_RESULT_FAILED;
    case JOB_GRAPH_UNKNOWN:
        if (error)
            return judge_error(m, active, error);
        if (!active || gone)
            return JOB_RESULT_LOST;
        /* The device is gone, and its job had no error. An unplug ends a ready job softly. */
        return m->intent == JOB_INTENT_PIVOT ? JOB_RESULT_COMPLETED : JOB_RESULT_KEPT;
    case JOB_GRAPH_MAX_:
        break;
    }
    assert(false);
    return JOB_RESULT_LOST;
}

static const char *const phases[] = {
    [JOB_STARTING] = "starting", [JOB_RUNNING] = "running",   [JOB_READY] = "ready",
    [JOB_ENDING] = "ending",     [JOB_HELD] = "held",         [JOB_RELEASED] = "released",
    [JOB_SETTLING] = "settling", [JOB_FINISHED] = "finished",
};
static_assert(ELEMENTSOF(phases) == JOB_PHASE_MAX_, "each phase has a word");

static const char *const events[] = {
    [JOB_EVENT_STARTED] = "started",
    [JOB_EVENT_READY] = "ready",
    [JOB_EVENT_PIVOT] = "pivot",
    [JOB_EVENT_ABORT] = "abort",
    [JOB_EVENT_FORCED] = "forced",
    [JOB_EVENT_RESTART] = "restart",
    [JOB_EVENT_PENDING] = "pending",
    [JOB_EVENT_BARRIER_DONE] = "barrier-done",
    [JOB_EVENT_BARRIER_REFUSED] = "barrier-refused",
    [JOB_EVENT_CONCLUDED] = "concluded",
    [JOB_EVENT_GONE] = "gone",
    [JOB_EVENT_SETTLED] = "settled",
    [JOB_EVENT_LOST] = "lost",
};
static_assert(ELEMENTSOF(events) == JOB_EVENT_MAX_, "each event has a word");

static const char *const states[] = {
    [JOB_STATE_NONE] = "none",         [JOB_STATE_RUNNING] = "running",
    [JOB_STATE_PAUSED] = "paused",     [JOB_STATE_READY] = "ready",
    [JOB_STATE_PIVOTING] = "pivoting", [JOB_STATE_ABORTING] = "aborting",
};
static_assert(ELEMENTSOF(states) == JOB_STATE_MAX_, "each state has a word");

static const char *const results[] = {
    [JOB_RESULT_COMPLETED] = "completed", [JOB_RESULT_KEPT] = "kept",
    [JOB_RESULT_CANCELLED] = "cancelled", [JOB_RESULT_FAILED] = "failed",
    [JOB_RESULT_LOST] = "lost",
};
static_assert(ELEMENTSOF(results) == JOB_RESULT_MAX_, "each result has a word");

static const char *const on_readies[] = {
    [JOB_ON_READY_WAIT] = "wait",
    [JOB_ON_READY_PIVOT] = "pivot",
    [JOB_ON_READY_KEEP] = "keep",
};
static_assert(ELEMENTSOF(on_readies) == JOB_ON_READY_MAX_, "each choice has a word");

static const char *const on_errors[] = {
    [JOB_ON_ERROR_REPORT] = "report",
    [JOB_ON_ERROR_STOP] = "stop",
    [JOB_ON_ERROR_ENOSPC] = "enospc",
};
static_assert(ELEMENTSOF(on_errors) == JOB_ON_ERROR_MAX_, "each policy has a word");

static const char *const on_deadlines[] = {
    [JOB_ON_DEADLINE_KEEP_WAITING] = "keep-waiting",
    [JOB_ON_DEADLINE_CANCEL] = "cancel",
    [JOB_ON_DEADLINE_SLOW_GUEST] = "slow-guest",
};
static_assert(ELEMENTSOF(on_deadlines) == JOB_ON_DEADLINE_MAX_, "each choice has a word");

const char *job_phase_to_string(JobPhase phase)
{
    assert(phase < JOB_PHASE_MAX_);
    return phases[phase];
}

const char *job_event_to_string(JobEvent event)
{
    assert(event < JOB_EVENT_MAX_);
    return events[event];
}

const char *job_state_to_string(JobState state)
{
    assert(state < JOB_STATE_MAX_);
    return states[state];
}

const char *job_result_to_string(JobResult result)
{
    assert(result < JOB_RESULT_MAX_);
    return results[result];
}

const char *job_on_ready_to_string(JobOnReady on_ready)
{
    assert(on_ready < JOB_ON_READY_MAX_);
    return on_readies[on_ready];
}

const char *job_on_error_to_string(JobOnError on_error)
{
    assert(on_error < JOB_ON_ERROR_MAX_);
    return on_errors[on_error];
}

const char *job_on_deadline_to_string(JobOnDeadline on_deadline)
{
    assert(on_deadline < JOB_ON_DEADLINE_MAX_);
    return on_deadlines[on_deadline];
}

/* The index of the word, -EINVAL for none. */
static int find_word(const char *const *words, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -EINVAL;
}

int job_result_from_string(const char *word, JobResult *ret)
{
    int i = find_word(results, ELEMENTSOF(results), word);

    if (i >= 0)
        *ret = (JobResult)i;
    return i < 0 ? i : 0;
}

int job_on_ready_from_string(const char *word, JobOnReady *ret)
{
    int i = find_word(on_readies, ELEMENTSOF(on_readies), word);

    if (i >= 0)
        *ret = (JobOnReady)i;
    return i < 0 ? i : 0;
}

int job_on_error_from_string(const char *word, JobOnError *ret)
{
    int i = find_word(on_errors, ELEMENTSOF(on_errors), word);

    if (i >= 0)
        *ret = (JobOnError)i;
    return i < 0 ? i : 0;
}

int job_on_deadline_from_string(const char *word, JobOnDeadline *ret)
{
    int i = find_word(on_deadlines, ELEMENTSOF(on_deadlines), word);

    if (i >= 0)
        *ret = (JobOnDeadline)i;
    return i < 0 ? i : 0;
}
