/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A VM "web1" with a disk "vda", and the steps of a commit on it, as QEMU takes them when nothing
 * goes wrong. A test leaves the script where it wants.
 */
#pragma once

#include <glib.h>

#include "domain.h"
#include "fake-vm.h"

/* Active image, one between, base. */
#define PLAY_CHAIN "top mid base"

typedef struct Play {
    Domain *domain;
    FakeVm *vm;
    QmpPeer *peer; /* of the VM */
    Disk *disk;
    Request *request; /* the latest */
} Play;

/* The VM is published, its news are taken. */
Play *play_new(const char *nodes);
void play_free(Play *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Play, play_free)

/* The service ends, however; a new one finds the VM. */
void play_restart(Play *p);

/* Commit, until QEMU has it; the reply is the test's. */
QmpPeerCommand *play_ask_commit(Play *p, bool active);
/* Commit and reply: the job runs. */
void play_start(Play *p, bool active);
/* The id of the job that was added last says all that a successor of ours must know. */
void play_check_id(const Play *p);
/* The job is ready, and known to be. */
void play_ready(Play *p);
/* Both at once, without a look at the news. */
void play_start_ready(Play *p);
/* Pivot, until QEMU has it. */
QmpPeerCommand *play_ask_pivot(Play *p);
/* Abort, until QEMU has it. */
QmpPeerCommand *play_ask_abort(Play *p);
/* QEMU has accepted what was asked for, and the job stands at its barrier: job-finalize has come;
 * of an Abort job-cancel. */
QmpPeerCommand *play_hold(Play *p, const QmpPeerCommand *asked);
/* QEMU does what it was told there, the guest is on the first of the nodes: until the job is
 * dismissed. */
QmpPeerCommand *play_conclude(Play *p, const QmpPeerCommand *told, const char *nodes);
/* The job is dismissed: nothing is left of it. */
void play_dismiss(Play *p, const QmpPeerCommand *job_dismiss);
