/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-group is the record of one disk: its life in memory, and its text in a file with a sum
 * that tells whether it is whole. It opens no file.
 */
#pragma once

#include "ledger.h"

LedgerGroup *ledger_group_new(const char *vm, const char *disk, const char *instance);
LedgerGroup *ledger_group_copy(const LedgerGroup *g);
LedgerGroup *ledger_group_free(LedgerGroup *g);
DEFINE_CLEANUP(LedgerGroup, ledger_group_free)

/* The image to boot; NULL where none is on record. */
const LedgerImage *ledger_group_find_active(const LedgerGroup *g);
LedgerImage *ledger_group_find(const LedgerGroup *g, const char *file);
/* Appends; use_instead may be NULL. 0 or -ENOMEM. */
int ledger_group_add(LedgerGroup *g, const char *file, LedgerState state, uint64_t since_usec,
                     const char *use_instead);
void ledger_group_remove(LedgerGroup *g, const LedgerImage *image);

/* 0 or -ENOMEM. */
int ledger_group_add_key(LedgerGroup *g, const char *key);
/* Takes a copy; a job without id empties it. 0 or -ENOMEM. */
int ledger_group_set_last(LedgerGroup *g, const LedgerJob *last);

/* The whole file; the caller frees. NULL without memory. */
char *ledger_group_to_text(const LedgerGroup *g);
/* -EBADMSG: not whole, or not ours. */
int ledger_group_from_text(const char *text, size_t n, LedgerGroup **ret);
