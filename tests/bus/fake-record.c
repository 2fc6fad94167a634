/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ListImages() as the interface describes it.
 */
#include "fake-record.h"

/* The same for all. */
#define SINCE_USEC UINT64_C(1714564800000000)

typedef struct KnownImage {
    char *image, *vm, *disk, *state, *use_instead;
} KnownImage;

struct FakeRecord {
    GPtrArray *images;
};

static void image_free(gpointer data)
{
    KnownImage *k = data;

    g_free(k->image);
    g_free(k->vm);
    g_free(k->disk);
    g_free(k->state);
    g_free(k->use_instead);
    g_free(k);
}

FakeRecord *fake_record_new(void)
{
    FakeRecord *r = g_new0(FakeRecord, 1);

    r->images = g_ptr_array_new_with_free_func(image_free);
    return r;
}

void fake_record_free(FakeRecord *r)
{
    g_ptr_array_unref(r->images);
    g_free(r);
}

void fake_record_add(FakeRecord *r, const char *image, const char *vm, const char *disk,
                     const char *state, const char *use_instead)
{
    KnownImage *k = g_new0(KnownImage, 1);

    k->image = g_strdup(image);
    k->vm = g_strdup(vm);
    k->disk = g_strdup(disk);
    k->state = g_strdup(state);
    k->use_instead = g_strdup(use_instead);
    g_ptr_array_add(r->images, k);
}

/* With a key that no client knows: the service may be newer. */
static void append_image(sd_bus_message *reply, const KnownImage *k)
{
    g_assert_cmpint(sd_bus_message_open_container(reply, 'a', "{sv}"), >=, 0);
    g_assert_cmpint(sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}{sv}", "image", "s", k->image,
                                          "vm", "s", k->vm, "disk", "s", k->disk, "state", "s",
                                          k->state, "since-usec", "t", SINCE_USEC, "novelty",
                                          "(su)", "x", UINT32_C(1)),
                    >=, 0);
    if (k->use_instead) {
        int n = sd_bus_message_append(reply, "{sv}", "use-instead", "s", k->use_instead);
        g_assert_cmpint(n, >=, 0);
    }
    g_assert_cmpint(sd_bus_message_close_container(reply), >=, 0);
}

void fake_record_answer(const FakeRecord *r, sd_bus_message *call)
{
    sd_bus_message *reply;

    g_assert_cmpint(sd_bus_message_new_method_return(call, &reply), >=, 0);
    g_assert_cmpint(sd_bus_message_open_container(reply, 'a', "a{sv}"), >=, 0);
    for (guint i = 0; i < r->images->len; i++)
        append_image(reply, r->images->pdata[i]);
    g_assert_cmpint(sd_bus_message_close_container(reply), >=, 0);
    g_assert_cmpint(sd_bus_send(NULL, reply, NULL), >=, 0);
    sd_bus_message_unref(reply);
}
