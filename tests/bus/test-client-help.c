/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl --help, the manual and the completion of the shell say the same of verbs and options;
 * and who mistypes one learns where they are.
 */
#include <string.h>

#include "client-fixture.h"
#include "process.h"

#define DONE 0
#define USAGE 2

/* Whoever adds a verb adds it to the manual and to the completion as well. */
static void test_every_verb_is_documented(ClientFixture *f, gconstpointer data)
{
    g_autofree char *manual = NULL, *completion = NULL;
    g_autofree char *manual_file = g_test_build_filename(G_TEST_DIST, "data", "vmdiskctl.1", NULL);
    g_autofree char *completion_file =
        g_test_build_filename(G_TEST_DIST, "data", "vmdiskctl.bash", NULL);
    g_autoptr(ClientRun) r = client_fixture_run(f, "--help", NULL);
    unsigned n = 0;

    g_assert_true(g_file_get_contents(manual_file, &manual, NULL, NULL));
    g_assert_true(g_file_get_contents(completion_file, &completion, NULL, NULL));
    client_run_end(r, DONE);

    const char *list = strstr(client_run_output(r), "Commands:\n");
    g_assert_nonnull(list);
    g_auto(GStrv) lines = g_strsplit(list, "\n", -1);
    for (char **line = lines + 1; **line; line++, n++) {
        g_autofree char *verb = g_strndup(*line + 2, strcspn(*line + 2, " "));
        /* roff has a hyphen as "\-". */
        g_auto(GStrv) parts = g_strsplit(verb, "-", -1);
        g_autofree char *in_roff = g_strjoinv("\\\\-", parts);
        g_autofree char *in_manual =
            g_strdup_printf("\n(\\.B |\\.?.*\\\\fB)%s(\n|\\\\fR)", in_roff);
        g_autofree char *in_completion = g_strdup_printf("verbs\\+?='(.* )?%s( .*)?'", verb);

        g_test_message("%s", verb);
        g_assert_true(g_regex_match_simple(in_manual, manual, 0, 0));
        g_assert_true(g_regex_match_simple(in_completion, completion, 0, 0));
    }
    g_assert_cmpuint(n, ==, 15);
}

/* The same for an option. */
static void test_every_option_is_documented(ClientFixture *f, gconstpointer data)
{
    g_autofree char *manual = NULL, *completion = NULL;
    g_autofree char *manual_file = g_test_build_filename(G_TEST_DIST, "data", "vmdiskctl.1", NULL);
    g_autofree char *completion_file =
        g_test_build_filename(G_TEST_DIST, "data", "vmdiskctl.bash", NULL);
    g_autoptr(GRegex) regex = g_regex_new("--[a-z-]+", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    g_autoptr(ClientRun) r = client_fixture_run(f, "--help", NULL);

    g_assert_true(g_file_get_contents(manual_file, &manual, NULL, NULL));
    g_assert_true(g_file_get_contents(completion_file, &completion, NULL, NULL));
    client_run_end(r, DONE);
    for (g_regex_match(regex, client_run_output(r), 0, &match); g_match_info_matches(match);
         g_match_info_next(match, NULL)) {
        g_autofree char *option = g_match_info_fetch(match, 0);
        g_auto(GStrv) parts = g_strsplit(option, "-", -1);
        g_autofree char *in_roff = g_strjoinv("\\-", parts);

        g_test_message("%s", option);
        g_assert_nonnull(strstr(manual, in_roff));
        g_assert_nonnull(strstr(completion, option));
    }
}

static int compare_texts(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The options in a text, sorted. */
static char *options_in(const char *text)
{
    g_autoptr(GRegex) regex = g_regex_new("--[a-z-]+", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    g_autoptr(GPtrArray) options = g_ptr_array_new_with_free_func(g_free);

    for (g_regex_match(regex, text, 0, &match); g_match_info_matches(match);
         g_match_info_next(match, NULL))
        g_ptr_array_add(options, g_match_info_fetch(match, 0));
    g_ptr_array_sort(options, compare_texts);
    g_ptr_array_add(options, NULL);
    return g_strjoinv(" ", (char **)options->pdata);
}

/* What a shell offers after "vmdiskctl VERB --". */
static char *complete(const char *verb)
{
    g_autofree char *file = g_test_build_filename(G_TEST_DIST, "data", "vmdiskctl.bash", NULL);

    return process_run(
        "bash", "-c",
        "compopt() { :; }; . \"$1\"; COMP_WORDS=(vmdiskctl \"$2\" --); COMP_CWORD=2; "
        "_vmdiskctl; printf '%s\\n' \"${COMPREPLY[@]}\"",
        "bash", file, verb, NULL);
}

static void test_help_of_a_verb_equals_its_completion(ClientFixture *f, gconstpointer data)
{
    g_autoptr(ClientRun) all = client_fixture_run(f, "--help", NULL);
    unsigned n = 0;

    client_run_end(all, DONE);
    g_auto(GStrv) lines = g_strsplit(strstr(client_run_output(all), "Commands:\n"), "\n", -1);
    for (char **line = lines + 1; **line; line++, n++) {
        g_autofree char *verb = g_strndup(*line + 2, strcspn(*line + 2, " "));
        g_autofree char *first = g_strdup_printf("vmdiskctl [OPTION...] %s", verb);
        g_autofree char *offered = complete(verb);
        g_autoptr(ClientRun) r = client_fixture_run(f, verb, "--help", NULL);

        client_run_end(r, DONE);
        client_run_assert_says(r, first);

        const char *from = strstr(client_run_output(r), "Options:\n");
        g_autofree char *shown = g_strndup(from, (gsize)(strstr(from, "\n\n") - from));
        g_autofree char *in_help = options_in(shown), *in_shell = options_in(offered);
        g_test_message("%s", verb);
        g_assert_cmpstr(in_help, ==, in_shell);
    }
    g_assert_cmpuint(n, >, 10);
    fake_service_assert_no_call(f->service);
}

static void test_mistyped_options(ClientFixture *f, gconstpointer data)
{
    static const struct {
        const char *word, *answer;
    } table[] = {
        {"--actve", "Did you mean --active?"},
        {"--disks=vda", "Did you mean --disk?"},
        {"--o", "\"vmdiskctl --help\" lists them."},
        {"-x", "\"vmdiskctl --help\" lists them."},
        {"--names", "\"vmdiskctl commit --help\" shows what it takes."},
        {"--top", "--top needs a value. \"vmdiskctl --help\" says which."},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++) {
        g_autoptr(ClientRun) r = client_fixture_run(f, "commit", "web1/vda", table[i].word, NULL);

        client_run_end(r, USAGE);
        client_run_assert_complains(r, table[i].answer);
    }
    fake_service_assert_no_call(f->service);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *path;
        ClientFunc test;
    } tests[] = {
        {"every-verb-is-documented", test_every_verb_is_documented},
        {"every-option-is-documented", test_every_option_is_documented},
        {"help-of-a-verb-equals-its-completion", test_help_of_a_verb_equals_its_completion},
        {"mistyped-options", test_mistyped_options},
    };

    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(tests); i++) {
        g_autofree char *path = g_strconcat("/client-help/", tests[i].path, NULL);
        client_fixture_add_test(path, tests[i].test);
    }
    return g_test_run();
}
