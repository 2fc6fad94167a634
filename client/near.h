/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * near picks, from many names, the few that somebody who mistyped one may have meant.
 */
#pragma once

#include <stddef.h>

#define NEAR_MAX 5

/* The nearest first; returns how many of ret are set. */
size_t near_names(const char *word, char *const *names, size_t n_names,
                  const char *ret[static NEAR_MAX]);
