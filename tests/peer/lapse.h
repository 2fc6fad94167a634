/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Time-outs without the wait. What the service sends between the two calls was sent long ago when
 * the second returns: longer than any command may take.
 *
 * The program is linked with -Wl,--wrap=clock_gettime: until lapse_end() the service's clock is
 * behind, so that its deadlines have passed when the clock is right again.
 */
#pragma once

void lapse_begin(void);
void lapse_end(void);
