/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * images shows the service's record of images; forget drops one from it.
 */
#include "verbs.h"

#include <assert.h>
#include <string.h>

#include "exit-code.h"
#include "known-image.h"
#include "memory.h"
#include "names.h"
#include "output.h"
#include "table.h"

enum {
    COLUMN_DISK,
    COLUMN_STATE,
    COLUMN_SINCE,
    COLUMN_IMAGE,
    COLUMN_INSTEAD,
    COLUMN_MAX_,
};

static Tint tint_of(const KnownImage *image)
{
    if (known_image_is(image, "active"))
        return TINT_GOOD;
    return known_image_is(image, "merging") ? TINT_ATTENTION : TINT_NONE;
}

static void add_image(Table *t, const KnownImage *image, Look look)
{
    const char *instead = image->use_instead ? image->use_instead : "";

    table_add(t, TINT_NONE, text_for_people(image->disk_name, look));
    table_add(t, tint_of(image), text_for_people(image->state, look));
    table_add(t, TINT_NONE, time_for_people(image->since_usec));
    table_add(t, TINT_NONE, text_for_people(image->file, look));
    table_add(t, TINT_NONE, text_for_people(instead, look));
}

static void print_table(const KnownImages *k)
{
    static const char *const titles[] = {"DISK", "STATE", "SINCE", "IMAGE", "USE INSTEAD"};
    static_assert(ELEMENTSOF(titles) == COLUMN_MAX_, "each column has a title");

    _cleanup_(table_freep) Table *t = table_new(COLUMN_MAX_, /* right= */ SIZE_MAX);
    Look look = look_of(stdout);

    for (size_t i = 0; i < COLUMN_MAX_; i++)
        table_add(t, TINT_FAINT, need(strdup(titles[i])));
    for (size_t i = 0; i < k->n; i++)
        add_image(t, &k->images[i], look);
    table_print(t, stdout, look);
}

/* For shell completion: one image a line. */
static void print_names(const KnownImages *k)
{
    for (size_t i = 0; i < k->n; i++) {
        _cleanup_(freep) char *line = text_for_people(k->images[i].file, (Look){.utf8 = true});

        puts(line);
    }
}

static void print_json(const KnownImages *k, JsonMode mode)
{
    json_object *array = need(json_object_new_array());

    for (size_t i = 0; i < k->n; i++)
        json_append(array, record_to_json(known_image_fields, &k->images[i]));
    json_print(array, mode);
}

int verb_images(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(known_images_freep) KnownImages *k = NULL;
    const char *word = arguments[0];

    int r = known_images_read(c, &k, error);
    if (r < 0)
        return r;
    if (word)
        known_images_keep(k, word);
    if (word && k->n == 0)
        return sd_bus_error_setf(error, ERROR_NO_SUCH_IMAGE,
                                 "No image of %s is on record. \"vmdiskctl images\" shows all that "
                                 "are.",
                                 word);

    if (c->options.given & OPTION_NAMES)
        print_names(k);
    else if (c->options.json != JSON_OFF)
        print_json(k, c->options.json);
    else if (k->n > 0)
        print_table(k);
    else if (!c->options.quiet)
        puts("No image is on record.");
    return EXIT_DONE;
}

int verb_forget(Client *c, char **arguments, sd_bus_error *error)
{
    const char *image = arguments[0];

    if (!text_is_utf8(image))
        return sd_bus_error_setf(error, ERROR_NO_SUCH_IMAGE,
                                 "Nothing is on record for image '%s': its name is not UTF-8.",
                                 image);
    int r = client_call(c, PATH_ROOT, INTERFACE_MANAGER, "ForgetImage", /* ret_reply= */ NULL,
                        error, "s", image);
    if (r < 0)
        return r;

    if (c->options.json != JSON_OFF) {
        json_object *object = need(json_object_new_object());

        json_put(object, "image", json_text(image, /* empty_is_null= */ false));
        json_print(object, c->options.json);
    } else if (!c->options.quiet) {
        _cleanup_(freep) char *shown = text_for_people(image, look_of(stdout));
        printf("Nothing is on record for %s any more.\n", shown);
    }
    return EXIT_DONE;
}
