/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-id.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text.h"

#define ID_PREFIX "vmdisk-commit-"
#define ACTIVE_WORD "active"
#define BELOW_WORD "below"
#define READ_ONLY_WORD "ro"
#define READ_WRITE_WORD "rw"
#define CARRY_WORD "carry"
#define DROP_WORD "drop"

/* An id is made of letters, digits and "-._" (util/id.c); "-" parts our fields, so that everything
 * but letters and digits is written as _XX. The caller frees. */
static char *escape(const char *s)
{
    char *escaped = malloc(strlen(s) * 3 + 1), *out = escaped;

    for (; escaped && *s; s++)
        if (isascii((unsigned char)*s) && isalnum((unsigned char)*s))
            *out++ = *s;
        else
            out += sprintf(out, "_%02x", (unsigned char)*s);
    if (escaped)
        *out = '\0';
    return escaped;
}

static bool unescape(char *s)
{
    char *out = s;

    for (; *s; s++) {
        unsigned byte;

        if (*s != '_') {
            *out++ = *s;
            continue;
        }
        if (!isxdigit((unsigned char)s[1]) || !isxdigit((unsigned char)s[2]) ||
            sscanf(s + 1, "%2x", &byte) != 1 || byte == 0)
            return false;
        *out++ = (char)byte;
        s += 2;
    }
    *out = '\0';
    return true;
}

/* What QEMU takes as a node's name is ASCII; the bus would not take just any bytes. */
static bool is_node_name(const char *s)
{
    while (*s > ' ' && *s <= '~')
        s++;
    return *s == '\0';
}

char *commit_id_make(const CommitId *id)
{
    _cleanup_(freep) char *disk = escape(id->disk), *top = escape(id->top),
                          *base = escape(id->base);
    _cleanup_(freep) char *on_deadline = escape(job_on_deadline_to_string(id->on_deadline));

    if (!disk || !top || !base || !on_deadline)
        return NULL;
    return text_format(
        ID_PREFIX "%s-%s-%s-%s-%s-%u-%" PRIu64 "-%" PRIu64 "-%" PRIu64 "-%s-%s-%s-%s",
        id->active ? ACTIVE_WORD : BELOW_WORD,
        id->base_read_only ? READ_ONLY_WORD : READ_WRITE_WORD, job_on_ready_to_string(id->on_ready),
        job_on_error_to_string(id->on_error), id->drop_bitmaps ? DROP_WORD : CARRY_WORD,
        (unsigned)id->uid, id->started_usec, id->group, id->deadline_usec, on_deadline, disk, top,
        base);
}

CommitId *commit_id_free(CommitId *id)
{
    if (!id)
        return NULL;

    free(id->disk);
    free(id->top);
    free(id->base);
    free(id);
    return NULL;
}

/* Takes the fields apart, and is not strict about it. */
static int scan(const char *text, CommitId *id)
{
    char layer[8], mode[4], on_ready[8], on_error[8], bitmaps[8], on_deadline[24];
    int n =
        sscanf(text,
               ID_PREFIX "%7[a-z]-%3[a-z]-%7[a-z]-%7[a-z]-%7[a-z]-%u-%" SCNu64 "-%" SCNu64
                         "-%" SCNu64 "-%23[a-z0-9_]-%m[A-Za-z0-9_]-%m[A-Za-z0-9_]-%m[A-Za-z0-9_]",
               layer, mode, on_ready, on_error, bitmaps, &id->uid, &id->started_usec, &id->group,
               &id->deadline_usec, on_deadline, &id->disk, &id->top, &id->base);
    if (n != 13 || !unescape(on_deadline) || !unescape(id->disk) || !unescape(id->top) ||
        !unescape(id->base))
        return -EINVAL;

    id->active = strcmp(layer, ACTIVE_WORD) == 0;
    id->base_read_only = strcmp(mode, READ_ONLY_WORD) == 0;
    id->drop_bitmaps = strcmp(bitmaps, DROP_WORD) == 0;
    int r = job_on_ready_from_string(on_ready, &id->on_ready);
    if (r < 0)
        return r;
    r = job_on_error_from_string(on_error, &id->on_error);
    return r < 0 ? r : job_on_deadline_from_string(on_deadline, &id->on_deadline);
}

int commit_id_parse(const char *text, CommitId **ret)
{
    _cleanup_(commit_id_freep) CommitId *id = calloc(1, sizeof(CommitId));
    if (!id)
        return -ENOMEM;

    int r = scan(text, id);
    if (r < 0)
        return r;

    /* Ours is what we would write so: that is as strict as can be. */
    _cleanup_(freep) char *again = commit_id_make(id);
    if (!again)
        return -ENOMEM;
    if (strcmp(again, text) != 0 || !is_node_name(id->top) || !is_node_name(id->base))
        return -EINVAL;

    *ret = TAKE_PTR(id);
    return 0;
}
