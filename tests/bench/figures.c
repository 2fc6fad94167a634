/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures of a benchmark.
 */
#include "figures.h"

struct Figures {
    char *what;
    GArray *usec; /* double */
};

Figures *figures_new(const char *what)
{
    Figures *f = g_new0(Figures, 1);

    f->what = g_strdup(what);
    f->usec = g_array_new(FALSE, FALSE, sizeof(double));
    return f;
}

void figures_free(Figures *f)
{
    if (!f)
        return;
    g_array_unref(f->usec);
    g_free(f->what);
    g_free(f);
}

void figures_add(Figures *f, double usec)
{
    g_array_append_val(f->usec, usec);
}

static gint compare(gconstpointer a, gconstpointer b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static double at(const Figures *f, guint index)
{
    return g_array_index(f->usec, double, index);
}

double figures_median(Figures *f)
{
    g_assert_cmpuint(f->usec->len, >, 0);
    g_array_sort(f->usec, compare);
    return (at(f, (f->usec->len - 1) / 2) + at(f, f->usec->len / 2)) / 2;
}

void figures_print(Figures *f)
{
    const double median = figures_median(f), unit = median >= 1000 ? 1000 : 1;

    g_print("%s: median %.3g %s (%.3g to %.3g), %u times\n", f->what, median / unit,
            unit > 1 ? "ms" : "us", at(f, 0) / unit, at(f, f->usec->len - 1) / unit, f->usec->len);
}

void figures_print_ratio(Figures *f, Figures *other)
{
    g_print("%s / %s: %.2f\n", f->what, other->what, figures_median(f) / figures_median(other));
}
