/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * help prints what --help prints; the manual page says more.
 */
#pragma once

#include "verbs.h"

void help_print(void);
/* Of one command. */
void help_print_verb(const Verb *v);
