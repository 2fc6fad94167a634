/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "throttled.h"

#include <string.h>

#include "wait.h"

char *throttled_to(Qemu *vm, const char *disk)
{
    static const char *const members[] = {"bps",
                                          "bps_rd",
                                          "bps_wr",
                                          "iops",
                                          "iops_rd",
                                          "iops_wr",
                                          "bps_max",
                                          "bps_rd_max",
                                          "bps_wr_max",
                                          "iops_max",
                                          "iops_rd_max",
                                          "iops_wr_max",
                                          "iops_wr_max_length",
                                          "iops_size",
                                          "group"};
    g_autofree char *wanted = g_strdup_printf("/machine/peripheral/%s/virtio-backend", disk);
    json_object *list = qmp_client_command(qemu_monitor(vm), "query-block", NULL);
    GString *text = g_string_new(NULL);

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *device = json_object_array_get_idx(list, i), *qdev, *value;

        if (!json_object_object_get_ex(device, "qdev", &qdev) ||
            strcmp(json_object_get_string(qdev), wanted) != 0)
            continue;
        for (unsigned k = 0; k < G_N_ELEMENTS(members); k++)
            if (json_object_object_get_ex(qmp_member(device, "inserted"), members[k], &value))
                g_string_append_printf(text, "%s=%s ", members[k], json_object_get_string(value));
    }
    json_object_put(list);
    g_assert_cmpstr(text->str, !=, "");
    return g_string_free(text, FALSE);
}

typedef struct Awaited {
    Qemu *vm;
    const char *disk, *limits;
} Awaited;

static bool are_limits(gpointer data)
{
    const Awaited *awaited = data;
    g_autofree char *now = throttled_to(awaited->vm, awaited->disk);

    return strcmp(now, awaited->limits) == 0;
}

static bool are_other_limits(gpointer data)
{
    return !are_limits(data);
}

void throttled_wait(Qemu *vm, const char *disk, const char *limits)
{
    wait_until("the limits of before", are_limits, &(Awaited){vm, disk, limits});
}

void throttled_wait_other(Qemu *vm, const char *disk, const char *limits)
{
    wait_until("other limits", are_other_limits, &(Awaited){vm, disk, limits});
}
