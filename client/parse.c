/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* More than a year; it keeps the sum with the clock far from overflow. */
#define SECONDS_MAX 1e8

int parse_seconds(const char *option, const char *word, uint64_t *ret_usec, sd_bus_error *error)
{
    char *end;
    double seconds = strtod(word, &end);

    /* The comparison is false for NaN, too. */
    if (end == word || *end != '\0' || !(seconds >= 0 && seconds <= SECONDS_MAX))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "%s takes a number of seconds, not \"%s\".", option, word);
    *ret_usec = (uint64_t)(seconds * 1e6 + 0.5);
    return 0;
}

int parse_speed(const char *word, uint64_t *ret, sd_bus_error *error)
{
    static const char units[] = "KMGT";
    char *end = NULL;

    errno = 0;
    unsigned long long value = isdigit((unsigned char)*word) ? strtoull(word, &end, 10) : 0;
    const char *unit = end && *end ? strchr(units, toupper((unsigned char)*end)) : NULL;
    unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;

    if (!end || errno != 0 || end[unit ? 1 : 0] != '\0' || value > (uint64_t)INT64_MAX >> shift)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "\"%s\" is no speed. Give bytes per second, as 1000000, 500K, 20M "
                                 "or 1G; 0 is no limit.",
                                 word);
    *ret = (uint64_t)value << shift;
    return 0;
}
