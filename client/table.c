/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "table.h"

#include "memory.h"

#define GAP 2

typedef struct Cell {
    char *text;
    size_t width;
    Tint tint;
} Cell;

struct Table {
    size_t n_columns, right, n_cells;
    Cell *cells;
};

Table *table_new(size_t n_columns, size_t right)
{
    Table *t = need(calloc(1, sizeof(*t)));

    t->n_columns = n_columns;
    t->right = right;
    return t;
}

Table *table_free(Table *t)
{
    if (!t)
        return NULL;
    for (size_t i = 0; i < t->n_cells; i++)
        free(t->cells[i].text);
    free(t->cells);
    free(t);
    return NULL;
}

void table_add(Table *t, Tint tint, char *text)
{
    t->cells = need_grow(t->cells, t->n_cells, sizeof(*t->cells));
    t->cells[t->n_cells++] = (Cell){text, text ? text_width(text) : 0, tint};
}

static void print_blanks(FILE *stream, size_t n)
{
    fprintf(stream, "%*s", (int)n, "");
}

/* A row without anything to the right of a cell ends there: no blanks before the end of a line. */
static size_t row_length(const Table *t, const Cell *row)
{
    size_t n = t->n_columns;

    while (n > 0 && row[n - 1].width == 0)
        n--;
    return n;
}

static void print_row(const Table *t, const Cell *row, const size_t *widths, FILE *stream,
                      Look look)
{
    size_t n = row_length(t, row);

    for (size_t i = 0; i < n; i++) {
        const Cell *cell = &row[i];
        size_t blanks = widths[i] > cell->width ? widths[i] - cell->width : 0;

        if (i == t->right)
            print_blanks(stream, blanks);
        fprintf(stream, "%s%s%s", tint_begin(look, cell->tint), cell->text ? cell->text : "",
                tint_end(look, cell->tint));
        if (i + 1 < n)
            print_blanks(stream, GAP + (i == t->right ? 0 : blanks));
    }
    fputc('\n', stream);
}

void table_print(const Table *t, FILE *stream, Look look)
{
    _cleanup_(freep) size_t *widths = need(calloc(t->n_columns, sizeof(*widths)));

    for (size_t i = 0; i < t->n_cells; i++)
        if (widths[i % t->n_columns] < t->cells[i].width)
            widths[i % t->n_columns] = t->cells[i].width;
    for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns)
        print_row(t, &t->cells[i], widths, stream, look);
}
