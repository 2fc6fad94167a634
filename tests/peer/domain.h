/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain without a bus: a manager, what it announces, and the answers to requests.
 *
 * News are lines of text, in the order they came:
 *     vm-added VM, vm-changed VM STATE, vm-removed VM
 *     disk-added DISK, disk-changed DISK, disk-removed DISK
 *     job-started DISK, job-changed DISK STATE, job-ready DISK, job-finished DISK RESULT
 *     job-hidden DISK
 *     jobs-changed VM STATE, jobs-ready VM, jobs-finished VM DISK=RESULT…
 * Mere progress is left out.
 */
#pragma once

#include <glib.h>

#include "disk.h"
#include "fake-vm.h"
#include "manager.h"
#include "vm.h"

typedef struct Domain {
    sd_event *event;
    char *directory;
    Ledger *ledger;
    Manager *manager;
    GPtrArray *news;
    GPtrArray *requests;
    uint64_t offset; /* of a job, as announced last */
} Domain;

typedef struct Request {
    unsigned n_answers;
    RefusalKind kind;
    char *text;
    Vm *vm; /* of an attached VM, else NULL */
} Request;

Domain *domain_new(void);
/* Ends the service: each request must have had its answer then, and exactly one. */
void domain_free(Domain *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Domain, domain_free)

/* A new process of the service, which knows what is on record; without VMs yet, and without news.
 */
void domain_restart(Domain *d);

/* The VM dials in and greets. Returns when it is published. */
Vm *domain_add_vm(Domain *d, FakeVm *f);
/* The VM's monitor is brought by root, and greets. Returns when it is published. */
Vm *domain_attach_vm(Domain *d, FakeVm *f, const char *name);
/* The disk, which must be there. */
Disk *domain_disk(Domain *d, const char *vm, const char *disk);

/* The domain owns the requests. */
Request *domain_attach(Domain *d, const char *name, int fd, uid_t uid);
Request *domain_detach(Domain *d, Vm *vm);
Request *domain_commit(Domain *d, Disk *disk, bool active);
Request *domain_pivot(Domain *d, Disk *disk);
Request *domain_abort(Domain *d, Disk *disk);
/* An argument of a DoneFunc for anything else. */
Request *domain_request(Domain *d);
void domain_done(const Refusal *refusal, void *request);

/* Waits for the answer; REFUSAL_NONE for yes. */
void domain_check_answer(Domain *d, Request *r, RefusalKind kind);
/* Waits until a line begins with the text. */
void domain_wait(Domain *d, const char *line);
/* Lines that begin with the text. */
unsigned domain_count(const Domain *d, const char *line);
/* All news since the last look, lines parted by ", ", are these. */
void domain_check_news(Domain *d, const char *expected);
/* The same after all that is ready has been done. */
void domain_check_quiet(Domain *d);
