/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl: what happens before and after a verb. The one place where errors are told.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "exit-code.h"
#include "help.h"
#include "memory.h"
#include "output.h"
#include "verbs.h"

/* Every error ends here: for people on stderr, with --json for scripts on stdout as well, and as
 * the exit code. */
static ExitCode report_error(const Options *o, const sd_bus_error *error)
{
    const char *message = error->message ? error->message : error->name;
    _cleanup_(freep) char *shown = text_for_people(message, look_of(stderr));

    fprintf(stderr, "%s\n", shown);
    if (o->json != JSON_OFF) {
        json_object *object = need(json_object_new_object());
        /* It may quote an argument, which can be any bytes. */
        _cleanup_(freep) char *text = text_for_people(message, (Look){.utf8 = true});

        json_put(object, "error", json_text(error->name, /* empty_is_null= */ false));
        json_put(object, "message", json_text(text, /* empty_is_null= */ false));
        json_print(object, o->json);
    }
    return exit_code_from_error(error->name);
}

static int run_verb(Client *c, char **argv, sd_bus_error *error)
{
    const Verb *verb;

    int r = verb_find(argv, &c->options, &verb, error);
    if (r < 0)
        return r;
    r = client_connect(c, error);
    if (r < 0)
        return r;
    return verb->run(c, argv + 1, error);
}

/* Of the command that is named, NULL for none. */
static int print_help(const char *word)
{
    const Verb *v = verbs;

    while (word && v->name && strcmp(v->name, word) != 0)
        v++;
    if (word && v->name)
        help_print_verb(v);
    else
        help_print();
    return EXIT_DONE;
}

static int run(Client *c, int argc, char **argv, sd_bus_error *error)
{
    int first;

    int r = options_parse(argc, argv, &c->options, &first, error);
    if (r < 0)
        return r;
    if (c->options.help)
        return print_help(argv[first]);
    if (c->options.version) {
        puts("vmdiskctl " VMDISK_VERSION);
        return EXIT_DONE;
    }
    return run_verb(c, argv + first, error);
}

/* A result that nobody could read is none. */
static ExitCode flush_output(ExitCode code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    fprintf(stderr, "The output cannot be written: %s.\n", strerrordesc_np(errno));
    return code == EXIT_DONE ? EXIT_FAILED : code;
}

int main(int argc, char **argv)
{
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    Client client = {};

    /* Numbers are read and written the same way everywhere; only characters are the user's. */
    setlocale(LC_CTYPE, "");
    /* A line, or a bar, at once and not in pieces. */
    setvbuf(stderr, NULL, _IOLBF, BUFSIZ);

    int r = run(&client, argc, argv, &error);
    if (r < 0 && !sd_bus_error_is_set(&error))
        sd_bus_error_set_errno(&error, r);
    ExitCode code = r < 0 ? report_error(&client.options, &error) : (ExitCode)r;
    client_done(&client);
    return flush_output(code);
}
