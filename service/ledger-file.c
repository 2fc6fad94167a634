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

/* All or nothing: a new file under another name, then the name; both are on the disk in the end. */
int ledger_file_write(int directory, const char *name, const char *text)
{
    _cleanup_(freep) char *new = text_format("%s.new", name);
    if (!new)
        return -ENOMEM;

    _cleanup_(closep) int fd =
        openat(directory, new, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;

    int r = write_all(fd, text, strlen(text));
    if (r >= 0 && renameat(directory, new, directory, name) < 0)
        r = -errno;
    if (r < 0) {
        (void)unlinkat(directory, new, 0);
        return r;
    }
    return fsync(directory) < 0 ? -errno : 0;
}

int ledger_file_read(int directory, const char *name, char **ret, size_t *ret_length)
{
    struct stat st;
    _cleanup_(closep) int fd =
        openat(directory, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
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

int ledger_file_save(int directory, const LedgerGroup *g)
{
    _cleanup_(freep) char *text = ledger_group_to_text(g);
    _cleanup_(freep) char *name = group_file(g);

    return text && name ? ledger_file_write(directory, name, text) : -ENOMEM;
}

int ledger_file_load(int directory, const char *name, LedgerGroup **ret)
{
    _cleanup_(freep) char *text = NULL;
    size_t n;

    int r = ledger_file_read(directory, name, &text, &n);
    return r < 0 ? r : ledger_group_from_text(text, n, ret);
}

void ledger_file_remove(int directory, const LedgerGroup *g)
{
    _cleanup_(freep) char *name = group_file(g);

    if (name)
        (void)unlinkat(directory, name, 0);
}

bool ledger_file_is_name(const char *name)
{
    return text_has_suffix(name, SUFFIX);
}
