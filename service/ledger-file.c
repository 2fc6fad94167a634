/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger-file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "ledger-group.h"
#include "text.h"

#define SUFFIX ".ledger"

static char *group_file(const LedgerGroup *g)
{
    _cleanup_(freep) char *both = text_format("%s/%s", g->vm, g->disk);

    return both ? text_format("%016" PRIx64 SUFFIX, text_hash(both, strlen(both))) : NULL;
}

static int write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t written = write(fd, text, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -errno;
        text += written;
        n -= (size_t)written;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

static int write_new(int directory, const char *new, const char *text)
{
    _cleanup_(closep) int fd =
        openat(directory, new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;

    int r = write_all(fd, text, strlen(text));
    if (r < 0)
        (void)unlinkat(directory, new, 0);
    return r;
}

static void forget_ahead(LedgerFiles *f)
{
    free(TAKE_PTR(f->ahead_name));
    free(TAKE_PTR(f->ahead_text));
}

void ledger_files_done(LedgerFiles *f)
{
    forget_ahead(f);
    if (f->directory >= 0)
        close(f->directory);
    f->directory = -1;
}

static char *new_name(const char *name)
{
    return text_format("%s.new", name);
}

int ledger_file_write_ahead(LedgerFiles *f, const char *name, const char *text)
{
    _cleanup_(freep) char *new = new_name(name);
    if (!new)
        return -ENOMEM;

    forget_ahead(f);
    int r = write_new(f->directory, new, text);
    if (r < 0)
        return r;
    f->ahead_name = strdup(name);
    f->ahead_text = strdup(text);
    return 0;
}

/* All or nothing: a new file under another name, then the name; both are on the disk in the end. */
int ledger_file_write(LedgerFiles *f, const char *name, const char *text)
{
    _cleanup_(freep) char *new = new_name(name);
    bool same_name = text_equal(f->ahead_name, name);
    bool is_there = same_name && text_equal(f->ahead_text, text);
    if (!new)
        return -ENOMEM;

    if (same_name)
        forget_ahead(f);
    /* Somebody may have cleared up here. */
    bool done = is_there && renameat(f->directory, new, f->directory, name) == 0;
    int r = done ? 0 : write_new(f->directory, new, text);
    if (r < 0)
        return r;
    if (!done && renameat(f->directory, new, f->directory, name) < 0) {
        r = -errno;
        (void)unlinkat(f->directory, new, 0);
        return r;
    }
    return fsync(f->directory) < 0 ? -errno : 0;
}

int ledger_file_read(const LedgerFiles *f, const char *name, char **ret, size_t *ret_length)
{
    struct stat st;
    _cleanup_(closep) int fd =
        openat(f->directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_size > (off_t)LEDGER_FILE_MAX)
        return -EBADMSG;

    size_t n = (size_t)st.st_size, done = 0;
    _cleanup_(freep) char *text = malloc(n + 1);
    if (!text)
        return -ENOMEM;
    while (done < n) {
        ssize_t got = read(fd, text + done, n - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EBADMSG;
        done += (size_t)got;
    }
    text[n] = '\0';
    *ret = TAKE_PTR(text);
    *ret_length = n;
    return 0;
}

static int save(LedgerFiles *f, const LedgerGroup *g,
                int (*write_file)(LedgerFiles *f, const char *name, const char *text))
{
    _cleanup_(freep) char *text = ledger_group_to_text(g);
    _cleanup_(freep) char *name = group_file(g);

    return text && name ? write_file(f, name, text) : -ENOMEM;
}

int ledger_file_save(LedgerFiles *f, const LedgerGroup *g)
{
    return save(f, g, ledger_file_write);
}

int ledger_file_save_ahead(LedgerFiles *f, const LedgerGroup *g)
{
    return save(f, g, ledger_file_write_ahead);
}

int ledger_file_load(const LedgerFiles *f, const char *name, LedgerGroup **ret)
{
    _cleanup_(freep) char *text = NULL;
    size_t n;

    int r = ledger_file_read(f, name, &text, &n);
    return r < 0 ? r : ledger_group_from_text(text, n, ret);
}

void ledger_file_remove(const LedgerFiles *f, const LedgerGroup *g)
{
    _cleanup_(freep) char *name = group_file(g);

    if (name)
        (void)unlinkat(f->directory, name, 0);
}

bool ledger_file_is_name(const char *name)
{
    return text_has_suffix(name, SUFFIX);
}
