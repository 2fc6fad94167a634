/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Runs a fuzz target on every file of the directory that is its argument, without libFuzzer: what
 * was found once stays found, with any compiler.
 */
#include <glib.h>

#include "fuzz.h"

static void replay_file(gconstpointer data)
{
    const char *path = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *content = NULL;
    gsize size;

    if (!g_file_get_contents(path, &content, &size, &error))
        g_error("%s", error->message);
    g_assert_cmpint(LLVMFuzzerTestOneInput((const uint8_t *)content, size), ==, 0);
}

static void add_files(const char *path)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(path, 0, &error);
    const char *name;
    unsigned n = 0;

    if (!dir)
        g_error("%s", error->message);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *test = g_strdup_printf("/replay/%s", name);

        g_test_add_data_func_full(test, g_build_filename(path, name, NULL), replay_file, g_free);
        n++;
    }
    if (n == 0)
        g_error("%s is empty", path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (argc != 2)
        g_error("One argument is needed: the directory of the inputs");
    add_files(argv[1]);
    return g_test_run();
}
