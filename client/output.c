/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "output.h"

#include <assert.h>
#include <langinfo.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "memory.h"

/* Bytes that one byte becomes at most: \xNN. */
#define ESCAPED_MAX 4

Look look_of(FILE *stream)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    bool terminal = isatty(fileno(stream)) && term && strcmp(term, "dumb") != 0;

    return (Look){
        .terminal = terminal,
        .utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0,
        .colour = terminal && (!no_color || *no_color == '\0'),
    };
}

const char *tint_begin(Look look, Tint tint)
{
    static const char *const sequences[] = {
        [TINT_NONE] = "",         [TINT_STRONG] = "\033[1m",     [TINT_FAINT] = "\033[2m",
        [TINT_GOOD] = "\033[32m", [TINT_ATTENTION] = "\033[33m",
    };
    static_assert(ELEMENTSOF(sequences) == TINT_MAX_, "each tint has a sequence");

    return look.colour ? sequences[tint] : "";
}

const char *tint_end(Look look, Tint tint)
{
    return look.colour && tint != TINT_NONE ? "\033[0m" : "";
}

/* Characters that are shown by doing something: controls, and those that turn the direction of
 * writing or have no width, with which one name can look like another. */
static bool is_treacherous(wchar_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff;
}

/* Bytes of the character that s starts with, and the character; 0 where it is no UTF-8. The locale
 * is not asked: text from the bus is UTF-8 in every locale. */
static size_t decode(const char *s, wchar_t *ret)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *u = (const unsigned char *)s;
    size_t length = u[0] < 0x80 ? 1 : u[0] < 0xc0 ? 0 : u[0] < 0xe0 ? 2 : u[0] < 0xf0 ? 3 : 4;
    uint32_t c = length == 1 ? u[0] : u[0] & (0xffu >> (length + 1));

    if (u[0] >= 0xf8)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if ((u[i] & 0xc0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3f);
    }
    if (c < smallest[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 0;
    *ret = (wchar_t)c;
    return length;
}

bool text_is_utf8(const char *text)
{
    while (*text) {
        wchar_t c;
        size_t length = decode(text, &c);

        if (length == 0)
            return false;
        text += length;
    }
    return true;
}

char *text_for_people(const char *text, Look look)
{
    /* Only a terminal is protected from what it could not show; a pipe takes all of UTF-8. */
    bool ascii = look.terminal && !look.utf8;
    char *escaped = need(malloc(strlen(text) * ESCAPED_MAX + 1));
    char *p = escaped;

    while (*text) {
        wchar_t c = 0;
        size_t length = decode(text, &c);

        if (length > 0 && !is_treacherous(c) && !(ascii && length > 1)) {
            p = mempcpy(p, text, length);
            text += length;
            continue;
        }
        for (size_t i = 0; i == 0 || i < length; i++)
            p += sprintf(p, "\\x%02x", (unsigned char)*text++);
    }
    *p = '\0';
    return escaped;
}

size_t text_width(const char *text)
{
    size_t width = 0;

    while (*text) {
        wchar_t c = 0;
        size_t length = decode(text, &c);
        int columns = length > 0 ? wcwidth(c) : 1;

        width += columns < 0 ? 1 : (size_t)columns;
        text += length > 0 ? length : 1;
    }
    return width;
}

char *size_for_people(uint64_t bytes)
{
    static const char units[] = "KMGTPE";
    double value = (double)bytes / 1024;
    size_t unit = 0;

    if (bytes < 1024)
        return need_format("%u B", (unsigned)bytes);
    /* 1023.95 would be shown as 1024.0. */
    while (value >= 1023.95 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    return need_format("%.1f %ciB", value, units[unit]);
}

char *time_for_people(uint64_t usec)
{
    time_t seconds = (time_t)(usec / 1000000);
    char text[64];
    struct tm tm;

    if (!localtime_r(&seconds, &tm) || strftime(text, sizeof(text), "%F %T", &tm) == 0)
        return need(strdup("an unknown time"));
    return need(strdup(text));
}

void json_put(json_object *object, const char *key, json_object *value)
{
    if (json_object_object_add(object, key, value) < 0)
        need(NULL);
}

void json_append(json_object *array, json_object *value)
{
    if (json_object_array_add(array, value) < 0)
        need(NULL);
}

json_object *json_text(const char *text, bool empty_is_null)
{
    if (!text || (empty_is_null && *text == '\0'))
        return NULL;
    return need(json_object_new_string(text));
}

void json_print(json_object *value, JsonMode mode)
{
    int flags = JSON_C_TO_STRING_NOSLASHESCAPE;

    if (mode == JSON_PRETTY)
        flags |= JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED;
    puts(need((void *)json_object_to_json_string_ext(value, flags)));
    json_object_put(value);
}
