/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * record: a struct that a table describes, read from a dictionary a{sv} of the bus and written as
 * JSON. What the table does not know, or knows with another type, is skipped: the service may be
 * newer than the client.
 */
#pragma once

#include <json-c/json.h>
#include <systemd/sd-bus.h>

typedef struct RecordField {
    const char *name; /* on the bus; NULL ends the table */
    const char *key;  /* in JSON; NULL leaves it out there */
    char type;        /* 's' and 'o': char *, 'b': bool, 'u': uint32_t, 't': uint64_t */
    size_t offset;
} RecordField;

/* Called for what the table does not know, with the type of the value that m is at. Returns 1 when
 * it has read the value, 0 when it has not, a negative errno on failure. */
typedef int (*RecordOther)(sd_bus_message *m, const char *name, const char *type, void *record);

/* Reads a dictionary; what the dictionary does not name stays as it is. `other` may be NULL. */
int record_read(sd_bus_message *m, const RecordField *fields, RecordOther other, void *record);
/* A string that was not there is null. */
json_object *record_to_json(const RecordField *fields, const void *record);
/* Frees the strings and zeroes the fields. */
void record_done(const RecordField *fields, void *record);
