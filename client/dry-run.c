/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dry-run.h"

#include <inttypes.h>
#include <string.h>

#include "bus-json.h"
#include "commit-call.h"
#include "conclude.h"
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

static bool is_possible(json_object *report)
{
    return json_object_get_boolean(get(report, "possible"));
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

static void print_report(const Target *target, json_object *report, const char *refusal)
{
    _cleanup_(table_freep) Table *t = table_new(2, /* right= */ SIZE_MAX);
    Look look = look_of(stdout);
    bool possible = is_possible(report) && !refusal;
    Tint tint = possible ? TINT_GOOD : TINT_ATTENTION;

    printf("%s: %sthe commit is %spossible%s. Nothing was changed.\n", target->label,
           tint_begin(look, tint), possible ? "" : "not ", tint_end(look, tint));
    if (refusal)
        add(t, "Refused:", TINT_ATTENTION, shown(refusal));
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

/* What the commit of that disk would end with. */
static ExitCode code_of(json_object *report)
{
    const char *error = get_text(report, "error");

    return is_possible(report) ? EXIT_DONE : error ? exit_code_from_error(error) : EXIT_FAILED;
}

static int check(Client *c, const Target *target, const Options *options, json_object **ret,
                 sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

    int r = client_call_with(c, target->disk->path, INTERFACE_DISK, "Check", &reply, error,
                             commit_call_append, options);
    if (r < 0)
        return r;
    r = bus_json_read(reply, ret);
    if (r < 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INCONSISTENT_MESSAGE,
                                 "%s: the service's answer to Check cannot be read.",
                                 target->label);
    return 0;
}

int dry_run(Client *c, const Target *target, sd_bus_error *error)
{
    json_object *report;

    int r = check(c, target, &c->options, &report, error);
    if (r < 0)
        return r;

    ExitCode code = code_of(report);
    if (c->options.json != JSON_OFF) {
        json_print(report, c->options.json);
        return (int)code;
    }
    if (!c->options.quiet)
        print_report(target, report, get_text(report, "message"));
    json_object_put(report);
    return (int)code;
}

/* The disks of a VM as they are gone through. */
typedef struct Survey {
    Client *client;
    Options options; /* those of Check: no disks */
    bool named;      /* whoever asks has named the disks */
    size_t n;        /* disks that would be committed, or refused */
    ExitCode code;   /* of the first that is refused */
    json_object *disks;
} Survey;

static void survey_done(Survey *s)
{
    json_object_put(s->disks);
}

/* Takes the report. */
static void survey_add(Survey *s, const Target *target, json_object *report)
{
    const char *together = get_text(report, "together");
    const char *refusal = together ? together : get_text(report, "message");
    bool left_out = !s->named && json_object_get_boolean(get(report, "left-out"));
    json_object *disk = need(json_object_new_object());

    if (!left_out) {
        ExitCode code = together ? EXIT_FAILED : code_of(report);

        s->n++;
        s->code = s->code == EXIT_DONE ? code : s->code;
    }
    if (conclude_talks(s->client) && left_out) {
        _cleanup_(freep) char *why = shown(refusal);

        printf("%s is left out. %s\n", target->label, why);
    } else if (conclude_talks(s->client))
        print_report(target, report, refusal);

    json_put(disk, "disk", json_text(target->disk->name, /* empty_is_null= */ false));
    json_put(disk, "left-out", need(json_object_new_boolean(left_out)));
    json_put(disk, "report", report);
    json_append(s->disks, disk);
}

static int survey_disk(Survey *s, const Model *m, const char *name, sd_bus_error *error)
{
    _cleanup_(target_done) Target target = {};
    json_object *report;

    int r = target_find_disk(m, name, &target, error);
    if (r >= 0)
        r = check(s->client, &target, &s->options, &report, error);
    if (r >= 0)
        survey_add(s, &target, report);
    return r;
}

static void print_verdict(const Survey *s, const Target *target)
{
    if (s->n == 0)
        printf("%s: no disk has anything to commit with these options.\n", target->label);
    else if (s->code == EXIT_DONE)
        printf("%s: %zu disk%s would be committed%s.\n", target->label, s->n, s->n > 1 ? "s" : "",
               s->n > 1 ? " together" : "");
    else
        printf("%s: no disk would be committed: all are, or none. --disk chooses among them.\n",
               target->label);
}

int dry_run_vm(Client *c, const Model *m, const Target *target, sd_bus_error *error)
{
    const Vm *vm = target->vm;
    _cleanup_(survey_done) Survey s = {
        .client = c,
        .options = c->options,
        .named = c->options.n_disks > 0,
        .disks = need(json_object_new_array()),
    };
    size_t n = s.named ? c->options.n_disks : vm->n_disks;

    s.options.n_disks = 0;
    for (size_t i = 0; i < n; i++) {
        _cleanup_(freep) char *name = s.named ? need_format("%s/%s", vm->name, c->options.disks[i])
                                              : need(strdup(vm->disks[i].path));
        int r = survey_disk(&s, m, name, error);

        if (r < 0)
            return r;
    }

    ExitCode code = s.n > 0 ? s.code : EXIT_FAILED;
    if (conclude_talks(c))
        print_verdict(&s, target);
    if (c->options.json != JSON_OFF) {
        json_object *object = need(json_object_new_object());

        json_put(object, "vm", json_text(vm->name, /* empty_is_null= */ false));
        json_put(object, "possible", need(json_object_new_boolean(code == EXIT_DONE)));
        json_put(object, "disks", json_object_get(s.disks));
        json_print(object, c->options.json);
    }
    return (int)code;
}
