/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-together is the one file through which the records of several disks change at one instant:
 * what is in it counts more than the files of the disks, until those say the same and it goes.
 */
#pragma once

#include "ledger-file.h"

/* 0: it is on stable storage, whole. A negative errno leaves what was there before. */
int ledger_together_save(LedgerFiles *f, LedgerGroup *const *groups, size_t n);
/* As ledger_file_save_ahead(). */
int ledger_together_save_ahead(LedgerFiles *f, LedgerGroup *const *groups, size_t n);
/* Calls take for each record, which takes it also on failure. 0 also where there is no such file;
 * -EBADMSG: damaged, and nothing was taken. */
int ledger_together_load(const LedgerFiles *f, int (*take)(LedgerGroup *g, void *userdata),
                         void *userdata);
/* 0: it is gone for good. */
int ledger_together_remove(const LedgerFiles *f);
