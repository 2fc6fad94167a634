/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "exit-code.h"

void *need(void *p)
{
    if (p)
        return p;
    fputs("vmdiskctl is out of memory. A job that runs goes on.\n", stderr);
    exit(EXIT_FAILED);
}

void *need_grow(void *array, size_t n, size_t size)
{
    char *grown = need(reallocarray(array, n + 1, size));

    memset(grown + n * size, 0, size);
    return grown;
}

char *need_format(const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);

    return need(n < 0 ? NULL : text);
}
