/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-file puts the record of a disk into a file, as a whole or not at all, and reads it back.
 * It knows nothing of what the records mean.
 */
#pragma once

#include <stdbool.h>

#include "ledger.h"

/* Where the files are. */
typedef struct LedgerFiles {
    int directory;
    /* The file that was written ahead last, and what is in it; NULL for none. */
    char *ahead_name, *ahead_text;
} LedgerFiles;

void ledger_files_done(LedgerFiles *f);

/* 0: it is on stable storage. A negative errno leaves what was there before. */
int ledger_file_save(LedgerFiles *f, const LedgerGroup *g);
/* All of that but the last step, which is left to a ledger_file_save() of the same: nobody reads it
 * before. Nothing comes of it where something else is written first. */
int ledger_file_save_ahead(LedgerFiles *f, const LedgerGroup *g);
/* -EBADMSG: damaged, or not ours. */
int ledger_file_load(const LedgerFiles *f, const char *name, LedgerGroup **ret);
void ledger_file_remove(const LedgerFiles *f, const LedgerGroup *g);
bool ledger_file_is_name(const char *name);

/* The same for any text. */
int ledger_file_write(LedgerFiles *f, const char *name, const char *text);
int ledger_file_write_ahead(LedgerFiles *f, const char *name, const char *text);
/* -EBADMSG: no regular file, or longer than LEDGER_FILE_MAX. NUL follows the text. */
int ledger_file_read(const LedgerFiles *f, const char *name, char **ret, size_t *ret_length);
