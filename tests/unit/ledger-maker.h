/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An image record in a directory of its own, and chains and records written as text.
 */
#pragma once

#include <glib.h>
#include <sys/types.h>

#include "ledger.h"

#define SHELF_DISK "vda"
/* Since then something is stale. */
#define SHELF_PIVOT_USEC 1700000000000000

/* File names, active one first, parted by one space. */
Chain *chain_of(const char *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Chain, chain_free)

typedef struct Shelf {
    char *dir;
    Ledger *ledger;
} Shelf;

Shelf *shelf_new(void);
void shelf_free(Shelf *s);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Shelf, shelf_free)

/* Reads the record again, as a new process does. */
void shelf_reopen(Shelf *s);
/* The same; what is logged meanwhile. */
char *shelf_reopen_log(Shelf *s);
/* ledger_note_chain() for disk SHELF_DISK. */
int shelf_note(Shelf *s, const char *vm, const char *instance, const char *files);
/* ledger_note_pivot(). */
int shelf_pivot(Shelf *s, const char *vm, const char *base, bool merging);
/* ledger_note_end(); files may be NULL. */
int shelf_end(Shelf *s, const char *vm, const char *instance, const char *files, bool merged,
              const char *job);
/* The images on record for the VM's SHELF_DISK: "STATE FILE[ > INSTEAD], …", in memory and on disk.
 */
void shelf_check(Shelf *s, const char *vm, const char *expected);
/* Path of the one file that there is. */
char *shelf_file(const Shelf *s);
/* Of that file: another one after each write. */
ino_t shelf_inode(const Shelf *s);
