/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM "web1" with disks "vda", "vdb", … that are committed together, and the steps of that, as
 * QEMU takes them when nothing goes wrong. A test leaves the script where it wants.
 */
#pragma once

#include <glib.h>

#include "domain.h"
#include "fake-vm.h"
#include "group.h"

#define TROUPE_MAX 4

typedef struct Troupe {
    Domain *domain;
    FakeVm *vm;
    QmpPeer *peer; /* of the VM */
    unsigned n;
    Disk *disk[TROUPE_MAX];
    char *job[TROUPE_MAX];               /* ids; NULL before the start */
    QmpPeerCommand *command[TROUPE_MAX]; /* the latest to each disk's job, NULL for none */
    Request *request;                    /* the latest */
    unsigned left, crowd;
} Troupe;

/* Each disk has the chain "topN midN baseN". The VM is published, its news are taken. */
Troupe *troupe_new(unsigned n);
void troupe_free(Troupe *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Troupe, troupe_free)

/* VM.Commit, VM.Pivot, VM.Abort: t->request. */
void troupe_call_commit(Troupe *t, const CommitOptions *options);
void troupe_call_pivot(Troupe *t);
void troupe_call_abort(Troupe *t);

/* Takes a command of that name for each disk, in their order. */
void troupe_expect(Troupe *t, const char *command);
/* For one disk. */
void troupe_expect_one(Troupe *t, unsigned i, const char *command);
/* QEMU accepts the command of one disk, or of each. */
void troupe_accept(Troupe *t, unsigned i);
void troupe_accept_all(Troupe *t);

/* Until QEMU has all commands. */
void troupe_ask_commit(Troupe *t, const CommitOptions *options);
/* QEMU creates the job of block-commit, without an answer. */
void troupe_create(Troupe *t, unsigned i);
/* The jobs run. */
void troupe_start(Troupe *t, const CommitOptions *options);
/* The jobs of an active commit are ready, and known to be; news are taken. */
void troupe_start_ready(Troupe *t);
/* Pivot or Abort is accepted; news are taken. */
void troupe_pivot(Troupe *t);
void troupe_abort(Troupe *t);

/* The job of one disk, with the event; NULL for none any more. */
void troupe_move(Troupe *t, unsigned i, const char *status);
/* All of them come to the barrier. */
void troupe_hold_all(Troupe *t);
/* The job of the disk concludes: with that error, NULL for none, and that many images left. What it
 * was told last is answered. */
void troupe_finish(Troupe *t, unsigned i, const char *error, unsigned depth);
void troupe_dismiss(Troupe *t, unsigned i);
/* Both. */
void troupe_conclude(Troupe *t, unsigned i, const char *error, unsigned depth);
/* The job that stands at the barrier is cancelled there: the copy is kept. */
void troupe_keep(Troupe *t, unsigned i);
/* It finalizes: the guest is on the base. */
void troupe_complete(Troupe *t, unsigned i);
/* Each of them. */
void troupe_keep_all(Troupe *t);
void troupe_complete_all(Troupe *t);

/* The ends, as the news tell them: "vda=kept vdb=kept". Each job has one, and they have one; and
 * there is nothing left of the group. */
void troupe_check_ends(Troupe *t, const char *ends);
/* In their order, with nothing on record and nothing finalized; of two or three disks. */
void troupe_check_all_kept(Troupe *t);
/* How many such commands QEMU has had. */
unsigned troupe_count(const Troupe *t, const char *command);
/* The image that is on record to be booted is the active one or the base, of each disk. */
void troupe_check_record(const Troupe *t, bool pivoted);

/* Until troupe_drain(), from the moment the next request goes on, only so many commands more can be
 * sent. Called before the request. */
void troupe_crowd(Troupe *t, unsigned left);
void troupe_drain(Troupe *t);

/* The service ends, however; a new one finds the VM, and its news are taken. */
void troupe_restart(Troupe *t);
