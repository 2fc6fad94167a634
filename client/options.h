/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * options reads the command line. It knows what each option means, not which verb takes it: that is
 * in the table of verbs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-bus.h>

typedef enum JsonMode {
    JSON_OFF,
    JSON_SHORT,
    JSON_PRETTY,
} JsonMode;

typedef enum Ending {
    ENDING_OPEN, /* whoever started the job decides when it is ready */
    ENDING_PIVOT,
    ENDING_KEEP,
} Ending;

/* Options that only some verbs take. */
typedef enum OptionBit {
    OPTION_ACTIVE = 1 << 0,
    OPTION_WAIT = 1 << 1,
    OPTION_PIVOT = 1 << 2,
    OPTION_KEEP = 1 << 3,
    OPTION_TIMEOUT = 1 << 4,
    OPTION_NAMES = 1 << 5,
    OPTION_MAX_ = 1 << 6,
} OptionBit;

typedef struct Options {
    bool help, version;
    bool user;
    const char *host; /* NULL: this machine */
    bool ask_password;
    bool quiet;
    JsonMode json;
    Ending ending;
    uint64_t timeout_usec; /* UINT64_MAX: for ever */
    unsigned given;        /* OptionBit */
} Options;

/* Fills ret_options, and ret_first with the index of the first argument that is no option. On
 * failure ret_options is valid as far as it was read, so that the error can be told as wished. */
int options_parse(int argc, char **argv, Options *ret_options, int *ret_first, sd_bus_error *error);

/* "--active" for OPTION_ACTIVE. */
const char *option_bit_to_string(OptionBit bit);
