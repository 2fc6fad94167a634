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

/* As many as a VM can have. */
#define OPTION_DISKS_MAX 256

/* Options that only some verbs take. */
typedef enum OptionBit {
    OPTION_ACTIVE = 1 << 0,
    OPTION_WAIT = 1 << 1,
    OPTION_PIVOT = 1 << 2,
    OPTION_KEEP = 1 << 3,
    OPTION_TIMEOUT = 1 << 4,
    OPTION_NAMES = 1 << 5,
    OPTION_TOP = 1 << 6,
    OPTION_BASE = 1 << 7,
    OPTION_SHALLOW = 1 << 8,
    OPTION_ON_ERROR = 1 << 9,
    OPTION_SPEED = 1 << 10,
    OPTION_BACKING_FILE = 1 << 11,
    OPTION_RELATIVE = 1 << 12,
    OPTION_OVERRIDE = 1 << 13,
    OPTION_DROP_BITMAPS = 1 << 14,
    OPTION_DEADLINE = 1 << 15,
    OPTION_ON_DEADLINE = 1 << 16,
    OPTION_DRY_RUN = 1 << 17,
    OPTION_DISK = 1 << 18,
    OPTION_MAX_ = 1 << 19,
} OptionBit;

typedef struct Options {
    bool help, version;
    bool user;
    const char *host; /* NULL: this machine */
    bool ask_password;
    bool quiet;
    JsonMode json;
    uint64_t timeout_usec; /* UINT64_MAX: for ever */
    unsigned given;        /* OptionBit */

    /* Of commit; set where they are given. */
    Ending ending;
    const char *top, *base, *on_error, *backing_file, *on_deadline;
    uint64_t speed, deadline_usec;
    const char *disks[OPTION_DISKS_MAX];
    size_t n_disks;
} Options;

/* Fills ret_options, and ret_first with the index of the first argument that is no option. On
 * failure ret_options is valid as far as it was read, so that the error can be told as wished. */
int options_parse(int argc, char **argv, Options *ret_options, int *ret_first, sd_bus_error *error);

/* "--active" for OPTION_ACTIVE. */
const char *option_bit_to_string(OptionBit bit);
