/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ledger-file puts the record of a disk into a file, as a whole or not at all, and reads it back.
 * It knows nothing of what the records mean.
 */
#pragma once

#include <stdbool.h>

#include "ledger.h"

/* 0: it is on stable storage. A negative errno leaves what was there before. */
int ledger_file_save(int directory, const LedgerGroup *g);
/* -EBADMSG: damaged, or not ours. */
int ledger_file_load(int directory, const char *name, LedgerGroup **ret);
void ledger_file_remove(int directory, const LedgerGroup *g);
bool ledger_file_is_name(const char *name);

/* The same for any text. */
int ledger_file_write(int directory, const char *name, const char *text);
/* -EBADMSG: no regular file, or longer than LEDGER_FILE_MAX. NUL follows the text. */
int ledger_file_read(int directory, const char *name, char **ret, size_t *ret_length);
