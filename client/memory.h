/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * memory: a client that is out of memory has nothing to save. It says so and ends; the job goes on
 * in QEMU. So nobody in the client has to check an allocation.
 */
#pragma once

#include <stddef.h>

#include "cleanup.h"

/* Returns p; ends the process where it is NULL. For whatever returns NULL without memory only. */
void *need(void *p);
/* As reallocarray(), for one element more than the n that are there; the new one is zeroed. */
void *need_grow(void *array, size_t n, size_t size);
/* As asprintf(). The caller frees. */
char *need_format(const char *format, ...) __attribute__((format(printf, 1, 2)));
