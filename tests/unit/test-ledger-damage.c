/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image record when its directory is full, broken or tampered with: what cannot be written is
 * not believed, what cannot be read counts for nothing and harms nothing else.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ledger-group.h"
#include "ledger-maker.h"

/* Which fsync() from now on fails: 1 is the next, 0 none. That of a file comes before that of the
 * directory. */
static unsigned failing_fsync;

int fsync(int fd)
{
    if (failing_fsync > 0 && --failing_fsync == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fsync, fd);
}

static void put(const char *file, const char *bytes, size_t n)
{
    g_autoptr(GError) error = NULL;

    g_file_set_contents(file, bytes, (gssize)n, &error);
    g_assert_no_error(error);
}

static char *get(const char *file, size_t *ret_n)
{
    g_autoptr(GError) error = NULL;
    char *bytes;

    g_file_get_contents(file, &bytes, ret_n, &error);
    g_assert_no_error(error);
    return bytes;
}

/* A record of two disks; the file of the first, which is to be damaged. */
static char *make_two(Shelf *s)
{
    char *file;

    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    file = shelf_file(s);
    g_assert_cmpint(shelf_note(s, "web2", "i2", "/other /below"), ==, 0);
    return file;
}

/* The damaged file counts for nothing, is named in the log, and stays; the other disk's is whole.
 */
static void check_damaged(Shelf *s, const char *file, const char *bytes, size_t n)
{
    g_autofree char *name = g_path_get_basename(file);
    g_autofree char *log = NULL, *left = NULL;
    size_t n_left;

    put(file, bytes, n);
    log = shelf_reopen_log(s);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK));
    g_assert_nonnull(ledger_find(s->ledger, "web2", SHELF_DISK));
    g_assert_nonnull(strstr(log, name));
    left = get(file, &n_left);
    g_assert_cmpuint(n_left, ==, n);
    g_assert_true(memcmp(left, bytes, n) == 0);
}

static void test_cut(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    size_t n;
    g_autofree char *bytes = get(file, &n);

    for (size_t length = 0; length < n; length++)
        check_damaged(s, file, bytes, length);
    put(file, bytes, n);
    shelf_reopen(s);
    shelf_check(s, "web1", "active /top, base /base");
}

static void test_flipped(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    size_t n;
    g_autofree char *bytes = get(file, &n);

    for (size_t i = 0; i < n; i++) {
        bytes[i] = (char)~bytes[i];
        check_damaged(s, file, bytes, n);
        bytes[i] = (char)~bytes[i];
    }
    put(file, bytes, n);
    shelf_reopen(s);
    shelf_check(s, "web1", "active /top, base /base");
}

/* Each byte with each other value: without files, which would take minutes. */
static void test_any_other_byte(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    size_t n;
    g_autofree char *bytes = get(file, &n);
    LedgerGroup *g;

    for (size_t i = 0; i < n; i++)
        for (unsigned flip = 1; flip < 256; flip++) {
            bytes[i] = (char)(bytes[i] ^ (char)flip);
            if (ledger_group_from_text(bytes, n, &g) >= 0)
                g_error("byte %zu with 0x%02x is taken for whole", i, (unsigned char)bytes[i]);
            bytes[i] = (char)(bytes[i] ^ (char)flip);
        }
}

static void test_longer(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    size_t n;
    g_autofree char *bytes = get(file, &n);
    g_autofree char *longer = g_strdup_printf("%.*s ", (int)n, bytes);

    check_damaged(s, file, longer, n + 1);
    check_damaged(s, file, longer, 0);
}

static void test_too_large(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    g_autofree char *log = NULL;

    g_assert_cmpint(truncate(file, (off_t)LEDGER_FILE_MAX + 1), ==, 0);
    log = shelf_reopen_log(s);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK));
    g_assert_nonnull(ledger_find(s->ledger, "web2", SHELF_DISK));
    g_assert_cmpstr(log, !=, "");
}

/* A link, a pipe, a directory with the name of a record: not followed, not waited for. */
static void test_not_a_file(gconstpointer kind)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    g_autofree char *moved = g_strconcat(file, ".moved", NULL);
    g_autofree char *log = NULL;

    g_assert_cmpint(rename(file, moved), ==, 0);
    if (strcmp(kind, "link") == 0)
        g_assert_cmpint(symlink(moved, file), ==, 0);
    else if (strcmp(kind, "pipe") == 0)
        g_assert_cmpint(mkfifo(file, 0600), ==, 0);
    else
        g_assert_cmpint(mkdir(file, 0700), ==, 0);
    log = shelf_reopen_log(s);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK));
    g_assert_nonnull(ledger_find(s->ledger, "web2", SHELF_DISK));
    g_assert_cmpstr(log, !=, "");
}

/* What a write has left that a crash cut short. */
static void test_leftover(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    g_autofree char *new = g_strconcat(file, ".new", NULL);
    g_autofree char *log = NULL;

    put(new, "vmdisk-ledger 1 00", 18);
    log = shelf_reopen_log(s);
    g_assert_cmpstr(log, ==, "");
    shelf_check(s, "web1", "active /top, base /base");
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/new /top /base"), ==, 0);
    shelf_check(s, "web1", "active /new, base /top, base /base");
    g_assert_false(g_file_test(new, G_FILE_TEST_EXISTS));
}

/* The write fails: record and disk are as they were, and the next write succeeds. */
static void check_unwritten(Shelf *s, int error)
{
    g_assert_cmpint(shelf_pivot(s, "web1", "/base", false), ==, error);
}

static void check_as_before(Shelf *s)
{
    g_assert_null(ledger_find_stale(s->ledger, "web1", "/top"));
    shelf_check(s, "web1", "active /top, base /base");
    g_assert_cmpint(shelf_pivot(s, "web1", "/base", false), ==, 0);
    shelf_check(s, "web1", "stale /top > /base, active /base");
}

static void test_no_new_file(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = make_two(s);
    g_autofree char *new = g_strconcat(file, ".new", NULL);

    g_assert_cmpint(mkdir(new, 0700), ==, 0);
    check_unwritten(s, -EISDIR);
    g_assert_cmpint(rmdir(new), ==, 0);
    check_as_before(s);
}

/* The file system takes a part only. */
static void test_no_room(void)
{
    g_autoptr(Shelf) s = shelf_new();
    struct rlimit own, small;

    g_free(make_two(s));
    signal(SIGXFSZ, SIG_IGN);
    g_assert_cmpint(getrlimit(RLIMIT_FSIZE, &own), ==, 0);
    small = (struct rlimit){64, own.rlim_max};
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &small), ==, 0);
    check_unwritten(s, -EFBIG);
    g_assert_cmpint(setrlimit(RLIMIT_FSIZE, &own), ==, 0);
    check_as_before(s);
}

static void test_failed_sync(gconstpointer data)
{
    g_autoptr(Shelf) s = shelf_new();

    g_free(make_two(s));
    failing_fsync = GPOINTER_TO_UINT(data);
    check_unwritten(s, -EIO);
    check_as_before(s);
}

/* The first write for a disk: it says what is seen, so that it does no harm where it is found. */
static void test_failed_first_sync(gconstpointer data)
{
    g_autoptr(Shelf) s = shelf_new();

    failing_fsync = GPOINTER_TO_UINT(data);
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, -EIO);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK));
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger-damage/cut-at-every-byte", test_cut);
    g_test_add_func("/ledger-damage/every-byte-flipped", test_flipped);
    g_test_add_func("/ledger-damage/every-byte-with-every-value", test_any_other_byte);
    g_test_add_func("/ledger-damage/longer", test_longer);
    g_test_add_func("/ledger-damage/too-large", test_too_large);
    g_test_add_data_func("/ledger-damage/link", "link", test_not_a_file);
    g_test_add_data_func("/ledger-damage/pipe", "pipe", test_not_a_file);
    g_test_add_data_func("/ledger-damage/directory", "directory", test_not_a_file);
    g_test_add_func("/ledger-damage/leftover-of-a-write", test_leftover);
    g_test_add_func("/ledger-damage/no-new-file", test_no_new_file);
    g_test_add_func("/ledger-damage/no-room", test_no_room);
    g_test_add_data_func("/ledger-damage/failed-sync-of-file", GUINT_TO_POINTER(1),
                         test_failed_sync);
    g_test_add_data_func("/ledger-damage/failed-sync-of-directory", GUINT_TO_POINTER(2),
                         test_failed_sync);
    g_test_add_data_func("/ledger-damage/failed-first-sync-of-file", GUINT_TO_POINTER(1),
                         test_failed_first_sync);
    g_test_add_data_func("/ledger-damage/failed-first-sync-of-directory", GUINT_TO_POINTER(2),
                         test_failed_first_sync);
    return g_test_run();
}
