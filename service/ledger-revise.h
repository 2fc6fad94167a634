/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-revise makes the record of a disk from the one before and what is seen of the disk now. It
 * writes nothing.
 */
#pragma once

#include "ledger-group.h"

/* The name of an image that counts: of json:{…} that of the innermost file. The caller frees. */
char *ledger_image_key(const char *file);

/* The record with the chain as it is now; before is NULL for a new disk. */
int ledger_revise(const LedgerGroup *before, const LedgerDisk *disk, const Chain *chain,
                  LedgerGroup **ret);
/* The same at the end of a job; without a chain, the images as they are on record. */
int ledger_revise_end(const LedgerGroup *before, const LedgerDisk *disk, const Chain *chain,
                      bool merged, LedgerGroup **ret);
/* What lies above the base has been merged into it (stale), or is about to be (merging), since then
 * (CLOCK_REALTIME). -ENOENT: the base is not on record. */
int ledger_mark_merged(LedgerGroup *g, const char *base, LedgerState state, uint64_t since_usec);
