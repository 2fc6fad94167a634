/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of ledger share: the struct, and how a record is put in the place of another.
 */
#pragma once

#include "ledger-file.h"
#include "ledger-group.h"

struct Ledger {
    LedgerFiles files;
    LedgerGroup **groups;
    size_t n;
    bool together; /* some groups are on record together, and unsaved */
};

/* Where the record of the disk is among the groups; n for none. */
size_t ledger_find_index(const Ledger *l, const char *vm, const char *disk);
/* Writes the record, then puts it in the place of the one before. Takes it on success. */
int ledger_replace(Ledger *l, LedgerGroup *g);
void ledger_drop_at(Ledger *l, size_t i);
/* What is on record together goes into the files of the disks: before that, nothing newer of these
 * disks may. Others need not wait for it. */
int ledger_settle_together(Ledger *l);
/* Puts the record, which is on disk already, in the place of the one before; takes it. */
int ledger_install_unsaved(LedgerGroup *g, void *ledger);
/* Whether the name means the same file to every VM. */
bool ledger_is_absolute(const char *file);
