/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * boot-image prints the image that a VM has to be started from. It is asked before QEMU runs, so it
 * goes by the record alone; and what it prints is booted, so it never guesses.
 */
#include "verbs.h"

#include <string.h>

#include "exit-code.h"
#include "known-image.h"
#include "memory.h"
#include "names.h"
#include "near.h"
#include "output.h"

/* An image of the disk that is in that state; NULL for none. */
static const KnownImage *find(const KnownImages *k, const char *disk_path, const char *state)
{
    for (size_t i = 0; i < k->n; i++)
        if (strcmp(k->images[i].disk_path, disk_path) == 0 && known_image_is(&k->images[i], state))
            return &k->images[i];
    return NULL;
}

/* Any image of the disk that is meant; NULL with no error where nothing is on record. */
static int find_disk(const KnownImages *k, const char *word, const KnownImage **ret,
                     sd_bus_error *error)
{
    const KnownImage *found = NULL;

    for (size_t i = 0; i < k->n; i++) {
        const KnownImage *image = &k->images[i];

        if (!known_image_has_disk(image, word))
            continue;
        if (found && strcmp(found->disk_path, image->disk_path) != 0)
            return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                     "%s can be two disks. Name it by its object path: %s or %s.",
                                     word, found->disk_path, image->disk_path);
        found = image;
    }
    *ret = found;
    return 0;
}

static int refuse_unknown(const KnownImages *k, const char *word, sd_bus_error *error)
{
    _cleanup_(freep) char **names = need(calloc(k->n + 1, sizeof(*names)));
    const char *near[NEAR_MAX];

    for (size_t i = 0; i < k->n; i++)
        names[i] = k->images[i].disk_name;
    if (near_names(word, names, k->n, near) > 0)
        return sd_bus_error_setf(error, ERROR_NO_SUCH_IMAGE,
                                 "No image of a disk %s is on record. Did you mean %s?", word,
                                 near[0]);
    return sd_bus_error_setf(error, ERROR_NO_SUCH_IMAGE,
                             "No image of a disk %s is on record. \"vmdiskctl images\" shows what "
                             "is; a disk gets there when its VM runs.",
                             word);
}

/* QEMU was switching by itself, and was not seen to have done it. */
static int refuse_merging(const Client *c, const KnownImage *image, sd_bus_error *error)
{
    const char *base = image->use_instead ? image->use_instead : "its base";
    _cleanup_(freep) char *forget = client_command(c, "forget", image->file, "IMAGE");

    return sd_bus_error_setf(error, ERROR_STALE_IMAGE,
                             "%s: it is not known which image to boot. QEMU was switching from %s "
                             "to %s when it was seen last. Where the VM does not run any more, "
                             "compare the two (\"qemu-img compare\"), drop the record with \"%s\", "
                             "and start the VM from the one that is right; see vmdiskctl(1).",
                             image->disk_name, image->file, base, forget);
}

static int refuse_headless(const KnownImage *image, sd_bus_error *error)
{
    return sd_bus_error_setf(error, SD_BUS_ERROR_FAILED,
                             "%s: images of this disk are on record, but not which of them to "
                             "boot. \"vmdiskctl images\" shows them. Start the VM from the right "
                             "one once, and it is on record, or forget all of them.",
                             image->disk_name);
}

/* A default that the record knows to be wrong: it was merged, or another image builds on it. A
 * relative name means something else to each VM. */
static int check_default(const KnownImages *k, const char *file, sd_bus_error *error)
{
    for (size_t i = 0; *file == '/' && i < k->n; i++) {
        const KnownImage *image = &k->images[i];

        if (strcmp(image->file, file) != 0)
            continue;
        if (image->use_instead)
            return sd_bus_error_setf(error, ERROR_STALE_IMAGE,
                                     "%s is not to be booted: as an image of %s it is %s. Use %s "
                                     "instead.",
                                     file, image->disk_name, image->state, image->use_instead);
        if (known_image_is(image, "base"))
            return sd_bus_error_setf(error, ERROR_IMAGE_IN_USE,
                                     "%s is not to be booted: it is the base of another image of "
                                     "%s, which that would damage.",
                                     file, image->disk_name);
    }
    return 0;
}

/* The file, or an error that says why there is none. The file is borrowed. */
static int choose(const Client *c, const KnownImages *k, const char *word, const char *fallback,
                  const char **ret, sd_bus_error *error)
{
    const KnownImage *any = NULL;

    int r = find_disk(k, word, &any, error);
    if (r < 0)
        return r;
    if (!any && !fallback)
        return refuse_unknown(k, word, error);
    if (!any) {
        *ret = fallback;
        return check_default(k, fallback, error);
    }

    const KnownImage *merging = find(k, any->disk_path, "merging");
    const KnownImage *active = find(k, any->disk_path, "active");
    if (merging)
        return refuse_merging(c, merging, error);
    if (!active)
        return refuse_headless(any, error);
    *ret = active->file;
    return 0;
}

/* A script gets the very bytes; a terminal is spared what they might do to it. */
static void print_file(const char *file)
{
    _cleanup_(freep) char *shown = text_for_people(file, look_of(stdout));

    puts(isatty(STDOUT_FILENO) ? shown : file);
}

static void print_json(const char *file, JsonMode mode)
{
    json_object *object = need(json_object_new_object());

    json_put(object, "image", json_text(file, /* empty_is_null= */ false));
    json_print(object, mode);
}

int verb_boot_image(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(known_images_freep) KnownImages *k = NULL;
    const char *file = NULL;

    int r = known_images_read(c, &k, error);
    if (r < 0)
        return r;
    r = choose(c, k, arguments[0], /* fallback= */ arguments[1], &file, error);
    if (r < 0)
        return r;

    if (c->options.json == JSON_OFF)
        print_file(file);
    else if (text_is_utf8(file))
        print_json(file, c->options.json);
    else
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "%s cannot be told in JSON: it is not UTF-8.", file);
    return EXIT_DONE;
}
