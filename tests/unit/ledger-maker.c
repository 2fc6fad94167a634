/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ledger-maker.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "process.h"

Chain *chain_of(const char *files)
{
    g_auto(GStrv) words = g_strsplit(files, " ", -1);
    Chain *c = calloc(1, sizeof(Chain));

    c->n = *files ? g_strv_length(words) : 0;
    c->root = strdup("root");
    c->images = calloc(c->n + 1, sizeof(ChainImage));
    for (size_t i = 0; i < c->n; i++)
        c->images[i] = (ChainImage){
            .node = strdup(words[i]), .file = strdup(words[i]), .format = strdup("qcow2")};
    return c;
}

Shelf *shelf_new(void)
{
    Shelf *s = g_new0(Shelf, 1);

    /* In memory where that is possible: each write is flushed. */
    s->dir = g_build_filename(access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir(),
                              "vmdisk-ledger-XXXXXX", NULL);
    g_assert_nonnull(g_mkdtemp(s->dir));
    g_assert_cmpint(ledger_new(s->dir, &s->ledger), ==, 0);
    return s;
}

void shelf_free(Shelf *s)
{
    if (!s)
        return;
    ledger_free(s->ledger);
    g_free(process_run("rm", "-rf", "--", s->dir, NULL));
    g_free(s->dir);
    g_free(s);
}

void shelf_reopen(Shelf *s)
{
    s->ledger = ledger_free(s->ledger);
    g_assert_cmpint(ledger_new(s->dir, &s->ledger), ==, 0);
}

char *shelf_reopen_log(Shelf *s)
{
    const int own = dup(STDERR_FILENO), log = memfd_create("log", MFD_CLOEXEC);
    char text[4096];

    g_assert_cmpint(dup2(log, STDERR_FILENO), >=, 0);
    shelf_reopen(s);
    g_assert_cmpint(dup2(own, STDERR_FILENO), >=, 0);
    const ssize_t n = pread(log, text, sizeof(text) - 1, 0);
    g_assert_cmpint(n, >=, 0);
    text[n] = '\0';
    close(log);
    close(own);
    return g_strdup(text);
}

static LedgerDisk disk_of(const char *vm, const char *instance)
{
    static char key[] = "drive:d0";
    static char *const keys[] = {key};

    return (LedgerDisk){vm, SHELF_DISK, instance, keys, 1};
}

int shelf_note(Shelf *s, const char *vm, const char *instance, const char *files)
{
    g_autoptr(Chain) chain = chain_of(files);
    const LedgerDisk disk = disk_of(vm, instance);

    return ledger_note_chain(s->ledger, &disk, chain);
}

int shelf_pivot(Shelf *s, const char *vm, const char *base, bool merging)
{
    const LedgerPivot pivot = {SHELF_DISK, base, SHELF_PIVOT_USEC};

    return ledger_note_pivot(s->ledger, vm, &pivot, merging);
}

int shelf_end(Shelf *s, const char *vm, const char *instance, const char *files, bool merged,
              const char *job)
{
    g_autoptr(Chain) chain = files ? chain_of(files) : NULL;
    const LedgerDisk disk = disk_of(vm, instance);
    const LedgerJob last = {
        .id = (char *)job,
        .type = (char *)"commit",
        .result = (char *)"completed",
        .error = (char *)"an error",
        .message = (char *)"a \"text\"",
        .started_usec = 1,
        .finished_usec = UINT64_C(1) << 52,
    };

    return ledger_note_end(s->ledger, &disk, chain, merged, &last);
}

static void check_once(const Shelf *s, const char *vm, const char *expected)
{
    const LedgerGroup *g = ledger_find(s->ledger, vm, SHELF_DISK);
    g_autoptr(GString) found = g_string_new(NULL);

    g_assert_nonnull(g);
    for (size_t i = 0; i < g->n_images; i++) {
        const LedgerImage *image = &g->images[i];

        g_string_append_printf(found, "%s%s %s%s%s", i > 0 ? ", " : "",
                               ledger_state_to_string(image->state), image->file,
                               image->use_instead ? " > " : "",
                               image->use_instead ? image->use_instead : "");
    }
    g_assert_cmpstr(found->str, ==, expected);
}

void shelf_check(Shelf *s, const char *vm, const char *expected)
{
    check_once(s, vm, expected);
    shelf_reopen(s);
    check_once(s, vm, expected);
}

char *shelf_file(const Shelf *s)
{
    g_autoptr(GDir) dir = g_dir_open(s->dir, 0, NULL);
    const char *name;
    char *file = NULL;

    while ((name = g_dir_read_name(dir)))
        if (g_str_has_suffix(name, ".ledger")) {
            g_assert_null(file);
            file = g_build_filename(s->dir, name, NULL);
        }
    g_assert_nonnull(file);
    return file;
}

ino_t shelf_inode(const Shelf *s)
{
    g_autofree char *file = shelf_file(s);
    GStatBuf st;

    g_assert_cmpint(g_stat(file, &st), ==, 0);
    return st.st_ino;
}
