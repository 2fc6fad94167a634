/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdisk-together 1 SUM
 * LENGTH
 * the file of one disk, so many bytes (ledger-group)
 * …
 *
 * SUM is of everything behind the first line.
 */
#include "ledger-together.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ledger-group.h"
#include "text.h"

#define NAME "together"
#define HEADER "vmdisk-together 1 "
#define HEADER_LENGTH (strlen(HEADER) + 16 + 1)

/* All records behind each other. The caller frees. */
static char *make_body(LedgerGroup *const *groups, size_t n)
{
    char *body = NULL;
    size_t size;
    bool whole = true;

    FILE *f = open_memstream(&body, &size);
    if (!f)
        return NULL;
    for (size_t i = 0; i < n && whole; i++) {
        _cleanup_(freep) char *text = ledger_group_to_text(groups[i]);

        whole = text && fprintf(f, "%zu\n%s", strlen(text), text) > 0;
    }
    if (fclose(f) != 0 || !whole) {
        free(body);
        return NULL;
    }
    return body;
}

/* The caller frees. */
static char *make_text(LedgerGroup *const *groups, size_t n)
{
    _cleanup_(freep) char *body = make_body(groups, n);

    return body ? text_format(HEADER "%016" PRIx64 "\n%s", text_hash(body, strlen(body)), body)
                : NULL;
}

int ledger_together_save(LedgerFiles *f, LedgerGroup *const *groups, size_t n)
{
    _cleanup_(freep) char *text = make_text(groups, n);

    return text ? ledger_file_write(f, NAME, text) : -ENOMEM;
}

int ledger_together_save_ahead(LedgerFiles *f, LedgerGroup *const *groups, size_t n)
{
    _cleanup_(freep) char *text = make_text(groups, n);

    return text ? ledger_file_write_ahead(f, NAME, text) : -ENOMEM;
}

static bool is_whole(const char *text, size_t n)
{
    char header[sizeof(HEADER) + 17];

    if (n <= HEADER_LENGTH)
        return false;
    (void)snprintf(header, sizeof(header), HEADER "%016" PRIx64 "\n",
                   text_hash(text + HEADER_LENGTH, n - HEADER_LENGTH));
    return memcmp(text, header, HEADER_LENGTH) == 0;
}

/* The next record; *at moves behind it. */
static int read_one(const char *text, size_t n, size_t *at, LedgerGroup **ret)
{
    char *end;
    size_t length = strtoul(text + *at, &end, 10);
    size_t begin = (size_t)(end - text) + 1;

    if (*end != '\n' || begin > n || length > n - begin)
        return -EBADMSG;
    *at = begin + length;
    return ledger_group_from_text(text + begin, length, ret);
}

int ledger_together_load(const LedgerFiles *f, int (*take)(LedgerGroup *g, void *userdata),
                         void *userdata)
{
    _cleanup_(freep) char *text = NULL;
    size_t n, at = HEADER_LENGTH;

    int r = ledger_file_read(f, NAME, &text, &n);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (!is_whole(text, n))
        return -EBADMSG;
    while (r >= 0 && at < n) {
        LedgerGroup *g;

        r = read_one(text, n, &at, &g);
        if (r >= 0)
            r = take(g, userdata);
    }
    return r < 0 ? r : 0;
}

int ledger_together_remove(const LedgerFiles *f)
{
    if (unlinkat(f->directory, NAME, 0) < 0 && errno != ENOENT)
        return -errno;
    return fsync(f->directory) < 0 ? -errno : 0;
}
