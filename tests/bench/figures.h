/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Figures of a benchmark: what was measured in several rounds, and how it is printed.
 */
#pragma once

#include <glib.h>

typedef struct Figures Figures;

/* what: a line's beginning. */
Figures *figures_new(const char *what);
void figures_free(Figures *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Figures, figures_free)

void figures_add(Figures *f, double usec);
double figures_median(Figures *f);
/* "WHAT: median … (… to …), N times", in milliseconds or microseconds. */
void figures_print(Figures *f);
/* "WHAT / OTHER: …" */
void figures_print_ratio(Figures *f, Figures *other);
