/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "record.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "memory.h"
#include "output.h"

static void *field_of(const RecordField *field, const void *record)
{
    return (char *)record + field->offset;
}

static const RecordField *find(const RecordField *fields, const char *name, const char *type)
{
    for (const RecordField *f = fields; f->name; f++)
        if (strcmp(f->name, name) == 0 && type[0] == f->type && type[1] == '\0')
            return f;
    return NULL;
}

static int read_text(sd_bus_message *m, char type, char **field)
{
    const char *value;

    int r = sd_bus_message_read_basic(m, type, &value);
    if (r < 0)
        return r;
    free(*field);
    *field = need(strdup(value));
    return 0;
}

static int read_field(sd_bus_message *m, const RecordField *field, void *record)
{
    void *target = field_of(field, record);
    int flag, r;

    switch (field->type) {
    case 's':
    case 'o':
        return read_text(m, field->type, target);
    case 'b':
        r = sd_bus_message_read_basic(m, 'b', &flag);
        if (r >= 0)
            *(bool *)target = flag;
        return r;
    default:
        return sd_bus_message_read_basic(m, field->type, target);
    }
}

/* m is at the variant of one entry. */
static int read_variant(sd_bus_message *m, const char *name, const RecordField *fields,
                        RecordOther other, void *record)
{
    const char *type;
    int taken = 0;

    int r = sd_bus_message_peek_type(m, /* ret_type= */ NULL, &type);
    if (r < 0)
        return r;
    r = sd_bus_message_enter_container(m, 'v', type);
    if (r < 0)
        return r;

    const RecordField *field = find(fields, name, type);
    if (field) {
        r = read_field(m, field, record);
        taken = 1;
    } else if (other)
        r = taken = other(m, name, type, record);
    if (r < 0)
        return r;

    if (taken == 0) {
        r = sd_bus_message_skip(m, type);
        if (r < 0)
            return r;
    }
    return sd_bus_message_exit_container(m);
}

int record_read(sd_bus_message *m, const RecordField *fields, RecordOther other, void *record)
{
    int r = sd_bus_message_enter_container(m, 'a', "{sv}");
    if (r < 0)
        return r;

    for (;;) {
        const char *name;

        r = sd_bus_message_enter_container(m, 'e', "sv");
        if (r <= 0)
            break;
        r = sd_bus_message_read_basic(m, 's', &name);
        if (r < 0)
            return r;
        r = read_variant(m, name, fields, other, record);
        if (r < 0)
            return r;
        r = sd_bus_message_exit_container(m);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static json_object *field_to_json(const RecordField *field, const void *record)
{
    const void *value = field_of(field, record);

    switch (field->type) {
    case 's':
    case 'o':
        return json_text(*(char *const *)value, /* empty_is_null= */ false);
    case 'b':
        return need(json_object_new_boolean(*(const bool *)value));
    case 'u':
        return need(json_object_new_uint64(*(const uint32_t *)value));
    default:
        return need(json_object_new_uint64(*(const uint64_t *)value));
    }
}

json_object *record_to_json(const RecordField *fields, const void *record)
{
    json_object *object = need(json_object_new_object());

    for (const RecordField *f = fields; f->name; f++)
        if (f->key)
            json_put(object, f->key, field_to_json(f, record));
    return object;
}

void record_done(const RecordField *fields, void *record)
{
    for (const RecordField *f = fields; f->name; f++) {
        void *target = field_of(f, record);

        switch (f->type) {
        case 's':
        case 'o':
            free(*(char **)target);
            *(char **)target = NULL;
            break;
        case 'b':
            *(bool *)target = false;
            break;
        case 'u':
            *(uint32_t *)target = 0;
            break;
        default:
            *(uint64_t *)target = 0;
        }
    }
}
