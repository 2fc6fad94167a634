/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The options of a call as text, for tests to compare.
 */
#pragma once

#include <glib.h>
#include <systemd/sd-bus.h>

/* Reads the dictionary that comes first in the call: "active=yes, speed=1024, disks=a+b", in the
 * order of the call. The caller frees. */
char *fake_options_text(sd_bus_message *call);
