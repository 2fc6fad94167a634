/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * attach hands the service a QMP monitor that the caller may open; detach takes it back.
 */
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "exit-code.h"
#include "memory.h"
#include "model.h"
#include "names.h"
#include "output.h"
#include "target.h"

/* The address of a socket holds 107 bytes of path. A longer one is reached through its directory.
 * dir_fd must stay open until the address has been used. */
static int make_address(const char *path, struct sockaddr_un *ret, int *ret_dir_fd)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    *ret_dir_fd = -1;
    if (strlen(path) < sizeof(ret->sun_path)) {
        strcpy(ret->sun_path, path);
        return 0;
    }

    const char *slash = strrchr(path, '/');
    if (!slash)
        return -ENAMETOOLONG;
    _cleanup_(freep) char *directory = need(strndup(path, (size_t)(slash - path) + 1));
    int fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d%s", fd, slash);
    if (n >= (int)sizeof(ret->sun_path)) {
        close(fd);
        return -ENAMETOOLONG;
    }
    *ret_dir_fd = fd;
    return 0;
}

/* Not blocking: a monitor that other clients queue for is busy, and says so. */
static int open_monitor(const char *path)
{
    _cleanup_(closep) int fd = -1, dir_fd = -1;
    struct sockaddr_un address;

    int r = make_address(path, &address, &dir_fd);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
    if (r < 0)
        return -errno;
    return TAKE_FD(fd);
}

static int refuse_socket(const char *name, const char *path, int e, sd_bus_error *error)
{
    if (e == -EAGAIN)
        return sd_bus_error_setf(error, ERROR_MONITOR_BUSY,
                                 "%s: other clients are waiting for the monitor %s already.", name,
                                 path);
    if (e == -ENOENT)
        return sd_bus_error_setf(error, SD_BUS_ERROR_FILE_NOT_FOUND,
                                 "%s: there is no socket %s. Is the VM running?", name, path);
    if (e == -ECONNREFUSED)
        return sd_bus_error_setf(error, SD_BUS_ERROR_IO_ERROR,
                                 "%s: nobody listens on %s. Is it QEMU's QMP monitor, and does the "
                                 "VM run?",
                                 name, path);
    return sd_bus_error_set_errnof(error, e, "%s: cannot open the monitor %s: %s.", name, path,
                                   strerrordesc_np(-e));
}

static int call_attach(Client *c, const char *name, int fd, char **ret_path, sd_bus_error *error)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *path;

    int r = client_call(c, PATH_ROOT, INTERFACE_MANAGER, "AttachVM", &reply, error, "sha{sv}", name,
                        fd, /* options= */ 0);
    if (r < 0)
        return r;
    r = sd_bus_message_read(reply, "o", &path);
    if (r < 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INCONSISTENT_MESSAGE,
                                 "%s: the service's answer to AttachVM cannot be read.", name);
    *ret_path = need(strdup(path));
    return 0;
}

/* `text` is for people. */
static void report(const Client *c, const char *name, const char *path, const char *text)
{
    if (c->options.json != JSON_OFF) {
        json_object *object = need(json_object_new_object());

        json_put(object, "vm", json_text(name, /* empty_is_null= */ false));
        json_put(object, "path", json_text(path, /* empty_is_null= */ false));
        json_print(object, c->options.json);
    } else if (!c->options.quiet)
        puts(text);
}

int verb_attach(Client *c, char **arguments, sd_bus_error *error)
{
    const char *name = arguments[0], *path = arguments[1];
    _cleanup_(closep) int fd = -1;
    _cleanup_(freep) char *object = NULL;

    if (c->options.host)
        return sd_bus_error_set(error, SD_BUS_ERROR_NOT_SUPPORTED,
                                "A monitor of this machine cannot be handed to another one. Run "
                                "\"vmdiskctl attach\" there.");
    if (*name == '\0' || !text_is_utf8(name))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "\"%s\" cannot be the name of a VM: it has to be UTF-8, and not "
                                 "empty.",
                                 name);
    fd = open_monitor(path);
    if (fd < 0)
        return refuse_socket(name, path, fd, error);

    int r = call_attach(c, name, fd, &object, error);
    if (r < 0)
        return r;
    _cleanup_(freep) char *label = text_for_people(name, look_of(stdout));
    _cleanup_(freep) char *status = client_command(c, "status", name, object);
    _cleanup_(freep) char *text =
        need_format("%s is attached. \"%s\" shows its disks.", label, status);
    report(c, name, object, text);
    return EXIT_DONE;
}

int verb_detach(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;
    _cleanup_(target_done) Target target = {};

    int r = model_read(c, &m, error);
    if (r < 0)
        return r;
    r = target_find_vm(m, arguments[0], &target, error);
    if (r < 0)
        return r;
    r = client_call(c, target.vm->path, INTERFACE_VM, "Detach", /* ret_reply= */ NULL, error,
                    /* types= */ NULL);
    if (r < 0)
        return r;

    _cleanup_(freep) char *text = need_format("%s is detached. The VM runs on.", target.label);
    report(c, target.vm->name, target.vm->path, text);
    return EXIT_DONE;
}
