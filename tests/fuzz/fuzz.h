/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What every fuzz target defines, and libFuzzer or replay.c calls.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
