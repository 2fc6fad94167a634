/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Any bytes as a file of the image record, as they are and behind a sum that is right: what is
 * understood is written and understood again as the same.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "ledger-group.h"
#include "text.h"

static void try(const char *text, size_t n)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = NULL, *again = NULL;

    if (ledger_group_from_text(text, n, &g) < 0)
        return;

    _cleanup_(freep) char *first = ledger_group_to_text(g);
    if (!first || ledger_group_from_text(first, strlen(first), &again) < 0)
        abort();
    _cleanup_(freep) char *second = ledger_group_to_text(again);
    if (!second || strcmp(first, second) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    /* With a NUL behind it, as ledger_file_load() gives it. */
    char *text = malloc(n + 1);
    char *whole = NULL;
    size_t size;
    if (!text)
        abort();
    memcpy(text, data, n);
    text[n] = '\0';
    try(text, n);

    FILE *file = open_memstream(&whole, &size);
    if (!file)
        abort();
    fprintf(file, "vmdisk-ledger 1 %016" PRIx64 "\n", text_hash(text, n));
    fwrite(text, 1, n, file);
    fclose(file);
    try(whole, size);
    free(whole);
    free(text);
    return 0;
}
