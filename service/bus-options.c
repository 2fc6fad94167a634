/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bus-options.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "commit-options.h"
#include "text.h"

/* Longer keys are not repeated in a refusal. */
#define KEY_SHOWN_MAX 64

static const char *type_words(const char *type)
{
    switch (*type) {
    case 'b':
        return "a boolean (b)";
    case 't':
        return "an unsigned 64-bit number (t)";
    case 'a':
        return "an array of strings (as)";
    default:
        return "a string (s)";
    }
}

static int read_string(sd_bus_message *m, const BusOption *option, void *field, Refusal *r)
{
    const char *s;

    int k = sd_bus_message_read(m, "v", "s", &s);
    if (k < 0)
        return k;
    if (strlen(s) > BUS_OPTION_STRING_MAX) {
        refusal_set(r, REFUSAL_INVALID_ARGS, "option '%s' has %d bytes at most.", option->key,
                    BUS_OPTION_STRING_MAX);
        return 0;
    }
    if (!option->parse) {
        *(const char **)field = s;
        return 0;
    }
    if (option->parse(s, field) < 0)
        refusal_set(r, REFUSAL_INVALID_ARGS, "option '%s' is one of %s, and not '%s'.", option->key,
                    option->words, strlen(s) <= KEY_SHOWN_MAX ? s : "…");
    return 0;
}

char **bus_options_free_array(char **array)
{
    for (size_t i = 0; array && array[i]; i++)
        free(array[i]);
    free(array);
    return NULL;
}

static int read_array(sd_bus_message *m, const BusOption *option, char ***ret, Refusal *r)
{
    size_t n = 0;

    int k = sd_bus_message_enter_container(m, 'v', "as");
    if (k >= 0)
        k = sd_bus_message_read_strv(m, ret);
    if (k >= 0)
        k = sd_bus_message_exit_container(m);
    if (k < 0)
        return k;

    while (*ret && (*ret)[n])
        n++;
    if (n == 0 || n > BUS_OPTION_ARRAY_MAX)
        refusal_set(r, REFUSAL_INVALID_ARGS, "option '%s' has 1 to %d strings.", option->key,
                    BUS_OPTION_ARRAY_MAX);
    return 0;
}

int bus_options_parse_on_ready(const char *word, void *ret)
{
    return job_on_ready_from_string(word, ret);
}

int bus_options_parse_on_error(const char *word, void *ret)
{
    return job_on_error_from_string(word, ret);
}

int bus_options_parse_on_deadline(const char *word, void *ret)
{
    CommitOnDeadline *on_deadline = ret;

    on_deadline->given = true;
    return job_on_deadline_from_string(word, &on_deadline->choice);
}

static int read_value(sd_bus_message *m, const BusOption *option, void *field, Refusal *r)
{
    const char *contents;
    int truth;

    int k = sd_bus_message_peek_type(m, NULL, &contents);
    if (k < 0)
        return k;
    if (!text_equal(contents, option->type)) {
        refusal_set(r, REFUSAL_INVALID_ARGS, "option '%s' is %s, and came with the type '%s'.",
                    option->key, type_words(option->type), contents ? contents : "");
        return 0;
    }

    switch (*option->type) {
    case 'b':
        k = sd_bus_message_read(m, "v", "b", &truth);
        if (k >= 0)
            *(bool *)field = truth;
        return k;
    case 't':
        return sd_bus_message_read(m, "v", "t", (uint64_t *)field);
    case 'a':
        return read_array(m, option, field, r);
    default:
        return read_string(m, option, field, r);
    }
}

static const BusOption *find_option(const BusOption *table, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].key, key) == 0)
            return &table[i];
    return NULL;
}

static void refuse_unknown(const BusOption *table, size_t n, const char *key, Refusal *r)
{
    _cleanup_(freep) char *known = strdup("");

    for (size_t i = 0; known && i < n; i++) {
        if (table[i].refusal)
            continue;
        char *longer = text_format("%s%s'%s'", known, i > 0 ? ", " : "", table[i].key);
        free(known);
        known = longer;
    }
    refusal_set(r, REFUSAL_INVALID_ARGS, "there is no option '%s' here. Known are: %s.",
                strlen(key) <= KEY_SHOWN_MAX ? key : "…",
                known && *known ? known : "none; pass an empty dictionary");
}

/* One entry. seen: a bit for each option of the table. */
static int read_entry(sd_bus_message *m, const BusOption *table, size_t n, uint64_t *seen,
                      void *ret, Refusal *r)
{
    const char *key;

    int k = sd_bus_message_read(m, "s", &key);
    if (k < 0)
        return k;

    const BusOption *option = find_option(table, n, key);
    if (!option) {
        refuse_unknown(table, n, key, r);
        return 0;
    }
    if (option->refusal) {
        refusal_set(r, REFUSAL_INVALID_ARGS, "option '%s' %s", key, option->refusal);
        return 0;
    }
    uint64_t bit = UINT64_C(1) << (option - table);
    if (*seen & bit) {
        refusal_set(r, REFUSAL_INVALID_ARGS, "option '%s' is given twice.", key);
        return 0;
    }
    *seen |= bit;
    return read_value(m, option, (char *)ret + option->offset, r);
}

int bus_options_read(sd_bus_message *m, const BusOption *table, size_t n, void *ret, Refusal *r)
{
    uint64_t seen = 0;

    int k = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (k < 0)
        return k;
    while ((k = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        k = read_entry(m, table, n, &seen, ret, r);
        if (k < 0 || r->kind != REFUSAL_NONE)
            return k < 0 ? k : 0;
        k = sd_bus_message_exit_container(m);
        if (k < 0)
            return k;
    }
    if (k == 0)
        k = sd_bus_message_exit_container(m);
    return k < 0 ? k : 0; /* from libsystemd 257 on it is 1 here */
}

/* In an entry: whether it sets the key. */
static bool sets(sd_bus_message *m, const char *wanted)
{
    const char *key, *contents;
    int truth = 0;

    if (sd_bus_message_read(m, "s", &key) <= 0)
        return false;
    if (sd_bus_message_peek_type(m, NULL, &contents) <= 0)
        return false;
    if (strcmp(key, wanted) != 0 || !text_equal(contents, "b")) {
        (void)sd_bus_message_skip(m, "v");
        return false;
    }
    return sd_bus_message_read(m, "v", "b", &truth) > 0 && truth;
}

bool bus_options_peek(sd_bus_message *m, const char *key)
{
    bool set = false;

    if (sd_bus_message_enter_container(m, 'a', "{sv}") > 0)
        while (!set && sd_bus_message_enter_container(m, 'e', "sv") > 0) {
            set = sets(m, key);
            if (sd_bus_message_exit_container(m) < 0)
                break;
        }
    (void)sd_bus_message_rewind(m, /* complete= */ true);
    return set;
}
