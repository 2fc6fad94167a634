/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of group share, and what commit tells the group of its members.
 */
#pragma once

#include <systemd/sd-event.h>

#include "commit-internal.h"
#include "group.h"

typedef enum GroupPhase {
    GROUP_STARTING,
    GROUP_WITHDRAWING, /* the start of one has failed: those of the others are taken back */
    GROUP_RUNNING,     /* and ready, when all members are */
    GROUP_ENDING,
    GROUP_OVER, /* the last member has ended */
} GroupPhase;

struct Group {
    Vm *vm;
    GroupPhase phase;
    JobIntent intent; /* of GROUP_ENDING */
    bool active;
    JobOnReady on_ready;
    uint64_t serial; /* CommitId.group */
    Commit *members[VM_JOBS_MAX];
    size_t n;
    GroupEnd ends[VM_JOBS_MAX];
    size_t n_ends;

    JobState announced;        /* to observers */
    bool ready;                /* JobsReady has been announced */
    uint64_t choice_usec;      /* CLOCK_MONOTONIC, when on_ready was tried last */
    bool doomed;               /* one cannot get there: nobody is pivoted */
    char *why;                 /* it is, for people; NULL where a caller wanted it so */
    bool past;                 /* the pivot is on record: nobody goes back */
    bool asked;                /* what the barrier waits for is on its way */
    bool adopted;              /* of an earlier process, and not looked through yet */
    sd_event_source *patience; /* from the first disk that is held on */

    /* The request under way: its answers still to come, and what the caller is told. */
    size_t open;
    Refusal refusal;
    DoneFunc done;
    void *userdata;
};

/* The number of jobs is part of the serial: a restart must see that one is missing. */
uint64_t group_make_serial(uint64_t usec, size_t n);
size_t group_serial_count(uint64_t serial);

int group_new(Vm *vm, uint64_t serial, bool active, JobOnReady on_ready, Group **ret);
void group_add(Group *g, Commit *c);
/* Answers the request under way. */
void group_answer(Group *g);
/* Frees a group without members, once nothing is on its way for it. */
void group_end_if_over(Group *g);
/* Announces what callers see, where it has changed. */
void group_set_phase(Group *g, GroupPhase phase, JobIntent intent);
void group_announce_state(Group *g);
/* One disk cannot get there. why: for people; NULL where a caller wanted it so. */
void group_doom(Group *g, const char *why);
/* Answers are still to come that say where the members go; of one that is doomed that is known. */
bool group_is_asking(const Group *g);
/* The guest waits from the first disk that is at the barrier on, and not for ever. */
void group_be_patient(Group *g);
bool group_is_patient(const Group *g);
/* All are ready: does what has been chosen in advance. */
void group_act_on_ready(Group *g);
/* Sends each member the conclusion that is intended, as far as it is ready for it. */
void group_conclude_ready(Group *g);
/* What the record of its handover needs to know. -ENOENT: a base is not in the graph any more. */
int group_describe_pivots(const Group *g, LedgerPivot ret[static VM_JOBS_MAX]);
/* Puts on record that all are told to keep their overlays, or will be. Best effort: a restart that
 * finds one job missing does not go on with a pivot either. */
void group_note_aborts(const Group *g);
/* Remembers how a member has ended. */
void group_note_end(Group *g, const char *disk, JobResult result, const char *message);

/* From commit. */
/* Ready, or at the barrier; called again with each look at the job. */
void group_member_ready(Commit *c);
/* At the barrier: whether nothing is to be done there any more, because the overlays are kept, or a
 * pivot is on record. */
bool group_is_decided(const Commit *c);
/* At the barrier, and prepared for it; called again with each look at the job. */
void group_member_held(Commit *c);
/* Its start is taken back: what QEMU says of the job, NULL for none. May free the commit. */
void group_member_withdrawn(Commit *c, const GraphJob *job);
/* Announced already; the last one announces the end of the group. */
void group_member_ended(Commit *c, JobResult result, const char *message);
/* The job is freed, or is withdrawn for good. May free the group. */
void group_forget(Commit *c);

/* A job that an earlier process has started as a member. */
void group_adopt(Commit *c, uint64_t serial);
