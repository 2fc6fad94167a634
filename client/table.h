/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * table lays text out in columns. Widths are those on the screen, whatever bytes that takes.
 */
#pragma once

#include "cleanup.h"
#include "output.h"

typedef struct Table Table;

/* The last column is neither padded nor cut: it is the place for what may be long. right: index of
 * a column that is aligned to the right, SIZE_MAX for none. */
Table *table_new(size_t n_columns, size_t right);
Table *table_free(Table *t);
DEFINE_CLEANUP(Table, table_free)

/* The next cell of the row, or the first of the next row; takes over the text, one of
 * text_for_people() or plain. NULL is an empty cell. */
void table_add(Table *t, Tint tint, char *text);
void table_print(const Table *t, FILE *stream, Look look);
