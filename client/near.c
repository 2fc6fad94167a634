/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "near.h"

#include <stdint.h>
#include <string.h>

#include "cleanup.h"
#include "memory.h"

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, with one row kept. */
static size_t distance(const char *a, const char *b)
{
    size_t width = strlen(b);
    _cleanup_(freep) size_t *row = need(reallocarray(NULL, width + 1, sizeof(*row)));

    for (size_t j = 0; j <= width; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= width; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);

            diagonal = row[j];
            row[j] = min(changed, min(row[j], row[j - 1]) + 1);
        }
    }
    return row[width];
}

/* How far a name is from the word; SIZE_MAX where nobody can have meant it. Whoever typed a part of
 * a name is nearer than whoever mistyped the whole. */
static size_t score(const char *word, const char *name)
{
    size_t typed = strlen(word), length = strlen(name);
    size_t limit = typed / 3 + 1;

    if (typed > 0 && strcasestr(name, word))
        return 0;
    /* Also keeps a word of any length from costing much. */
    if (typed > length + limit || length > typed + limit)
        return SIZE_MAX;
    size_t d = distance(word, name);
    return d <= limit ? d : SIZE_MAX;
}

size_t near_names(const char *word, char *const *names, size_t n_names,
                  const char *ret[static NEAR_MAX])
{
    size_t scores[NEAR_MAX];
    size_t n = 0;

    for (size_t i = 0; i < n_names; i++) {
        size_t s = score(word, names[i]);
        size_t place = n;

        while (place > 0 && scores[place - 1] > s)
            place--;
        if (s == SIZE_MAX || place == NEAR_MAX)
            continue;
        if (n < NEAR_MAX)
            n++;
        memmove(&scores[place + 1], &scores[place], (n - place - 1) * sizeof(*scores));
        memmove(&ret[place + 1], &ret[place], (n - place - 1) * sizeof(*ret));
        scores[place] = s;
        ret[place] = names[i];
    }
    return n;
}
