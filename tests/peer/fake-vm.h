/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A scripted QEMU that has disks, exports and jobs. It answers what it is asked about them from its
 * state; what is to be done to them waits for the test, see qmp-peer.h. Closing nodes, flushing
 * them and setting them read-only succeeds by itself.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>

#include "qmp-peer.h"

typedef struct FakeVm FakeVm;

/* name: QEMU's -name; NULL for a storage daemon, which has none. */
FakeVm *fake_vm_new(sd_event *event, const char *name);
void fake_vm_free(FakeVm *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeVm, fake_vm_free)

/* The same VM with a new monitor, which a new process of ours is to take; the old one is gone. */
void fake_vm_reconnect(FakeVm *f, sd_event *event);
QmpPeer *fake_vm_peer(const FakeVm *f);
/* Answers a question that was let wait, from the state of now; from here on it waits no more. */
void fake_vm_answer(FakeVm *f, const QmpPeerCommand *question);

/* The disk on the device with that id. nodes: its chain, active one first, separated by a space; ""
 * without a medium; NULL unplugs it. All but the active image are read-only. */
void fake_vm_set_disk(FakeVm *f, const char *id, const char *nodes);
/* A chain that no device uses, known by that name to the test alone. */
void fake_vm_set_chain(FakeVm *f, const char *id, const char *nodes);
/* What its device is throttled to, members of BlockDeviceInfo. */
#define FAKE_NO_LIMITS "'bps': 0, 'bps_rd': 0, 'bps_wr': 0, 'iops': 0, 'iops_rd': 0, 'iops_wr': 0"
void fake_vm_set_throttle(FakeVm *f, const char *id, const char *limits);
/* Accepts block_set_io_throttle: that is what it is throttled to now. */
void fake_vm_take_throttle(FakeVm *f, const char *id, const QmpPeerCommand *set);
void fake_vm_set_writable(FakeVm *f, const char *node);
/* The node of an image's file, which is left out else. */
void fake_vm_set_file(FakeVm *f, const char *node, const char *file);
/* Dirty bitmaps of a node, QAPI type BlockDirtyInfo, as a list. */
void fake_vm_set_bitmaps(FakeVm *f, const char *node, const char *bitmaps);
/* An export; node NULL takes it away. */
void fake_vm_set_export(FakeVm *f, const char *id, const char *node);

/* A job as block-commit asks for it, in that state. The test replies by itself. */
void fake_vm_add_job(FakeVm *f, const QmpPeerCommand *block_commit, const char *status);
/* A job as somebody else has started it. */
void fake_vm_set_job(FakeVm *f, const char *id, const char *status, bool auto_finalize);
/* The node that the job added last works on. */
void fake_vm_set_job_node(FakeVm *f, const char *node);
/* Whether that job is paused, which its state follows as soon as it comes to rest. */
void fake_vm_set_paused(FakeVm *f, bool paused);
/* What follows is of this job, as if it had been added last. */
void fake_vm_choose_job(FakeVm *f, const char *id);
/* The job that was added last, without an event: its state, NULL for none any more. */
void fake_vm_set_status(FakeVm *f, const char *status);
void fake_vm_set_error(FakeVm *f, const char *error);
/* The same with the event. */
void fake_vm_move(FakeVm *f, const char *status);
/* What an I/O error leaves of the job (QAPI type BlockDeviceIoStatus); without an event. */
void fake_vm_set_io_status(FakeVm *f, const char *io_status);
/* An I/O error pauses the job. */
void fake_vm_stop(FakeVm *f, const char *status, const char *io_status);
const char *fake_vm_job_id(const FakeVm *f);
