/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "caller.h"

#include <string.h>

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

const Flow flows[] = {
    {"pivot", 2, true, "Pivot", "completed"},
    {"abort", 2, true, "Abort", "kept"},
    {"intermediate", 4, false, NULL, "completed"},
};
const unsigned n_flows = G_N_ELEMENTS(flows);

typedef enum Step {
    STEP_APPEAR,   /* the disk is to appear */
    STEP_START,    /* Commit is to be answered */
    STEP_READY,    /* JobReady is to come */
    STEP_CONCLUDE, /* Pivot or Abort is to be answered */
    STEP_END,      /* JobFinished is to come */
    STEP_ASK,      /* nobody knows: the next question is to be asked */
    STEP_ASKED,    /* … and to be answered */
    STEP_DONE,
} Step;

struct Caller {
    Recorder *recorder;
    char *disk;
    const Flow *flow;
    Step step;
    unsigned from; /* records before are of others */
    unsigned call; /* to be answered */
    unsigned starts;
    bool has_job;
    char *last; /* id of the job before ours, "" for none */
};

Caller *caller_new(Recorder *r, const char *disk, const Flow *flow)
{
    Caller *c = g_new0(Caller, 1);

    c->recorder = r;
    c->disk = g_strdup(disk);
    c->flow = flow;
    c->last = g_strdup("");
    return c;
}

void caller_free(Caller *c)
{
    if (!c)
        return;
    g_free(c->disk);
    g_free(c->last);
    g_free(c);
}

bool caller_has_job(const Caller *c)
{
    return c->has_job;
}

unsigned caller_starts(const Caller *c)
{
    return c->starts;
}

void caller_doubt(Caller *c)
{
    if (c->step != STEP_DONE)
        c->step = STEP_ASK;
}

void caller_renew(Caller *c)
{
    c->step = STEP_ASK;
    c->from = recorder_mark(c->recorder);
}

static void start(Caller *c)
{
    c->starts++;
    c->call =
        recorder_send(c->recorder, c->disk, DISK_INTERFACE, "Commit", "b", (int)c->flow->active);
}

static void conclude(Caller *c)
{
    c->call = recorder_send(c->recorder, c->disk, DISK_INTERFACE, c->flow->conclusion, NULL);
}

static bool has_signal(const Caller *c, const char *member)
{
    return recorder_find(
               c->recorder, c->from,
               (Sought){.path = c->disk, .interface = DISK_INTERFACE, .member = member}) >= 0;
}

static bool has_appeared(const Caller *c)
{
    return recorder_find(
               c->recorder, c->from,
               (Sought){.member = "InterfacesAdded", .object = c->disk, .part = DISK_INTERFACE}) >=
           0;
}

/* -1: not answered yet; 0: refused; 1: done. */
static int answered(Caller *c)
{
    const int position = recorder_find_answer(c->recorder, c->call);

    if (position < 0)
        return -1;
    return recorder_at(c->recorder, (unsigned)position)->kind == RECORD_REPLY;
}

typedef struct Situation {
    char *state;       /* Disk.JobState */
    char *id, *result; /* of Disk.LastJob, "" for none */
} Situation;

static void read_strings(sd_bus_message *m, Situation *s);

/* m stands before a variant: keeps what is wanted of it. */
static void read_value(sd_bus_message *m, const char *key, Situation *s)
{
    char **field = strcmp(key, "JobState") == 0 ? &s->state
                   : strcmp(key, "id") == 0     ? &s->id
                   : strcmp(key, "result") == 0 ? &s->result
                                                : NULL;
    const char *value;

    if (field) {
        g_assert_cmpint(sd_bus_message_read(m, "v", "s", &value), >, 0);
        g_free(*field);
        *field = g_strdup(value);
    } else if (strcmp(key, "LastJob") == 0) {
        g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "a{sv}"), >, 0);
        read_strings(m, s);
        sd_bus_message_exit_container(m);
    } else {
        sd_bus_message_skip(m, "v");
    }
}

static void read_strings(sd_bus_message *m, Situation *s)
{
    const char *key;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
        read_value(m, key, s);
        sd_bus_message_exit_container(m);
    }
    sd_bus_message_exit_container(m);
}

/* What there is to do in this situation. */
static void judge(Caller *c, const Situation *s)
{
    c->step = STEP_ASK;
    if (strcmp(s->state, "none") != 0) {
        c->has_job = true;
        if (strcmp(s->state, "ready") == 0)
            conclude(c);
        return;
    }
    if (strcmp(s->id, c->last) != 0) {
        c->has_job = true;
        g_free(c->last);
        c->last = g_strdup(s->id);
        if (strcmp(s->result, c->flow->result) == 0) {
            c->step = STEP_DONE;
            return;
        }
    }
    start(c);
}

static void ask(Caller *c)
{
    /* The answer to what was asked for last is waited for, and means nothing. */
    if (c->call && recorder_find_answer(c->recorder, c->call) < 0)
        return;
    if (!recorder_has_owner(c->recorder))
        return;
    c->call =
        recorder_send(c->recorder, c->disk, PROPERTIES_INTERFACE, "GetAll", "s", DISK_INTERFACE);
    c->step = STEP_ASKED;
}

static void take_answer(Caller *c)
{
    Situation s = {g_strdup("none"), g_strdup(""), g_strdup("")};

    if (answered(c) < 0)
        return;
    if (answered(c) == 0) {
        c->step = STEP_ASK;
    } else {
        const int position = recorder_find_answer(c->recorder, c->call);
        sd_bus_message *m = recorder_at(c->recorder, (unsigned)position)->message;

        sd_bus_message_rewind(m, true);
        read_strings(m, &s);
        judge(c, &s);
    }
    g_free(s.state);
    g_free(s.id);
    g_free(s.result);
}

/* The first life goes from signal to signal. */
static void go_on(Caller *c)
{
    const int answer = c->step == STEP_START || c->step == STEP_CONCLUDE ? answered(c) : -1;

    if (answer == 0) {
        caller_doubt(c);
        return;
    }
    if (c->step == STEP_APPEAR && has_appeared(c)) {
        start(c);
        c->step = STEP_START;
    } else if (c->step == STEP_START && answer > 0) {
        c->has_job = true;
        c->step = c->flow->conclusion ? STEP_READY : STEP_END;
    } else if (c->step == STEP_READY && has_signal(c, "JobReady")) {
        conclude(c);
        c->step = STEP_CONCLUDE;
    } else if (c->step == STEP_CONCLUDE && answer > 0) {
        c->step = STEP_END;
    } else if (c->step == STEP_END && has_signal(c, "JobFinished")) {
        caller_doubt(c); /* whether it has come to what was wanted */
    }
}

bool caller_turn(Caller *c)
{
    switch (c->step) {
    case STEP_APPEAR:
    case STEP_START:
    case STEP_READY:
    case STEP_CONCLUDE:
    case STEP_END:
        go_on(c);
        break;
    case STEP_ASK:
        ask(c);
        break;
    case STEP_ASKED:
        take_answer(c);
        break;
    case STEP_DONE:
        break;
    }
    return c->step == STEP_DONE;
}
