/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where the deepest image of a chain lies.
 */
#include "base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "image.h"
#include "qemu.h"

struct Base {
    char *name, *file;
    int device; /* of a loop device, -1 for none */
    Qemu *server;
};

/* A free loop device may be taken by somebody else before we have it. */
#define LOOP_TRIES 16

/* Its name; it is gone when *ret_device and all that QEMU has open are closed. NULL where we may
 * not make one. */
static char *attach_loop(const char *file, int *ret_device)
{
    const int image = open(file, O_RDWR | O_CLOEXEC);
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    char *name = NULL;

    for (unsigned i = 0; control >= 0 && i < LOOP_TRIES; i++) {
        const struct loop_config config = {
            .fd = (uint32_t)image,
            .info = {.lo_flags = LO_FLAGS_AUTOCLEAR},
        };
        const int number = ioctl(control, LOOP_CTL_GET_FREE);
        g_autofree char *device = g_strdup_printf("/dev/loop%d", number);
        const int fd = number >= 0 ? open(device, O_RDWR | O_CLOEXEC) : -1;

        if (fd < 0)
            break;
        if (ioctl(fd, LOOP_CONFIGURE, &config) == 0) {
            *ret_device = fd;
            name = g_steal_pointer(&device);
            break;
        }
        close(fd);
    }
    if (control >= 0)
        close(control);
    close(image);
    return name;
}

static void serve(Base *b, const char *dir)
{
    b->name = g_strdup_printf("nbd+unix:///base?socket=%s/base.nbd", dir);
    b->server = qemu_new(QEMU_STORAGE_DAEMON, NULL, NULL);
    qemu_option(b->server, "--blockdev", "file,node-name=base,filename=%s", b->file);
    qemu_option(b->server, "--nbd-server", "addr.type=unix,addr.path=%s/base.nbd,max-connections=0",
                dir);
    qemu_option(b->server, "--export", "nbd,id=e0,node-name=base,name=base,writable=on");
    qemu_start(b->server);
}

Base *base_new(BasePlace place, const char *dir, const char *name, const char *format,
               uint64_t size)
{
    Base *b = g_new0(Base, 1);

    b->file = image_create(dir, name, format, size);
    b->device = -1;
    if (place == BASE_FILE)
        b->name = g_strdup(b->file);
    if (place == BASE_DEVICE)
        b->name = attach_loop(b->file, &b->device);
    if (!b->name)
        serve(b, dir);
    return b;
}

void base_free(Base *b)
{
    if (!b)
        return;
    if (b->device >= 0)
        close(b->device);
    qemu_free(b->server);
    g_free(b->name);
    g_free(b->file);
    g_free(b);
}

const char *base_name(const Base *b)
{
    return b->name;
}

const char *base_file(const Base *b)
{
    return b->file;
}

void base_vanish(Base *b)
{
    qemu_kill(b->server);
}
