/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmdisk1.Manager.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "bus.h"
#include "bus-options.h"
#include "errors.h"
#include "log.h"

static void on_attached(const Refusal *refusal, Vm *vm, void *userdata)
{
    sd_bus_message *call = userdata;
    _cleanup_(freep) char *path = vm ? bus_vm_path(vm) : NULL;
    int r;

    if (refusal->kind != REFUSAL_NONE)
        r = errors_reply(call, refusal);
    else if (path)
        r = sd_bus_reply_method_return(call, "o", path);
    else
        r = errors_reply(call, &(Refusal){REFUSAL_NO_MEMORY, NULL});
    if (r < 0)
        log_line(LOG_WARNING, NULL, "A reply to AttachVM cannot be sent: %s", strerror(-r));
    sd_bus_message_unref(call);
}

static int attach_vm(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Bus *b = userdata;
    Refusal refusal = {REFUSAL_NONE, NULL};
    const char *name;
    int fd;

    int r = sd_bus_message_read(call, "sh", &name, &fd);
    if (r < 0)
        return r;
    /* No option is defined yet. */
    r = bus_options_read(call, /* table= */ NULL, 0, /* ret= */ NULL, &refusal);
    if (r >= 0 && refusal.text)
        refusal_set(&refusal, refusal.kind, "VM '%s': %s", name, refusal.text);
    if (r >= 0 && refusal.kind != REFUSAL_NONE)
        r = errors_reply(call, &refusal);
    refusal_done(&refusal);
    if (r != 0)
        return r;

    /* The message keeps its own descriptor. */
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0)
        return -errno;
    manager_attach(bus_manager(b), name, copy, bus_caller_uid(b, call), on_attached,
                   sd_bus_message_ref(call));
    return 1;
}

static int append_image(sd_bus_message *reply, const LedgerGroup *g, const LedgerImage *image)
{
    int r = sd_bus_message_open_container(reply, 'a', "{sv}");
    if (r < 0)
        return r;
    r = sd_bus_message_append(reply, "{sv}{sv}{sv}{sv}{sv}", "image", "s", image->file, "vm", "s",
                              g->vm, "disk", "s", g->disk, "state", "s",
                              ledger_state_to_string(image->state), "since-usec", "t",
                              image->since_usec);
    if (r >= 0 && image->use_instead)
        r = sd_bus_message_append(reply, "{sv}", "use-instead", "s", image->use_instead);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int append_images(sd_bus_message *reply, const Ledger *l)
{
    int r = sd_bus_message_open_container(reply, 'a', "a{sv}");

    for (const LedgerGroup *g = ledger_next(l, NULL); r >= 0 && g; g = ledger_next(l, g))
        for (size_t i = 0; r >= 0 && i < g->n_images; i++)
            r = append_image(reply, g, &g->images[i]);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int list_images(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    const Bus *b = userdata;
    sd_bus_message *reply = NULL;

    int r = sd_bus_message_new_method_return(call, &reply);
    if (r >= 0)
        r = append_images(reply, manager_ledger(bus_manager(b)));
    if (r >= 0)
        r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    return r < 0 ? r : 1;
}

static int forget_image(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    const Bus *b = userdata;
    const char *image;

    int r = sd_bus_message_read(call, "s", &image);
    if (r < 0)
        return r;
    r = ledger_forget(manager_ledger(bus_manager(b)), image);
    if (r == -ENOENT)
        return errors_replyf(call, REFUSAL_NO_SUCH_IMAGE,
                             "Nothing is on record for image '%s'. \"vmdiskctl images\" shows what "
                             "is.",
                             image);
    if (r < 0)
        return sd_bus_error_set_errnof(
            error, r,
            "The image record cannot be written: %s. Image '%s' is still "
            "on record. Make room in the service's state directory, then "
            "call ForgetImage again.",
            strerror(-r), image);
    return sd_bus_reply_method_return(call, NULL);
}

static int get_version(sd_bus *connection, const char *path, const char *interface,
                       const char *property, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error)
{
    return sd_bus_message_append(reply, "s", VMDISK_VERSION);
}

static int get_features(sd_bus *connection, const char *path, const char *interface,
                        const char *property, sd_bus_message *reply, void *userdata,
                        sd_bus_error *error)
{
    return sd_bus_message_append(reply, "as", 9, "bitmaps", "check", "commit", "commit-active",
                                 "commit-group", "commit-with", "deadline", "image-ledger",
                                 "on-error");
}

const sd_bus_vtable bus_manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("AttachVM", SD_BUS_ARGS("s", name, "h", monitor, "a{sv}", options),
                            SD_BUS_RESULT("o", vm), attach_vm, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListImages", SD_BUS_NO_ARGS, SD_BUS_RESULT("aa{sv}", images),
                            list_images, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ForgetImage", SD_BUS_ARGS("s", image), SD_BUS_NO_RESULT, forget_image,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Version", "s", get_version, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Features", "as", get_features, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END,
};
