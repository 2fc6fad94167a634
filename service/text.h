/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Small questions about strings that several rings ask. It allocates only where it says so.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"

/* NULL equals NULL only. */
bool text_equal(const char *a, const char *b);
bool text_has_prefix(const char *s, const char *prefix);
bool text_has_suffix(const char *s, const char *suffix);
/* Whether two names of files are the same, "//", "/./" and "/x/../" aside. Symbolic links are not
 * looked at: a name may be taken for the same that is not. Without memory, as they stand. */
bool text_same_path(const char *a, const char *b);
/* As asprintf(), NULL without memory. The caller frees. */
char *text_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* FNV-1a, 64 bits: tells changes and damage, not malice. */
uint64_t text_hash(const char *bytes, size_t n);
