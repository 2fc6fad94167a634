/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The image record: what it says after each thing that is noted, and after each of them when it is
 * read again.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <string.h>

#include "cleanup.h"
#include "ledger-maker.h"

static void test_empty(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_null(ledger_next(s->ledger, NULL));
    g_assert_null(ledger_find(s->ledger, "web1", "vda"));
    g_assert_null(ledger_find_stale(s->ledger, "web1", "/a"));
    g_assert_null(ledger_find_instance(s->ledger, "i1"));
    g_assert_cmpint(ledger_forget(s->ledger, "/a"), ==, -ENOENT);
}

static void test_no_directory(void)
{
    Ledger *l;

    g_assert_cmpint(ledger_new("/nonexistent/directory", &l), ==, -ENOENT);
}

static void test_chain(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /mid /base"), ==, 0);
    shelf_check(s, "web1", "active /top, base /mid, base /base");
    g_assert_cmpstr(ledger_find_instance(s->ledger, "i1"), ==, "web1");
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/new /top /mid /base"), ==, 0);
    shelf_check(s, "web1", "active /new, base /top, base /mid, base /base");
}

/* An empty drive says nothing of the images that were in it. */
static void test_empty_chain(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    g_assert_cmpint(shelf_note(s, "web1", "i1", ""), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
}

static void test_nothing_changed(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    const LedgerImage before = ledger_find(s->ledger, "web1", SHELF_DISK)->images[0];
    const ino_t inode = shelf_inode(s);
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    g_assert_cmpuint(shelf_inode(s), ==, inode);
    g_assert_cmpuint(ledger_find(s->ledger, "web1", SHELF_DISK)->images[0].since_usec, ==,
                     before.since_usec);
}

static void test_pivot(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /mid /base");
    g_assert_cmpint(shelf_pivot(s, "web1", "/base", false), ==, 0);
    shelf_check(s, "web1", "stale /top > /base, stale /mid > /base, active /base");
    /* The graph shows the same. */
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/base"), ==, 0);
    shelf_check(s, "web1", "active /base, stale /top > /base, stale /mid > /base");
    g_assert_cmpstr(ledger_find_stale(s->ledger, "web1", "/top")->use_instead, ==, "/base");
    g_assert_null(ledger_find_stale(s->ledger, "web1", "/base"));
}

static void test_pivot_of_what_is_unknown(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(shelf_pivot(s, "web1", "/base", false), ==, -ENOENT);
    shelf_note(s, "web1", "i1", "/top /base");
    g_assert_cmpint(shelf_pivot(s, "web1", "/other", false), ==, -ENOENT);
    shelf_check(s, "web1", "active /top, base /base");
}

/* Refused at the barrier: the graph shows the overlay, which is the image to boot again. */
static void test_pivot_taken_back(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", false);
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
    g_assert_null(ledger_find_stale(s->ledger, "web1", "/top"));
}

static void test_merging(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    g_assert_cmpint(shelf_pivot(s, "web1", "/base", true), ==, 0);
    shelf_check(s, "web1", "merging /top > /base, base /base");
    g_assert_cmpint(ledger_find_stale(s->ledger, "web1", "/top")->state, ==, LEDGER_MERGING);
    /* Another process may not start from it: nobody knows. */
    g_assert_cmpint(shelf_note(s, "web1", "i2", "/top /base"), ==, -ESTALE);
}

static void test_end(gconstpointer data)
{
    const bool merged = GPOINTER_TO_INT(data);
    g_autoptr(Shelf) s = shelf_new();
    const LedgerGroup *g;

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", true);
    g_assert_cmpint(shelf_end(s, "web1", "i1", merged ? "/base" : "/top /base", merged, "j1"), ==,
                    0);
    shelf_check(s, "web1", merged ? "active /base, stale /top > /base" : "active /top, base /base");
    g = ledger_find(s->ledger, "web1", SHELF_DISK);
    g_assert_cmpstr(g->last.id, ==, "j1");
    g_assert_cmpstr(g->last.result, ==, "completed");
    g_assert_cmpstr(g->last.error, ==, "an error");
    g_assert_cmpstr(g->last.message, ==, "a \"text\"");
    g_assert_cmpuint(g->last.started_usec, ==, 1);
    g_assert_cmpuint(g->last.finished_usec, ==, UINT64_C(1) << 52);
}

/* QEMU is gone, and nobody can see what the handover has come to: what it has put on record holds.
 */
static void test_end_unseen(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", false);
    g_assert_cmpint(shelf_end(s, "web1", "i1", NULL, false, "j1"), ==, 0);
    shelf_check(s, "web1", "stale /top > /base, active /base");
    g_assert_cmpstr(ledger_find(s->ledger, "web1", SHELF_DISK)->last.id, ==, "j1");
}

static void test_ready_and_last_job_are_kept(void)
{
    g_autoptr(Shelf) s = shelf_new();
    const LedgerGroup *g;

    g_assert_cmpint(ledger_note_ready(s->ledger, "web1", SHELF_DISK, "j2"), ==, -ENOENT);
    shelf_note(s, "web1", "i1", "/top /base");
    shelf_end(s, "web1", "i1", "/top /base", false, "j1");
    g_assert_cmpint(ledger_note_ready(s->ledger, "web1", SHELF_DISK, "j2"), ==, 0);
    shelf_note(s, "web1", "i1", "/new /top /base");
    shelf_pivot(s, "web1", "/base", false);
    shelf_reopen(s);
    g = ledger_find(s->ledger, "web1", SHELF_DISK);
    g_assert_cmpstr(g->ready_job, ==, "j2");
    g_assert_cmpstr(g->last.id, ==, "j1");
}

/* A throttle is a matter of one process of QEMU. */
static void test_throttle_ends_with_the_process(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(ledger_note_throttle(s->ledger, "web1", SHELF_DISK, "{}"), ==, -ENOENT);
    shelf_note(s, "web1", "i1", "/top /base");
    g_assert_cmpint(ledger_note_throttle(s->ledger, "web1", SHELF_DISK, "{}"), ==, 0);
    shelf_note(s, "web1", "i1", "/new /top /base");
    shelf_end(s, "web1", "i1", "/new /top /base", false, "j1");
    shelf_end(s, "web1", "i1", NULL, false, "j2");
    shelf_reopen(s);
    g_assert_cmpstr(ledger_find(s->ledger, "web1", SHELF_DISK)->throttle, ==, "{}");
    shelf_note(s, "web1", "i2", "/new /top /base");
    shelf_reopen(s);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK)->throttle);
}

static void test_abort_is_kept_until_taken_back(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(ledger_note_abort(s->ledger, "web1", SHELF_DISK, "j1"), ==, -ENOENT);
    shelf_note(s, "web1", "i1", "/top /base");
    g_assert_cmpint(ledger_note_abort(s->ledger, "web1", SHELF_DISK, "j1"), ==, 0);
    shelf_note(s, "web1", "i1", "/new /top /base");
    shelf_reopen(s);
    g_assert_cmpstr(ledger_find(s->ledger, "web1", SHELF_DISK)->abort_job, ==, "j1");
    g_assert_cmpint(ledger_note_abort(s->ledger, "web1", SHELF_DISK, NULL), ==, 0);
    shelf_reopen(s);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK)->abort_job);
}

static void test_wish_is_kept_until_taken_back(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(ledger_note_wish(s->ledger, "web1", SHELF_DISK, "j1"), ==, -ENOENT);
    shelf_note(s, "web1", "i1", "/top /base");
    g_assert_cmpint(ledger_note_wish(s->ledger, "web1", SHELF_DISK, "j1"), ==, 0);
    g_assert_cmpint(ledger_note_held(s->ledger, "web1", SHELF_DISK, "j2"), ==, 0);
    g_assert_cmpint(ledger_note_ready(s->ledger, "web1", SHELF_DISK, "j1"), ==, 0);
    shelf_note(s, "web1", "i1", "/new /top /base");
    shelf_reopen(s);
    g_assert_cmpstr(ledger_find(s->ledger, "web1", SHELF_DISK)->pivot_job, ==, "j1");
    g_assert_cmpstr(ledger_find(s->ledger, "web1", SHELF_DISK)->held_job, ==, "j2");
    g_assert_cmpint(ledger_note_wish(s->ledger, "web1", SHELF_DISK, NULL), ==, 0);
    shelf_reopen(s);
    g_assert_null(ledger_find(s->ledger, "web1", SHELF_DISK)->pivot_job);
}

/* An overlay's name is used again, by the process that was seen before: it is believed. */
static void test_same_process_is_believed(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", false);
    shelf_note(s, "web1", "i1", "/base");
    g_assert_cmpint(shelf_note(s, "web1", "i1", "/top /base"), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
}

static void test_other_process_is_not(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", false);
    shelf_note(s, "web1", "i1", "/base");
    g_assert_cmpint(shelf_note(s, "web1", "i2", "/top /base"), ==, -ESTALE);
    /* Nor where the stale image is below another one. */
    g_assert_cmpint(shelf_note(s, "web1", "i2", "/new /top /base"), ==, -ESTALE);
    shelf_check(s, "web1", "active /base, stale /top > /base");
    g_assert_cmpint(shelf_note(s, "web1", "i2", "/base"), ==, 0);
    shelf_check(s, "web1", "active /base, stale /top > /base");
}

static void test_stale_under_another_name(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", false);
    g_assert_nonnull(ledger_find_stale(s->ledger, "web2", "/top"));
    g_assert_cmpint(shelf_note(s, "web2", "i2", "/top /base"), ==, -ESTALE);
}

static void test_relative_names(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "top base");
    shelf_pivot(s, "web1", "base", false);
    g_assert_nonnull(ledger_find_stale(s->ledger, "web1", "top"));
    g_assert_null(ledger_find_stale(s->ledger, "web2", "top"));
    g_assert_cmpint(shelf_note(s, "web2", "i2", "top base"), ==, 0);
}

/* The name of a json:{…} is the file's in it, however deep. */
static void test_json_names(void)
{
    g_autoptr(Shelf) s = shelf_new();
    const char *flat = "json:{\"driver\":\"file\",\"filename\":\"/top\"}";
    const char *deep = "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"throttle\",\"file\":"
                       "{\"driver\":\"file\",\"filename\":\"/top\"}}}";
    g_autofree char *chain = g_strdup_printf("%s /base", deep);

    g_assert_cmpint(shelf_note(s, "web1", "i1", chain), ==, 0);
    shelf_check(s, "web1", "active /top, base /base");
    shelf_pivot(s, "web1", "/base", false);
    g_assert_nonnull(ledger_find_stale(s->ledger, "web2", flat));
    g_assert_nonnull(ledger_find_stale(s->ledger, "web2", deep));
    /* Nothing in it is a file, or it is no JSON: it is its own name. */
    g_assert_cmpint(shelf_note(s, "web3", "i3", "json:{\"driver\":\"null-co\"} json:{"), ==, 0);
    shelf_check(s, "web3", "active json:{\"driver\":\"null-co\"}, base json:{");
    g_assert_cmpint(ledger_forget(s->ledger, flat), ==, 0);
    shelf_check(s, "web1", "active /base");
}

/* An image that was opened by options has all that is below it in its name. */
static void test_json_name_of_long_chain(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autoptr(GString) name = g_string_new("json:");

    for (unsigned i = 0; i < 200; i++)
        g_string_append(name, "{\"backing\":");
    g_string_append(name, "null");
    for (unsigned i = 200; i-- > 0;)
        g_string_append_printf(name, ",\"file\":{\"driver\":\"file\",\"filename\":\"/%u\"}}", i);
    g_string_append(name, " /base");
    g_assert_cmpint(shelf_note(s, "web1", "i1", name->str), ==, 0);
    shelf_check(s, "web1", "active /0, base /base");
}

static void test_strange_names(void)
{
    g_autoptr(Shelf) s = shelf_new();

    g_assert_cmpint(shelf_note(s, "w/e b\"1\n", "i1", "/t\303\266p\t\"\\\001 /b\302\240se"), ==, 0);
    shelf_reopen(s);
    shelf_check(s, "w/e b\"1\n", "active /t\303\266p\t\"\\\001, base /b\302\240se");
}

static void test_superseded(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "old", "i1", "/top /base");
    g_assert_cmpint(shelf_note(s, "new", "i2", "/top /base"), ==, 0);
    g_assert_null(ledger_find(s->ledger, "old", SHELF_DISK));
    shelf_check(s, "new", "active /top, base /base");
}

/* What the VM of the old name had merged stays known. */
static void test_superseded_keeps_stale(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "old", "i1", "/top /mid /base");
    shelf_pivot(s, "old", "/mid", false);
    shelf_note(s, "old", "i1", "/mid /base");
    g_assert_cmpint(shelf_note(s, "new", "i2", "/mid /base"), ==, 0);
    shelf_check(s, "old", "stale /top > /mid");
    g_assert_cmpint(shelf_note(s, "new", "i3", "/top /mid /base"), ==, -ESTALE);
}

static const LedgerGroup *overlay_above_base(const Shelf *s, const char *vm, const char *disk,
                                             const Chain *chain)
{
    return ledger_find_overlay(s->ledger, vm, disk, chain, chain->images[chain->n - 1].file);
}

static void test_overlay_of_another(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autoptr(Chain) other = chain_of("/other /base");
    g_autoptr(Chain) same = chain_of("/top /base");
    g_autoptr(Chain) free_base = chain_of("/other /free");

    shelf_note(s, "web1", "i1", "/top /base");
    g_assert_cmpstr(overlay_above_base(s, "web2", SHELF_DISK, other)->vm, ==, "web1");
    g_assert_cmpstr(overlay_above_base(s, "web1", "vdb", other)->vm, ==, "web1");
    g_assert_null(overlay_above_base(s, "web1", SHELF_DISK, other));
    g_assert_null(overlay_above_base(s, "web2", SHELF_DISK, same));
    g_assert_null(overlay_above_base(s, "web2", SHELF_DISK, free_base));
    ledger_forget(s->ledger, "/top");
    g_assert_null(overlay_above_base(s, "web2", SHELF_DISK, other));
}

/* QEMU's names of one base that two overlays reach from their own directories. */
static void test_overlay_by_another_way(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autoptr(Chain) chain = chain_of("/vm/web2/top /vm/web2/../base/b");

    shelf_note(s, "web1", "i1", "/vm/web1/top /vm/web1/../base/b");
    g_assert_cmpstr(overlay_above_base(s, "web2", SHELF_DISK, chain)->vm, ==, "web1");
    shelf_pivot(s, "web1", "/vm/base/b", false);
    g_assert_nonnull(ledger_find_stale(s->ledger, "web3", "/vm/web3/../web1/top"));
}

/* What is below the image that is written to does not matter, and what is above it does. */
static void test_overlay_above_middle(void)
{
    g_autoptr(Shelf) s = shelf_new();
    g_autoptr(Chain) chain = chain_of("/top /mid /base");

    shelf_note(s, "web1", "i1", "/other /base");
    g_assert_null(ledger_find_overlay(s->ledger, "web2", SHELF_DISK, chain, "/mid"));
    shelf_note(s, "web1", "i1", "/other /mid /base");
    g_assert_cmpstr(ledger_find_overlay(s->ledger, "web2", SHELF_DISK, chain, "/mid")->vm, ==,
                    "web1");
}

static void test_forget(void)
{
    g_autoptr(Shelf) s = shelf_new();

    shelf_note(s, "web1", "i1", "/top /base");
    shelf_pivot(s, "web1", "/base", false);
    g_assert_cmpint(ledger_forget(s->ledger, "/top"), ==, 0);
    shelf_check(s, "web1", "active /base");
    g_assert_cmpint(shelf_note(s, "web1", "i2", "/top /base"), ==, 0);
    g_assert_cmpint(ledger_forget(s->ledger, "/top"), ==, 0);
    g_assert_cmpint(ledger_forget(s->ledger, "/base"), ==, 0);
    g_assert_null(ledger_next(s->ledger, NULL));
    shelf_reopen(s);
    g_assert_null(ledger_next(s->ledger, NULL));
}

static void test_next(void)
{
    g_autoptr(Shelf) s = shelf_new();
    const LedgerGroup *g = NULL;

    shelf_note(s, "a", "i1", "/1");
    shelf_note(s, "b", "i2", "/2");
    shelf_note(s, "c", "i3", "/3");
    for (unsigned i = 0; i < 3; i++) {
        g = ledger_next(s->ledger, g);
        g_assert_nonnull(g);
        g_assert_cmpint(g->vm[0], ==, 'a' + (int)i);
    }
    g_assert_null(ledger_next(s->ledger, g));
}

static void test_many_stale(void)
{
    g_autoptr(Shelf) s = shelf_new();
    const LedgerGroup *g;

    for (unsigned i = 0; i < LEDGER_STALE_MAX + 10; i++) {
        g_autofree char *chain = g_strdup_printf("/overlay%u /base", i);

        g_assert_cmpint(shelf_note(s, "web1", "i1", chain), ==, 0);
        g_assert_cmpint(shelf_pivot(s, "web1", "/base", false), ==, 0);
    }
    shelf_note(s, "web1", "i1", "/base");
    g = ledger_find(s->ledger, "web1", SHELF_DISK);
    g_assert_cmpuint(g->n_images, ==, LEDGER_STALE_MAX + 1);
    g_assert_null(ledger_find_stale(s->ledger, "web1", "/overlay0"));
    g_assert_nonnull(ledger_find_stale(s->ledger, "web1", "/overlay265"));
}

static void test_state_words(void)
{
    LedgerState found;

    for (unsigned i = 0; i < LEDGER_STATE_MAX_; i++) {
        g_assert_cmpint(ledger_state_from_string(ledger_state_to_string((LedgerState)i), &found),
                        ==, 0);
        g_assert_cmpuint(found, ==, i);
    }
    g_assert_cmpint(ledger_state_from_string("", &found), ==, -EINVAL);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/empty", test_empty);
    g_test_add_func("/ledger/no-directory", test_no_directory);
    g_test_add_func("/ledger/chain", test_chain);
    g_test_add_func("/ledger/chain-of-nothing", test_empty_chain);
    g_test_add_func("/ledger/nothing-changed-nothing-written", test_nothing_changed);
    g_test_add_func("/ledger/pivot", test_pivot);
    g_test_add_func("/ledger/pivot-of-what-is-unknown", test_pivot_of_what_is_unknown);
    g_test_add_func("/ledger/pivot-taken-back", test_pivot_taken_back);
    g_test_add_func("/ledger/merging", test_merging);
    g_test_add_data_func("/ledger/end-merged", GINT_TO_POINTER(1), test_end);
    g_test_add_data_func("/ledger/end-kept", GINT_TO_POINTER(0), test_end);
    g_test_add_func("/ledger/end-unseen", test_end_unseen);
    g_test_add_func("/ledger/ready-and-last-job-are-kept", test_ready_and_last_job_are_kept);
    g_test_add_func("/ledger/throttle-ends-with-the-process", test_throttle_ends_with_the_process);
    g_test_add_func("/ledger/abort-is-kept-until-taken-back", test_abort_is_kept_until_taken_back);
    g_test_add_func("/ledger/wish-is-kept-until-taken-back", test_wish_is_kept_until_taken_back);
    g_test_add_func("/ledger/same-process-is-believed", test_same_process_is_believed);
    g_test_add_func("/ledger/other-process-is-not", test_other_process_is_not);
    g_test_add_func("/ledger/stale-under-another-name", test_stale_under_another_name);
    g_test_add_func("/ledger/names/relative", test_relative_names);
    g_test_add_func("/ledger/names/json", test_json_names);
    g_test_add_func("/ledger/json-name-of-long-chain", test_json_name_of_long_chain);
    g_test_add_func("/ledger/names/strange", test_strange_names);
    g_test_add_func("/ledger/superseded", test_superseded);
    g_test_add_func("/ledger/superseded-keeps-stale", test_superseded_keeps_stale);
    g_test_add_func("/ledger/overlay-of-another", test_overlay_of_another);
    g_test_add_func("/ledger/overlay-by-another-way", test_overlay_by_another_way);
    g_test_add_func("/ledger/overlay-above-middle", test_overlay_above_middle);
    g_test_add_func("/ledger/forget", test_forget);
    g_test_add_func("/ledger/next", test_next);
    g_test_add_func("/ledger/many-stale", test_many_stale);
    g_test_add_func("/ledger/state-words", test_state_words);
    return g_test_run();
}
