/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The handover of several disks is on record all or none, wherever the writing is cut short.
 */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ledger-maker.h"

static char *together_file(const Shelf *s)
{
    return g_build_filename(s->dir, "together", NULL);
}

static int note(Shelf *s, const char *disk, const char *files)
{
    g_autoptr(Chain) chain = chain_of(files);
    g_autofree char *key = g_strconcat("qdev:", disk, NULL);
    const LedgerDisk d = {"web1", disk, "i1", &key, 1};

    return ledger_note_chain(s->ledger, &d, chain);
}

/* Two disks of web1, each with an overlay; and one of another VM. */
static Shelf *make_disks(void)
{
    Shelf *s = shelf_new();

    g_assert_cmpint(note(s, "vda", "/a1 /a0"), ==, 0);
    g_assert_cmpint(note(s, "vdb", "/b1 /b0"), ==, 0);
    g_assert_cmpint(shelf_note(s, "web2", "i2", "/c1 /c0"), ==, 0);
    return s;
}

static int pivot_both(Shelf *s)
{
    const LedgerPivot pivots[] = {{"vda", "/a0"}, {"vdb", "/b0"}};

    return ledger_note_pivots(s->ledger, "web1", pivots, G_N_ELEMENTS(pivots));
}

static void check(const Shelf *s, bool pivoted)
{
    g_assert_true((ledger_find_stale(s->ledger, "web1", "/a1") != NULL) == pivoted);
    g_assert_true((ledger_find_stale(s->ledger, "web1", "/b1") != NULL) == pivoted);
    g_assert_null(ledger_find_stale(s->ledger, "web2", "/c1"));
}

static void test_on_record(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autofree char *file = together_file(s);

    g_assert_cmpint(pivot_both(s), ==, 0);
    check(s, true);
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    shelf_reopen(s);
    check(s, true);
    /* It has done its service. */
    g_assert_false(g_file_test(file, G_FILE_TEST_EXISTS));
    shelf_reopen(s);
    check(s, true);
}

/* What is newer is in the files of the disks, and not undone by what was written together. */
static void test_newer_stays(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autofree char *file = together_file(s);

    g_assert_cmpint(pivot_both(s), ==, 0);
    g_assert_cmpint(note(s, "vda", "/a2 /a0"), ==, 0);
    g_assert_false(g_file_test(file, G_FILE_TEST_EXISTS));
    shelf_reopen(s);
    check(s, true);
    shelf_check(s, "web1", "active /a2, base /a0, stale /a1 > /a0");
}

static void test_cut(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autofree char *file = together_file(s), *bytes = NULL;
    g_autoptr(Shelf) before = make_disks();
    g_autofree char *copy = together_file(before);
    gsize n;

    g_assert_cmpint(pivot_both(s), ==, 0);
    g_assert_true(g_file_get_contents(file, &bytes, &n, NULL));
    for (gsize length = 0; length < n; length++) {
        g_autofree char *log = NULL;

        g_assert_true(g_file_set_contents(copy, bytes, (gssize)length, NULL));
        log = shelf_reopen_log(before);
        check(before, false);
        g_assert_nonnull(strstr(log, "together"));
    }
    g_assert_true(g_file_set_contents(copy, bytes, (gssize)n, NULL));
    shelf_reopen(before);
    check(before, true);
}

static void test_flipped(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autofree char *file = together_file(s), *bytes = NULL;
    g_autoptr(Shelf) before = make_disks();
    g_autofree char *copy = together_file(before);
    gsize n;

    g_assert_cmpint(pivot_both(s), ==, 0);
    g_assert_true(g_file_get_contents(file, &bytes, &n, NULL));
    for (gsize i = 0; i < n; i++) {
        bytes[i] = (char)~bytes[i];
        g_assert_true(g_file_set_contents(copy, bytes, (gssize)n, NULL));
        g_free(shelf_reopen_log(before));
        check(before, false);
        bytes[i] = (char)~bytes[i];
    }
}

static void test_cannot_be_written(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autofree char *new = g_build_filename(s->dir, "together.new", NULL);

    g_assert_cmpint(mkdir(new, 0700), ==, 0);
    g_assert_cmpint(pivot_both(s), ==, -EISDIR);
    check(s, false);
    g_assert_cmpint(rmdir(new), ==, 0);
    shelf_reopen(s);
    check(s, false);
    g_assert_cmpint(pivot_both(s), ==, 0);
    check(s, true);
}

static void test_unknown_disk(void)
{
    g_autoptr(Shelf) s = make_disks();
    const LedgerPivot pivots[] = {{"vda", "/a0"}, {"vdz", "/b0"}};
    const LedgerPivot no_base[] = {{"vda", "/a0"}, {"vdb", "/elsewhere"}};

    g_assert_cmpint(ledger_note_pivots(s->ledger, "web1", pivots, 2), ==, -ENOENT);
    g_assert_cmpint(ledger_note_pivots(s->ledger, "web1", no_base, 2), ==, -ENOENT);
    check(s, false);
    shelf_reopen(s);
    check(s, false);
}

/* Room is missing for the files of the disks: what was written together holds until there is. */
static void test_rest_cannot_be_written(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autofree char *file = together_file(s);
    g_autoptr(GDir) dir = g_dir_open(s->dir, 0, NULL);
    g_autoptr(GPtrArray) obstacles = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while ((name = g_dir_read_name(dir)))
        g_ptr_array_add(obstacles, g_strdup_printf("%s/%s.new", s->dir, name));
    g_assert_cmpint(pivot_both(s), ==, 0);
    for (unsigned i = 0; i < obstacles->len; i++)
        g_assert_cmpint(mkdir(obstacles->pdata[i], 0700), ==, 0);
    g_assert_cmpint(note(s, "vda", "/a2 /a0"), ==, -EISDIR);
    check(s, true);
    shelf_reopen(s);
    check(s, true);
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
    for (unsigned i = 0; i < obstacles->len; i++)
        g_assert_cmpint(rmdir(obstacles->pdata[i]), ==, 0);
    g_assert_cmpint(note(s, "vda", "/a2 /a0"), ==, 0);
    shelf_reopen(s);
    check(s, true);
    shelf_check(s, "web1", "active /a2, base /a0, stale /a1 > /a0");
}

/* That is no reason for another disk to wait. */
static void test_others_go_on(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *file = together_file(s);
    g_autoptr(GPtrArray) obstacles = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = NULL;
    const char *name;

    g_assert_cmpint(note(s, "vda", "/a1 /a0"), ==, 0);
    g_assert_cmpint(note(s, "vdb", "/b1 /b0"), ==, 0);
    dir = g_dir_open(s->dir, 0, NULL);
    while ((name = g_dir_read_name(dir)))
        g_ptr_array_add(obstacles, g_strdup_printf("%s/%s.new", s->dir, name));
    g_assert_cmpint(pivot_both(s), ==, 0);
    for (unsigned i = 0; i < obstacles->len; i++)
        g_assert_cmpint(mkdir(obstacles->pdata[i], 0700), ==, 0);

    g_assert_cmpint(shelf_note(s, "web2", "i2", "/c2 /c1 /c0"), ==, 0);
    g_assert_cmpint(shelf_note(s, "web3", "i3", "/d1 /d0"), ==, 0);
    g_assert_cmpint(ledger_forget(s->ledger, "/c0"), ==, 0);
    /* What is about these disks is not undone by what was written together. */
    g_assert_cmpint(note(s, "vdb", "/b2 /b0"), ==, -EISDIR);
    g_assert_cmpint(ledger_forget(s->ledger, "/b1"), ==, -EISDIR);
    shelf_reopen(s);
    check(s, true);
    shelf_check(s, "web2", "active /c2, base /c1");
    shelf_check(s, "web3", "active /d1, base /d0");
    g_assert_true(g_file_test(file, G_FILE_TEST_EXISTS));
}

/* The next handover cannot be written either; what is on record of the one before stays there. */
static void test_earlier_handover_outlives_a_failure(void)
{
    g_autoptr(Shelf) s = make_disks();
    g_autoptr(GDir) dir = g_dir_open(s->dir, 0, NULL);
    g_autoptr(GPtrArray) obstacles = g_ptr_array_new_with_free_func(g_free);
    const char *name;

    while ((name = g_dir_read_name(dir)))
        g_ptr_array_add(obstacles, g_strdup_printf("%s/%s.new", s->dir, name));
    g_assert_cmpint(pivot_both(s), ==, 0);
    for (unsigned i = 0; i < obstacles->len; i++)
        g_assert_cmpint(mkdir(obstacles->pdata[i], 0700), ==, 0);
    g_assert_cmpint(pivot_both(s), ==, -EISDIR);
    shelf_reopen(s);
    check(s, true);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger-together/on-record", test_on_record);
    g_test_add_func("/ledger-together/newer-stays", test_newer_stays);
    g_test_add_func("/ledger-together/cut-at-every-byte", test_cut);
    g_test_add_func("/ledger-together/each-byte-changed", test_flipped);
    g_test_add_func("/ledger-together/cannot-be-written", test_cannot_be_written);
    g_test_add_func("/ledger-together/unknown-disk", test_unknown_disk);
    g_test_add_func("/ledger-together/rest-cannot-be-written", test_rest_cannot_be_written);
    g_test_add_func("/ledger-together/others-go-on", test_others_go_on);
    g_test_add_func("/ledger-together/earlier-handover-outlives-a-failure",
                    test_earlier_handover_outlives_a_failure);
    return g_test_run();
}
