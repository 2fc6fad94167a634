/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "options.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include "cleanup.h"
#include "memory.h"
#include "near.h"
#include "output.h"
#include "parse.h"

/* Values of long options that have no letter. */
enum {
    LONG_USER = 256,
    LONG_JSON,
    LONG_NO_ASK_PASSWORD,
    LONG_VERSION,
    LONG_OF_VERB = 1 << 24, /* | OptionBit */
};

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, LONG_VERSION},
    {"user", no_argument, NULL, LONG_USER},
    {"host", required_argument, NULL, 'H'},
    {"quiet", no_argument, NULL, 'q'},
    {"json", required_argument, NULL, LONG_JSON},
    {"no-ask-password", no_argument, NULL, LONG_NO_ASK_PASSWORD},
    {"active", no_argument, NULL, LONG_OF_VERB | OPTION_ACTIVE},
    {"wait", no_argument, NULL, LONG_OF_VERB | OPTION_WAIT},
    {"pivot", no_argument, NULL, LONG_OF_VERB | OPTION_PIVOT},
    {"keep-overlay", no_argument, NULL, LONG_OF_VERB | OPTION_KEEP},
    {"timeout", required_argument, NULL, LONG_OF_VERB | OPTION_TIMEOUT},
    {"names", no_argument, NULL, LONG_OF_VERB | OPTION_NAMES},
    {"top", required_argument, NULL, LONG_OF_VERB | OPTION_TOP},
    {"base", required_argument, NULL, LONG_OF_VERB | OPTION_BASE},
    {"shallow", no_argument, NULL, LONG_OF_VERB | OPTION_SHALLOW},
    {"on-error", required_argument, NULL, LONG_OF_VERB | OPTION_ON_ERROR},
    {"speed", required_argument, NULL, LONG_OF_VERB | OPTION_SPEED},
    {"backing-file", required_argument, NULL, LONG_OF_VERB | OPTION_BACKING_FILE},
    {"relative", no_argument, NULL, LONG_OF_VERB | OPTION_RELATIVE},
    {"override", no_argument, NULL, LONG_OF_VERB | OPTION_OVERRIDE},
    {"drop-bitmaps", no_argument, NULL, LONG_OF_VERB | OPTION_DROP_BITMAPS},
    {"deadline", required_argument, NULL, LONG_OF_VERB | OPTION_DEADLINE},
    {"on-deadline", required_argument, NULL, LONG_OF_VERB | OPTION_ON_DEADLINE},
    {"disk", required_argument, NULL, LONG_OF_VERB | OPTION_DISK},
    {"dry-run", no_argument, NULL, LONG_OF_VERB | OPTION_DRY_RUN},
    {},
};

static const char *const bit_names[] = {
    "--active",   "--wait",         "--pivot",    "--keep-overlay", "--timeout",
    "--names",    "--top",          "--base",     "--shallow",      "--on-error",
    "--speed",    "--backing-file", "--relative", "--override",     "--drop-bitmaps",
    "--deadline", "--on-deadline",  "--dry-run",  "--disk",
};
static_assert(1 << ELEMENTSOF(bit_names) == OPTION_MAX_, "each option of a verb has a name");

const char *option_bit_to_string(OptionBit bit)
{
    int i = __builtin_ctz(bit);

    assert(bit < OPTION_MAX_);
    return bit_names[i];
}

static int parse_json(const char *word, JsonMode *ret, sd_bus_error *error)
{
    static const char *const words[] = {
        [JSON_OFF] = "off",
        [JSON_SHORT] = "short",
        [JSON_PRETTY] = "pretty",
    };

    for (size_t i = 0; i < ELEMENTSOF(words); i++)
        if (strcmp(words[i], word) == 0) {
            *ret = (JsonMode)i;
            return 0;
        }
    return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                             "--json takes \"short\", \"pretty\" or \"off\", not \"%s\".", word);
}

/* The host becomes an argument of ssh, which must not take it for an option. */
static int parse_host(const char *word, const char **ret, sd_bus_error *error)
{
    if (*word == '\0' || *word == '-')
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "--host takes HOST or USER@HOST, not \"%s\".", word);
    *ret = word;
    return 0;
}

/* Names of images go over the bus, which takes no other text. */
static int parse_text(OptionBit bit, const char *word, const char **ret, sd_bus_error *error)
{
    if (!text_is_utf8(word))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "%s takes text in UTF-8.",
                                 option_bit_to_string(bit));
    *ret = word;
    return 0;
}

/* An option of a verb; those without a value are only noted. */
static int handle_of_verb(Options *o, OptionBit bit, const char *argument, sd_bus_error *error)
{
    o->given |= bit;
    switch ((int)bit) {
    case OPTION_PIVOT:
        o->ending = ENDING_PIVOT;
        return 0;
    case OPTION_KEEP:
        o->ending = ENDING_KEEP;
        return 0;
    case OPTION_TIMEOUT:
        return parse_seconds("--timeout", argument, &o->timeout_usec, error);
    case OPTION_DEADLINE:
        return parse_seconds("--deadline", argument, &o->deadline_usec, error);
    case OPTION_SPEED:
        return parse_speed(argument, &o->speed, error);
    case OPTION_TOP:
        return parse_text(bit, argument, &o->top, error);
    case OPTION_BASE:
        return parse_text(bit, argument, &o->base, error);
    case OPTION_ON_ERROR:
        return parse_text(bit, argument, &o->on_error, error);
    case OPTION_BACKING_FILE:
        return parse_text(bit, argument, &o->backing_file, error);
    case OPTION_ON_DEADLINE:
        return parse_text(bit, argument, &o->on_deadline, error);
    case OPTION_DISK:
        if (o->n_disks >= OPTION_DISKS_MAX)
            return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                     "--disk is given more than %d times.", OPTION_DISKS_MAX);
        return parse_text(bit, argument, &o->disks[o->n_disks++], error);
    }
    return 0;
}

static int handle(Options *o, int option, const char *argument, sd_bus_error *error)
{
    if (option & LONG_OF_VERB)
        return handle_of_verb(o, option & ~LONG_OF_VERB, argument, error);

    switch (option) {
    case 'h':
        o->help = true;
        return 0;
    case LONG_VERSION:
        o->version = true;
        return 0;
    case LONG_USER:
        o->user = true;
        return 0;
    case 'H':
        return parse_host(argument, &o->host, error);
    case 'q':
        o->quiet = true;
        return 0;
    case LONG_JSON:
        return parse_json(argument, &o->json, error);
    case LONG_NO_ASK_PASSWORD:
        o->ask_password = false;
        return 0;
    }
    return -EINVAL;
}

#define NEARABLE 4

/* Unknown, or the beginning of several. */
static int refuse_option(const char *word, sd_bus_error *error)
{
    char *names[ELEMENTSOF(long_options)];
    const char *near[NEAR_MAX];
    _cleanup_(freep) char *name = need(strndup(word + 2, strcspn(word + 2, "=")));
    size_t n = 0;

    for (const struct option *o = long_options; o->name; o++)
        names[n++] = (char *)o->name;
    /* Much is near a short word. */
    if (strlen(name) >= NEARABLE && near_names(name, names, n, near) > 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "There is no option %s. Did you mean --%s?", word, near[0]);
    return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                             "There is no option %s. \"vmdiskctl --help\" lists them.", word);
}

/* getopt says only the letter of a short option, and the word of a long one. */
static int refuse(char **argv, int option, sd_bus_error *error)
{
    const char *word = argv[optind - 1];

    if (option == ':')
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "%s needs a value. \"vmdiskctl --help\" says which.", word);
    if (optopt > 0 && optopt < 256)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "There is no option -%c. \"vmdiskctl --help\" lists them.",
                                 optopt);
    if (optopt >= 256)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "%s takes no value.", word);
    return refuse_option(word, error);
}

static int check_together(const Options *o, sd_bus_error *error)
{
    if (o->user && o->host)
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "--user and --host exclude each other: over ssh only the system "
                                "bus is reached.");
    if ((o->given & OPTION_PIVOT) && (o->given & OPTION_KEEP))
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "--pivot and --keep-overlay exclude each other: the guest "
                                "continues either on the base or on the overlay.");
    if ((o->given & OPTION_ON_DEADLINE) && !(o->given & OPTION_DEADLINE))
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "--on-deadline needs --deadline: it says what happens then.");
    return 0;
}

int options_parse(int argc, char **argv, Options *ret_options, int *ret_first, sd_bus_error *error)
{
    *ret_options = (Options){.ask_password = true, .timeout_usec = UINT64_MAX};

    for (;;) {
        /* The colon keeps getopt from printing anything. */
        int option = getopt_long(argc, argv, ":hH:q", long_options, /* longindex= */ NULL);
        if (option < 0)
            break;
        if (option == '?' || option == ':')
            return refuse(argv, option, error);

        int r = handle(ret_options, option, optarg, error);
        if (r < 0)
            return r;
    }

    int r = check_together(ret_options, error);
    if (r < 0)
        return r;
    *ret_first = optind;
    return 0;
}
