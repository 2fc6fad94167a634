/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A record that is written ahead counts for nothing until it is put in its place, and is not
 * written a second time then.
 */
#include <glib.h>
#include <glib/gstdio.h>

#include "ledger-maker.h"

static const LedgerPivot pivot = {SHELF_DISK, "/base", SHELF_PIVOT_USEC};

static void prepare(Shelf *s)
{
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    g_assert_cmpint(ledger_prepare_pivot(s->ledger, "web1", &pivot), ==, 0);
}

static char *ahead_file(const Shelf *s)
{
    g_autofree char *file = shelf_file(s);

    return g_strconcat(file, ".new", NULL);
}

static void test_is_not_on_record(void)
{
    g_autoptr(Shelf) s = shelf_new();

    prepare(s);
    shelf_check(s, "web1", "active /top, base /base");
}

static void test_is_written_once(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *ahead = NULL;
    GStatBuf st;

    prepare(s);
    ahead = ahead_file(s);
    g_assert_cmpint(g_stat(ahead, &st), ==, 0);
    g_assert_cmpint(ledger_note_pivot(s->ledger, "web1", &pivot, false), ==, 0);
    g_assert_cmpuint(shelf_inode(s), ==, st.st_ino);
    shelf_check(s, "web1", "stale /top > /base, active /base");
}

/* What was on record when it was written is not what is now. */
static void test_record_changed_since(void)
{
    g_autoptr(Shelf) s = shelf_new();

    prepare(s);
    g_assert_cmpint(ledger_note_ready(s->ledger, "web1", SHELF_DISK, "j1"), ==, 0);
    g_assert_cmpint(ledger_note_pivot(s->ledger, "web1", &pivot, false), ==, 0);
    shelf_check(s, "web1", "stale /top > /base, active /base");
    g_assert_cmpstr(ledger_find(s->ledger, "web1", SHELF_DISK)->ready_job, ==, "j1");
}

static void test_for_nothing(void)
{
    g_autoptr(Shelf) s = shelf_new();

    prepare(s);
    g_assert_cmpint(ledger_note_abort(s->ledger, "web1", SHELF_DISK, "j1"), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
}

/* There is one; the other is written as if there were none. */
static void test_two_at_once(void)
{
    g_autoptr(Shelf) s = shelf_new();

    prepare(s);
    g_assert_cmpint(shelf_note(s, "web2", "i2", "/top2 /base2"), ==, 0);
    g_assert_cmpint(ledger_prepare_held(s->ledger, "web2", SHELF_DISK, "j2"), ==, 0);
    g_assert_cmpint(ledger_note_pivot(s->ledger, "web1", &pivot, false), ==, 0);
    g_assert_cmpint(ledger_note_held(s->ledger, "web2", SHELF_DISK, "j2"), ==, 0);
    shelf_check(s, "web1", "stale /top > /base, active /base");
    shelf_check(s, "web2", "active /top2, base /base2");
    g_assert_cmpstr(ledger_find(s->ledger, "web2", SHELF_DISK)->held_job, ==, "j2");
}

/* Somebody has cleared up in the directory. */
static void test_removed(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *ahead = NULL;

    prepare(s);
    ahead = ahead_file(s);
    g_assert_cmpint(g_unlink(ahead), ==, 0);
    g_assert_cmpint(ledger_note_pivot(s->ledger, "web1", &pivot, false), ==, 0);
    shelf_check(s, "web1", "stale /top > /base, active /base");
}

static void test_together(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autofree char *together = g_build_filename(s->dir, "together", NULL);
    g_autofree char *ahead = g_strconcat(together, ".new", NULL);
    GStatBuf before, after;

    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    g_assert_cmpint(ledger_prepare_pivots(s->ledger, "web1", &pivot, 1), ==, 0);
    g_assert_cmpint(g_stat(ahead, &before), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
    g_assert_cmpint(ledger_prepare_pivots(s->ledger, "web1", &pivot, 1), ==, 0);
    g_assert_cmpint(g_stat(ahead, &before), ==, 0);
    g_assert_cmpint(ledger_note_pivots(s->ledger, "web1", &pivot, 1), ==, 0);
    g_assert_cmpint(g_stat(together, &after), ==, 0);
    g_assert_cmpuint(after.st_ino, ==, before.st_ino);
    shelf_check(s, "web1", "stale /top > /base, active /base");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger-ahead/is-not-on-record", test_is_not_on_record);
    g_test_add_func("/ledger-ahead/is-written-once", test_is_written_once);
    g_test_add_func("/ledger-ahead/record-changed-since", test_record_changed_since);
    g_test_add_func("/ledger-ahead/for-nothing", test_for_nothing);
    g_test_add_func("/ledger-ahead/two-at-once", test_two_at_once);
    g_test_add_func("/ledger-ahead/removed", test_removed);
    g_test_add_func("/ledger-ahead/together", test_together);
    return g_test_run();
}
