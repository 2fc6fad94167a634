/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * json-c does the parsing. What it does not limit, or takes without being JSON (and that depends on
 * the pieces, such as 1-2 for a number), is counted and refused here, on the same bytes. json-c may
 * run ahead by one piece.
 */
#include "frame.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "cleanup.h"

/* A longer message leaves json-c with a large buffer, which is then given back. */
#define FRAME_KEEP_MAX (64U * 1024U)

typedef enum CharKind {
    CHAR_FOREIGN, /* outside of strings no JSON, such as the quote ' and the N of NaN */
    CHAR_SPACE,
    CHAR_STRUCTURE,
    CHAR_TOKEN, /* of numbers, true, false and null */
} CharKind;

static const unsigned char char_kinds[UCHAR_MAX + 1] = {
    [' '] = CHAR_SPACE,     ['\t'] = CHAR_SPACE,    ['\r'] = CHAR_SPACE,
    ['\n'] = CHAR_SPACE,    ['{'] = CHAR_STRUCTURE, ['}'] = CHAR_STRUCTURE,
    ['['] = CHAR_STRUCTURE, [']'] = CHAR_STRUCTURE, [':'] = CHAR_STRUCTURE,
    [','] = CHAR_STRUCTURE, ['"'] = CHAR_STRUCTURE, ['+'] = CHAR_TOKEN,
    ['-'] = CHAR_TOKEN,     ['.'] = CHAR_TOKEN,     ['0' ... '9'] = CHAR_TOKEN,
    ['E'] = CHAR_TOKEN,     ['a'] = CHAR_TOKEN,     ['e'] = CHAR_TOKEN,
    ['f'] = CHAR_TOKEN,     ['l'] = CHAR_TOKEN,     ['n'] = CHAR_TOKEN,
    ['r'] = CHAR_TOKEN,     ['s'] = CHAR_TOKEN,     ['t'] = CHAR_TOKEN,
    ['u'] = CHAR_TOKEN,
};

static CharKind char_kind(char c)
{
    return char_kinds[(unsigned char)c];
}

/* JSON_TOKENER_VALIDATE_UTF8 is left out: json-c 0.16 refuses a character whose bytes arrive in two
 * pieces. Whoever reads a string checks it, see json_get_string(). */
static int frame_new_tokener(Frame *f)
{
    if (f->tokener)
        json_tokener_free(f->tokener);

    f->tokener = json_tokener_new_ex(FRAME_DEPTH_MAX);
    if (!f->tokener)
        return -ENOMEM;

    json_tokener_set_flags(f->tokener, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    return 0;
}

int frame_init(Frame *f, bool resync)
{
    *f = (Frame){.resync = resync};
    return frame_new_tokener(f);
}

void frame_done(Frame *f)
{
    if (f->tokener)
        json_tokener_free(f->tokener);
    *f = (Frame){0};
}

static void frame_count_string(Frame *f, char c)
{
    if (f->escaped)
        f->escaped = false;
    else if (c == '\\')
        f->escaped = true;
    else if (c == '"')
        f->in_string = false;
}

static const char *skip_digits(const char *s)
{
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

/* RFC 8259, section 6. */
static bool is_number(const char *s)
{
    s += *s == '-';
    const char *end = skip_digits(s);
    if (end == s || (*s == '0' && end > s + 1))
        return false;

    if (*end == '.') {
        s = end + 1;
        end = skip_digits(s);
        if (end == s)
            return false;
    }
    if (*end == 'e' || *end == 'E') {
        s = end + 1;
        s += *s == '+' || *s == '-';
        end = skip_digits(s);
        if (end == s)
            return false;
    }
    return *end == '\0';
}

static int frame_end_token(Frame *f)
{
    const char *token = f->token;

    if (f->token_length == 0)
        return 0;

    f->token[f->token_length] = '\0';
    f->token_length = 0;
    if (strcmp(token, "true") == 0 || strcmp(token, "false") == 0 || strcmp(token, "null") == 0)
        return 0;
    return is_number(token) ? 0 : -EBADMSG;
}

static int frame_count_structure(Frame *f, char c)
{
    switch (char_kind(c)) {
    case CHAR_FOREIGN:
        return -EBADMSG;
    case CHAR_TOKEN:
        if (f->token_length == FRAME_NUMBER_MAX)
            return -EBADMSG;
        f->token[f->token_length++] = c;
        return 0;
    case CHAR_SPACE:
        break;
    case CHAR_STRUCTURE:
        f->in_string = c == '"';
        f->containers += c == '{' || c == '[';
        f->values += c == '{' || c == '[' || c == ',';
        break;
    }
    return frame_end_token(f);
}

static int frame_count(Frame *f, const char *bytes, size_t n)
{
    int r = 0;

    f->length += n;
    if (f->length > FRAME_LENGTH_MAX)
        return -EMSGSIZE;

    for (size_t i = 0; i < n && r == 0; i++) {
        if (f->in_string)
            frame_count_string(f, bytes[i]);
        else
            r = frame_count_structure(f, bytes[i]);
    }
    if (r < 0)
        return r;

    if (f->containers > FRAME_CONTAINERS_MAX || f->values > FRAME_VALUES_MAX)
        return -EMSGSIZE;
    return 0;
}

static int frame_skip_line(Frame *f, const char *bytes, size_t n, size_t *ret_used)
{
    const char *newline = memchr(bytes, '\n', n);
    size_t used = newline ? (size_t)(newline - bytes) + 1 : n;

    f->length += used;
    if (f->length > FRAME_LENGTH_MAX)
        return -EMSGSIZE;

    if (newline) {
        f->resync = false;
        f->length = 0;
    }
    *ret_used = used;
    return 0;
}

/* Makes ready for the next message. */
static int frame_next(Frame *f)
{
    bool large = f->length > FRAME_KEEP_MAX;

    *f = (Frame){.tokener = f->tokener};
    return large ? frame_new_tokener(f) : 0;
}

/* The length that belongs to the message: json-c takes the white space after it, too. */
static size_t trim_space(const char *bytes, size_t n)
{
    while (n > 0 && char_kind(bytes[n - 1]) == CHAR_SPACE)
        n--;
    return n;
}

static int frame_parse(Frame *f, const char *bytes, size_t n, size_t *ret_used,
                       json_object **ret_message)
{
    json_object *message = json_tokener_parse_ex(f->tokener, bytes, (int)n);
    enum json_tokener_error error = json_tokener_get_error(f->tokener);
    size_t used = json_tokener_get_parse_end(f->tokener);
    int r = 0;

    if (error == json_tokener_error_depth)
        r = -ELOOP;
    else if (!message && error != json_tokener_continue)
        r = -EBADMSG;

    if (r == 0)
        r = frame_count(f, bytes, message ? trim_space(bytes, used) : used);
    if (r == 0 && message)
        r = frame_next(f);
    if (r < 0) {
        json_object_put(message);
        return r;
    }

    *ret_used = used;
    *ret_message = message;
    return 0;
}

int frame_feed(Frame *f, const char *bytes, size_t n, size_t *ret_used, json_object **ret_message)
{
    size_t skipped = 0;

    if (f->resync) {
        *ret_message = NULL;
        return frame_skip_line(f, bytes, n, ret_used);
    }

    if (f->length == 0) {
        while (skipped < n && char_kind(bytes[skipped]) == CHAR_SPACE)
            skipped++;
        if (skipped == n) {
            *ret_used = n;
            *ret_message = NULL;
            return 0;
        }
        if (bytes[skipped] != '{')
            return -EBADMSG;
    }

    int r = frame_parse(f, bytes + skipped, n - skipped, ret_used, ret_message);
    if (r < 0)
        return r;

    *ret_used += skipped;
    return 0;
}
