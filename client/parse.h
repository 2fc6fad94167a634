/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * parse reads what people write for numbers: times and speeds. What it cannot read is told as a
 * wrong use of the command line.
 */
#pragma once

#include <stdint.h>
#include <systemd/sd-bus.h>

/* Seconds, with a fraction or without, for the option of that name. */
int parse_seconds(const char *option, const char *word, uint64_t *ret_usec, sd_bus_error *error);
/* Bytes a second with an optional K, M, G or T of 1024; at most 2^63-1. */
int parse_speed(const char *word, uint64_t *ret, sd_bus_error *error);
