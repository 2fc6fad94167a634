/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "known-image.h"

#include <errno.h>
#include <string.h>

#include "memory.h"
#include "names.h"

const RecordField known_image_fields[] = {
    {"image", "image", 's', offsetof(KnownImage, file)},
    {"vm", "vm", 's', offsetof(KnownImage, vm)},
    {"disk", "disk", 's', offsetof(KnownImage, disk)},
    {"state", "state", 's', offsetof(KnownImage, state)},
    {"since-usec", "since-usec", 't', offsetof(KnownImage, since_usec)},
    {"use-instead", "use-instead", 's', offsetof(KnownImage, use_instead)},
    {},
};

static void image_done(KnownImage *image)
{
    record_done(known_image_fields, image);
    free(image->disk_name);
    free(image->vm_path);
    free(image->disk_path);
}

KnownImages *known_images_free(KnownImages *k)
{
    if (!k)
        return NULL;
    for (size_t i = 0; i < k->n; i++)
        image_done(&k->images[i]);
    free(k->images);
    free(k);
    return NULL;
}

/* What follows from the names. */
static int complete(KnownImage *image)
{
    if (!image->file || !image->vm || !image->disk || !image->state)
        return -EBADMSG;

    image->disk_name = need_format("%s/%s", image->vm, image->disk);
    int r = sd_bus_path_encode_many(&image->vm_path, PATH_VMS "/%", image->vm);
    if (r < 0)
        return r;
    return sd_bus_path_encode_many(&image->disk_path, PATH_VMS "/%/%", image->vm, image->disk);
}

static int read_images(sd_bus_message *reply, KnownImages *k)
{
    int r = sd_bus_message_enter_container(reply, 'a', "a{sv}");
    if (r < 0)
        return r;

    while ((r = sd_bus_message_at_end(reply, /* complete= */ false)) == 0) {
        k->images = need_grow(k->images, k->n, sizeof(*k->images));
        KnownImage *image = &k->images[k->n];

        image->place = k->n++;
        r = record_read(reply, known_image_fields, /* other= */ NULL, image);
        if (r >= 0)
            r = complete(image);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sd_bus_message_exit_container(reply);
}

static int compare_images(const void *a, const void *b)
{
    const KnownImage *x = a, *y = b;
    int order = strverscmp(x->vm, y->vm);

    if (order == 0)
        order = strverscmp(x->disk, y->disk);
    if (order == 0)
        order = x->place < y->place ? -1 : x->place > y->place;
    return order;
}

int known_images_read(Client *c, KnownImages **ret, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_(known_images_freep) KnownImages *k = need(calloc(1, sizeof(*k)));

    int r = client_call(c, PATH_ROOT, INTERFACE_MANAGER, "ListImages", &reply, error,
                        /* types= */ NULL);
    if (r < 0)
        return r;

    r = read_images(reply, k);
    if (r < 0)
        return sd_bus_error_set(error, SD_BUS_ERROR_INCONSISTENT_MESSAGE,
                                "The service's record of images cannot be read.");
    if (k->n > 0)
        qsort(k->images, k->n, sizeof(*k->images), compare_images);
    *ret = TAKE_PTR(k);
    return 0;
}

bool known_image_is(const KnownImage *image, const char *state)
{
    return strcmp(image->state, state) == 0;
}

bool known_image_has_disk(const KnownImage *image, const char *word)
{
    return strcmp(image->disk_name, word) == 0 || strcmp(image->disk_path, word) == 0;
}

static bool has_vm(const KnownImage *image, const char *word)
{
    return strcmp(image->vm, word) == 0 || strcmp(image->vm_path, word) == 0;
}

void known_images_keep(KnownImages *k, const char *word)
{
    size_t kept = 0;

    for (size_t i = 0; i < k->n; i++) {
        if (known_image_has_disk(&k->images[i], word) || has_vm(&k->images[i], word))
            k->images[kept++] = k->images[i];
        else
            image_done(&k->images[i]);
    }
    k->n = kept;
}
