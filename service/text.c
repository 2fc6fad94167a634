/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool text_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool text_has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool text_has_suffix(const char *s, const char *suffix)
{
    size_t length = strlen(s), end = strlen(suffix);

    return length >= end && strcmp(s + length - end, suffix) == 0;
}

static bool is_plain(const char *path)
{
    return !strstr(path, "//") && !strstr(path, "/./") && !strstr(path, "/../");
}

/* Appends "/part", or takes the last one away for "..". Above the root there is nothing. */
static size_t append_part(char *path, size_t n, const char *part, size_t length)
{
    if (length == 0 || (length == 1 && *part == '.'))
        return n;
    if (length == 2 && part[0] == '.' && part[1] == '.') {
        while (n > 0 && path[--n] != '/')
            ;
        return n;
    }
    path[n++] = '/';
    memcpy(path + n, part, length);
    return n + length;
}

/* Of an absolute path; the caller frees. */
static char *make_plain(const char *path)
{
    char *plain = malloc(strlen(path) + 1);
    size_t n = 0;

    while (plain && *path) {
        size_t length = strcspn(path, "/");

        n = append_part(plain, n, path, length);
        path += length + (path[length] == '/');
    }
    if (plain)
        plain[n] = '\0';
    return plain;
}

bool text_same_path(const char *a, const char *b)
{
    if (strcmp(a, b) == 0)
        return true;
    if (*a != '/' || *b != '/' || (is_plain(a) && is_plain(b)))
        return false;

    _cleanup_(freep) char *x = make_plain(a), *y = make_plain(b);

    return x && y && strcmp(x, y) == 0;
}

char *text_format(const char *format, ...)
{
    char *text = NULL;
    va_list ap;

    va_start(ap, format);
    int n = vasprintf(&text, format, ap);
    va_end(ap);

    return n < 0 ? NULL : text;
}

uint64_t text_hash(const char *bytes, size_t n)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(0x100000001b3);
    return hash;
}
