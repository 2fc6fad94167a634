/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * bus-json turns a value of the bus into JSON as it is, whatever it is: for answers that scripts
 * get whole, also from a service that is newer than the client.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-bus.h>

/* Reads the next value: numbers, booleans, text, arrays, and dictionaries with text for keys. What
 * has no place in JSON is null. */
int bus_json_read(sd_bus_message *m, json_object **ret);
