/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-options reads dictionaries of options (a{sv}), strictly: what is unknown, given twice or of
 * the wrong type is refused by its name. What a value means is not its business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <systemd/sd-bus.h>

#include "refusal.h"

/* A dictionary needs no limit of its own: no key may be unknown, or given twice. */

/* Bytes of a value that is a string: what QEMU takes as a file name. */
#define BUS_OPTION_STRING_MAX 4096
/* Strings of a value that is an array of them. */
#define BUS_OPTION_ARRAY_MAX 256

/* One key. `type` is "b" (a bool at the offset), "t" (a uint64_t), "as" (a char **, which the
 * caller frees with bus_options_free_array()) or "s": a char * into the message, or, with parse,
 * whatever that makes of the word; `words` then says what it knows. A key with `refusal` is known
 * elsewhere, and that says why not here: the second half of a sentence. */
typedef struct BusOption {
    const char *key;
    const char *type;
    size_t offset;
    int (*parse)(const char *word, void *ret);
    const char *words;
    const char *refusal;
} BusOption;

/* Reads the dictionary that comes next in the message into ret, as table[n] says. Strings are
 * borrowed from the message. Negative errno for a message that is none; a refusal for options that
 * are not right. */
int bus_options_read(sd_bus_message *m, const BusOption *table, size_t n, void *ret,
                     Refusal *ret_refusal);

char **bus_options_free_array(char **array);

/* For BusOption.parse: words of JobOnReady, JobOnError, and a CommitOnDeadline. */
int bus_options_parse_on_ready(const char *word, void *ret);
int bus_options_parse_on_error(const char *word, void *ret);
int bus_options_parse_on_deadline(const char *word, void *ret);
#define BUS_OPTIONS_ON_READY_WORDS "wait, pivot, keep"
#define BUS_OPTIONS_ON_ERROR_WORDS "report, stop, enospc"
#define BUS_OPTIONS_ON_DEADLINE_WORDS "keep-waiting, cancel, slow-guest"

/* Whether the first argument is a dictionary in which the key is set to true. Rewinds the message.
 */
bool bus_options_peek(sd_bus_message *m, const char *key);
