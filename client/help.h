/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * help prints what --help prints; the manual page says more.
 */
#pragma once

void help_print(void);
