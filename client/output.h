/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * output: how text reaches people and scripts: what a stream can show, names and sizes for people,
 * JSON for scripts. It knows no VM and no job.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "options.h"

typedef struct Look {
    bool terminal; /* one that can move its cursor */
    bool utf8;
    bool colour;
} Look;

/* What the stream can show; looks at the locale, TERM and NO_COLOR. */
Look look_of(FILE *stream);

typedef enum Tint {
    TINT_NONE,
    TINT_STRONG,
    TINT_FAINT,
    TINT_GOOD,
    TINT_ATTENTION,
    TINT_MAX_,
} Tint;

/* Escape sequences, empty where the stream has no colours. */
const char *tint_begin(Look look, Tint tint);
const char *tint_end(Look look, Tint tint);

/* The text with every character that could move a cursor or hide a part of it written as \xNN; on a
 * terminal without UTF-8 all others beyond ASCII, too. The caller frees. */
char *text_for_people(const char *text, Look look);
bool text_is_utf8(const char *text);
/* Columns on the screen; the text is one of text_for_people(). */
size_t text_width(const char *text);

/* "1.5 GiB". The caller frees. */
char *size_for_people(uint64_t bytes);
/* "2024-05-01 12:00:00" in local time from microseconds since the epoch. The caller frees. */
char *time_for_people(uint64_t usec);

/* Adds to an object and takes over the value; NULL is JSON's null. */
void json_put(json_object *object, const char *key, json_object *value);
/* The same, to the end of an array. */
void json_append(json_object *array, json_object *value);
/* NULL and, where empty_is_null, "" become null. */
json_object *json_text(const char *text, bool empty_is_null);
/* Prints and frees. */
void json_print(json_object *value, JsonMode mode);
