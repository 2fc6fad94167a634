/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dry-run.h"

#include <inttypes.h>
#include <string.h>

#include "bus-json.h"
#include "commit-call.h"
#include "exit-code.h"
#include "memory.h"
#include "names.h"
#include "output.h"
#include "table.h"

static json_object *get(json_object *o, const char *key)
{
    json_object *value = NULL;

    (void)json_object_object_get_ex(o, key, &value);
    return value;
}

/* NULL where the report has no such text. */
static const char *get_text(json_object *o, const char *key)
{
    json_object *value = get(o, key);

    return json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

/* Takes over the value. */
static void add(Table *t, const char *title, Tint tint, char *value)
{
    table_add(t, TINT_FAINT, need(strdup(title)));
    table_add(t, tint, value);
}

static char *shown(const char *text)
{
    return text_for_people(text ? text : "", look_of(stdout));
}

/* The size under that key; NULL where the report has none. The caller frees. */
static char *size_of(json_object *report, const char *key)
{
    json_object *value = get(report, key);

    return value ? size_for_people(json_object_get_uint64(value)) : NULL;
}

/* One line for each text of the list. */
static void add_list(Table *t, const char *title, Tint tint, json_object *list)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

    for (size_t i = 0; i < n; i++) {
        const char *text = json_object_get_string(json_object_array_get_idx(list, i));

        add(t, i == 0 ? title : "", tint, shown(text));
    }
}

static const char *meaning_of(const char *becomes)
{
    static const struct {
        const char *word, *meaning;
    } table[] = {
        {"written", "is written: the base"},
        {"unused", "leaves the chain"},
        {"stale", "leaves the chain with the pivot; must not be booted from then on"},
        {"rewritten", "gets another backing file"},
        {"unchanged", "is not changed"},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (becomes && strcmp(table[i].word, becomes) == 0)
            return table[i].meaning;
    return becomes ? becomes : "";
}

static void add_images(Table *t, json_object *images)
{
    size_t n = json_object_is_type(images, json_type_array) ? json_object_array_length(images) : 0;

    for (size_t i = 0; i < n; i++) {
        json_object *image = json_object_array_get_idx(images, i);
        _cleanup_(freep) char *file = shown(get_text(image, "file"));
        _cleanup_(freep) char *meaning = shown(meaning_of(get_text(image, "becomes")));

        add(t, i == 0 ? "Images:" : "", TINT_NONE, need_format("%zu: %s %s", i, file, meaning));
    }
}

static void add_sizes(Table *t, json_object *report)
{
    _cleanup_(freep) char *copy = size_of(report, "bytes-to-copy");
    _cleanup_(freep) char *base = size_of(report, "base-size");
    _cleanup_(freep) char *grown = size_of(report, "grows-to");
    _cleanup_(freep) char *room = size_of(report, "room");

    /* The guest writes to the active image only. */
    bool active = json_object_get_boolean(get(report, "active"));

    if (copy)
        add(t, "To copy:", TINT_NONE,
            need_format("%s at most%s", copy,
                        active ? ", and what the guest writes meanwhile" : ""));
    if (base && grown)
        add(t, "Base:", TINT_NONE, need_format("%s, has to grow to %s", base, grown));
    if (room)
        add(t, "Room:", TINT_NONE, need_format("%s, on a device of that size", room));
}

static void print_report(const Target *target, json_object *report, bool possible)
{
    _cleanup_(table_freep) Table *t = table_new(2, /* right= */ SIZE_MAX);
    Look look = look_of(stdout);
    Tint tint = possible ? TINT_GOOD : TINT_ATTENTION;

    printf("%s: %sthe commit is %spossible%s. Nothing was changed.\n", target->label,
           tint_begin(look, tint), possible ? "" : "not ", tint_end(look, tint));
    if (get_text(report, "message"))
        add(t, "Refused:", TINT_ATTENTION, shown(get_text(report, "message")));
    add_list(t, "Obstacle:", TINT_ATTENTION, get(report, "obstacles"));
    add_list(t, "Warning:", TINT_ATTENTION, get(report, "warnings"));
    add_images(t, get(report, "images"));
    add_sizes(t, report);
    add_list(t, "Also on it:", TINT_NONE, get(report, "other-overlays"));
    add_list(t, "Bitmaps kept:", TINT_NONE, get(report, "bitmaps-kept"));
    add_list(t, "Bitmaps lost:", TINT_ATTENTION, get(report, "bitmaps-lost"));
    add_list(t, "QMP:", TINT_FAINT, get(report, "commands"));
    table_print(t, stdout, look);
}

int dry_run(Client *c, const Target *target, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    json_object *report = NULL;

    int r = client_call_with(c, target->disk->path, INTERFACE_DISK, "Check", &reply, error,
                             commit_call_append, &c->options);
    if (r < 0)
        return r;
    r = bus_json_read(reply, &report);
    if (r < 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INCONSISTENT_MESSAGE,
                                 "%s: the service's answer to Check cannot be read.",
                                 target->label);

    bool possible = json_object_get_boolean(get(report, "possible"));
    const char *refusal = get_text(report, "error");
    ExitCode code = possible ? EXIT_DONE : refusal ? exit_code_from_error(refusal) : EXIT_FAILED;

    if (c->options.json != JSON_OFF) {
        json_print(report, c->options.json);
        return (int)code;
    }
    if (!c->options.quiet)
        print_report(target, report, possible);
    json_object_put(report);
    return (int)code;
}
