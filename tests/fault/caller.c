/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "caller.h"

#include <string.h>

#define PROPERTIES_INTERFACE "org.freedesktop.DBus.Properties"

const Flow flows[] = {
    {"pivot", 1, 2, true, "Pivot", "completed"},
    {"abort", 1, 2, true, "Abort", "kept"},
    {"intermediate", 1, 4, false, NULL, "completed"},
    {"group-pivot", 2, 2, true, "Pivot", "completed"},
    {"group-abort", 2, 2, true, "Abort", "kept"},
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

/* What the service says of the job, or the group. */
typedef struct Situation {
    char *state;                                         /* JobState, or JobsState */
    char *id[WORLD_DISKS_MAX], *result[WORLD_DISKS_MAX]; /* of Disk.LastJob, "" for none */
} Situation;

struct Caller {
    Recorder *recorder;
    World *world;
    const Flow *flow;
    Step step;
    unsigned from; /* records before are of others */
    unsigned call; /* to be answered */
    unsigned attempts;
    bool has_job;
    unsigned questions;          /* that are answered: the disks, and the VM of a group */
    Situation situation;         /* as far as they are */
    char *last[WORLD_DISKS_MAX]; /* ids of the jobs before ours, "" for none */
};

static bool is_group(const Caller *c)
{
    return c->flow->disks > 1;
}

/* On what the calls are made. */
static const char *path_of(const Caller *c)
{
    return is_group(c) ? c->world->vm_path : c->world->disk[0];
}

static const char *interface_of(const Caller *c)
{
    return is_group(c) ? VM_INTERFACE : DISK_INTERFACE;
}

static void situation_clear(Situation *s)
{
    g_free(s->state);
    for (unsigned i = 0; i < WORLD_DISKS_MAX; i++) {
        g_free(s->id[i]);
        g_free(s->result[i]);
    }
    *s = (Situation){.state = g_strdup("none")};
    for (unsigned i = 0; i < WORLD_DISKS_MAX; i++) {
        s->id[i] = g_strdup("");
        s->result[i] = g_strdup("");
    }
}

Caller *caller_new(World *w, const Flow *flow)
{
    Caller *c = g_new0(Caller, 1);

    c->recorder = w->recorder;
    c->world = w;
    c->flow = flow;
    situation_clear(&c->situation);
    for (unsigned i = 0; i < WORLD_DISKS_MAX; i++)
        c->last[i] = g_strdup("");
    return c;
}

void caller_free(Caller *c)
{
    if (!c)
        return;
    situation_clear(&c->situation);
    g_free(c->situation.state);
    for (unsigned i = 0; i < WORLD_DISKS_MAX; i++) {
        g_free(c->situation.id[i]);
        g_free(c->situation.result[i]);
        g_free(c->last[i]);
    }
    g_free(c);
}

bool caller_has_job(const Caller *c)
{
    return c->has_job;
}

unsigned caller_attempts(const Caller *c)
{
    return c->attempts;
}

void caller_doubt(Caller *c)
{
    if (c->step != STEP_DONE)
        c->step = STEP_ASK;
    c->questions = 0;
}

void caller_renew(Caller *c)
{
    c->step = STEP_ASK;
    c->questions = 0;
    c->from = recorder_mark(c->recorder);
}

static void start(Caller *c)
{
    c->attempts++;
    c->call = recorder_send(c->recorder, path_of(c), interface_of(c), "Commit", "b",
                            (int)c->flow->active);
}

static void conclude(Caller *c)
{
    c->attempts++;
    c->call = recorder_send(c->recorder, path_of(c), interface_of(c), c->flow->conclusion, NULL);
}

static bool has_signal(const Caller *c, const char *member)
{
    return recorder_find(
               c->recorder, c->from,
               (Sought){.path = path_of(c), .interface = interface_of(c), .member = member}) >= 0;
}

static bool has_appeared(const Caller *c)
{
    for (unsigned i = 0; i < c->flow->disks; i++)
        if (recorder_find(c->recorder, c->from,
                          (Sought){.member = "InterfacesAdded",
                                   .object = c->world->disk[i],
                                   .part = DISK_INTERFACE}) < 0)
            return false;
    return true;
}

/* -1: not answered yet; 0: refused; 1: done. */
static int answered(Caller *c)
{
    const int position = recorder_find_answer(c->recorder, c->call);

    if (position < 0)
        return -1;
    return recorder_at(c->recorder, (unsigned)position)->kind == RECORD_REPLY;
}

static void read_strings(Caller *c, sd_bus_message *m, unsigned disk);

/* m stands before a variant: keeps what is wanted of it. */
static void read_value(Caller *c, sd_bus_message *m, const char *key, unsigned disk)
{
    Situation *s = &c->situation;
    char **field = strcmp(key, is_group(c) ? "JobsState" : "JobState") == 0 ? &s->state
                   : strcmp(key, "id") == 0                                 ? &s->id[disk]
                   : strcmp(key, "result") == 0                             ? &s->result[disk]
                                                                            : NULL;
    const char *value;

    if (field) {
        g_assert_cmpint(sd_bus_message_read(m, "v", "s", &value), >, 0);
        g_free(*field);
        *field = g_strdup(value);
    } else if (strcmp(key, "LastJob") == 0) {
        g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "a{sv}"), >, 0);
        read_strings(c, m, disk);
        sd_bus_message_exit_container(m);
    } else {
        sd_bus_message_skip(m, "v");
    }
}

static void read_strings(Caller *c, sd_bus_message *m, unsigned disk)
{
    const char *key;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
        read_value(c, m, key, disk);
        sd_bus_message_exit_container(m);
    }
    sd_bus_message_exit_container(m);
}

/* Whether jobs of ours have ended since, and all as they were to. */
static bool has_result(Caller *c)
{
    unsigned ended = 0, completed = 0, wanted = 0;

    for (unsigned i = 0; i < c->flow->disks; i++) {
        if (strcmp(c->situation.id[i], c->last[i]) == 0)
            continue;
        ended++;
        completed += strcmp(c->situation.result[i], "completed") == 0;
        wanted += strcmp(c->situation.result[i], c->flow->result) == 0;
        g_free(c->last[i]);
        c->last[i] = g_strdup(c->situation.id[i]);
    }
    c->has_job = c->has_job || ended > 0;
    if (ended == c->flow->disks && completed > 0 && completed < ended)
        g_error("A disk was pivoted alone");
    return wanted == c->flow->disks;
}

/* What there is to do in this situation. */
static void judge(Caller *c)
{
    c->step = STEP_ASK;
    if (strcmp(c->situation.state, "none") != 0) {
        c->has_job = true;
        if (strcmp(c->situation.state, "ready") == 0)
            conclude(c);
        return;
    }
    if (has_result(c))
        c->step = STEP_DONE;
    else
        start(c);
}

/* First the VM of a group: where it has none any more, the disks have their results. */
static void ask(Caller *c)
{
    const bool vm = is_group(c) && c->questions == 0;
    const unsigned disk = c->questions - is_group(c);

    /* The answer to what was asked for last is waited for, and means nothing. */
    if (c->call && recorder_find_answer(c->recorder, c->call) < 0)
        return;
    if (!recorder_has_owner(c->recorder))
        return;
    if (c->questions == 0)
        situation_clear(&c->situation);
    c->call =
        recorder_send(c->recorder, vm ? c->world->vm_path : c->world->disk[disk],
                      PROPERTIES_INTERFACE, "GetAll", "s", vm ? VM_INTERFACE : DISK_INTERFACE);
    c->step = STEP_ASKED;
}

static void take_answer(Caller *c)
{
    const bool vm = is_group(c) && c->questions == 0;
    const unsigned disk = vm ? 0 : c->questions - is_group(c);

    if (answered(c) < 0)
        return;
    c->step = STEP_ASK;
    if (answered(c) == 0) {
        c->questions = 0;
        return;
    }

    const int position = recorder_find_answer(c->recorder, c->call);
    sd_bus_message *m = recorder_at(c->recorder, (unsigned)position)->message;

    sd_bus_message_rewind(m, true);
    read_strings(c, m, disk);
    if (++c->questions < c->flow->disks + is_group(c))
        return;
    c->questions = 0;
    judge(c);
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
    } else if (c->step == STEP_READY && has_signal(c, is_group(c) ? "JobsReady" : "JobReady")) {
        conclude(c);
        c->step = STEP_CONCLUDE;
    } else if (c->step == STEP_CONCLUDE && answer > 0) {
        c->step = STEP_END;
    } else if (c->step == STEP_END && has_signal(c, is_group(c) ? "JobsFinished" : "JobFinished")) {
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
