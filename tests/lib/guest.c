/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's side of the 512-byte guest (guest.S).
 */
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "image.h"
#include "wait.h"

#define SECTOR 512
#define BOOT_DISK_SIZE (1024 * 1024)
#define DISKS_MAX 8
/* The parameters of the guest in its boot sector, as in guest.S. */
#define PARAMETERS 496
/* "D NNNNNNNN\n" */
#define REPORT_SIZE 11

typedef struct Parameters {
    uint8_t disks, shift, read_back, unused;
    uint32_t mask, first;
} Parameters;

G_STATIC_ASSERT(PARAMETERS + sizeof(Parameters) <= SECTOR - 2);

struct Guest {
    GuestOptions options;
    char *boot, *serial;
    off_t position; /* in the serial log: reports before it are taken */
    uint32_t acknowledged[DISKS_MAX];
};

static void make_boot_disk(const Guest *g)
{
    const Parameters parameters = {
        .disks = (uint8_t)g->options.disks,
        .shift = (uint8_t)g->options.shift,
        .read_back = g->options.read_back,
        .mask = GUINT32_TO_LE(g->options.slots - 1),
        .first = GUINT32_TO_LE(g->options.already + 1),
    };
    g_autofree char *disk = g_malloc0(BOOT_DISK_SIZE);
    g_autofree char *sector = NULL;
    g_autoptr(GError) error = NULL;
    size_t size;

    g_file_get_contents(g_getenv("VMDISK_TEST_GUEST"), &sector, &size, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(size, ==, SECTOR);
    memcpy(disk, sector, SECTOR);
    memcpy(disk + PARAMETERS, &parameters, sizeof(parameters));
    g_file_set_contents(g->boot, disk, BOOT_DISK_SIZE, &error);
    g_assert_no_error(error);
}

static Guest *make(const char *dir, const char *name, const GuestOptions *options)
{
    Guest *g = g_new0(Guest, 1);

    g->options = options ? *options : (GuestOptions){0};
    g->options.disks = MAX(1, g->options.disks);
    g->options.slots = g->options.slots > 0 ? g->options.slots : 256;
    g_assert_cmpuint(g->options.disks, <=, DISKS_MAX);
    g_assert_cmpuint(g->options.slots & (g->options.slots - 1), ==, 0);

    g->boot = g_strdup_printf("%s/%s.boot", dir, name);
    g->serial = g_strdup_printf("%s/%s.serial", dir, name);
    for (unsigned i = 0; i < g->options.disks; i++)
        g->acknowledged[i] = g->options.already;
    return g;
}

Guest *guest_new(const char *dir, const char *name, const GuestOptions *options)
{
    Guest *g = make(dir, name, options);

    make_boot_disk(g);
    return g;
}

Guest *guest_open(const char *dir, const char *name)
{
    return make(dir, name, /* options= */ NULL);
}

void guest_free(Guest *g)
{
    if (!g)
        return;
    g_free(g->boot);
    g_free(g->serial);
    g_free(g);
}

void guest_add_arguments(const Guest *g, GPtrArray *argv)
{
    g_ptr_array_add(argv, g_strdup("-drive"));
    g_ptr_array_add(argv, g_strdup_printf("file=%s,format=raw,if=none,id=boot", g->boot));
    g_ptr_array_add(argv, g_strdup("-device"));
    g_ptr_array_add(argv, g_strdup("ide-hd,drive=boot,bus=ide.0,bootindex=0"));
    g_ptr_array_add(argv, g_strdup("-serial"));
    g_ptr_array_add(argv, g_strdup_printf("file:%s", g->serial));
}

static void take_report(Guest *g, const char *line)
{
    const unsigned disk = (unsigned)(line[0] - '0');
    char *end;
    const unsigned long n = strtoul(line + 2, &end, 16);

    if (line[0] == '!' || line[0] == '?')
        g_error("The guest could not %s for write %lu", line[0] == '!' ? "write" : "read back", n);
    if (disk >= g->options.disks || *end != '\n')
        g_error("The guest says on its serial port: %.*s", REPORT_SIZE, line);
    g_assert_cmpuint(n, ==, g->acknowledged[disk] + 1);
    g->acknowledged[disk] = (uint32_t)n;
}

/* Takes the whole reports that have come. One that was cut off means nothing. */
static void take_reports(Guest *g)
{
    char reports[REPORT_SIZE * 1024 + 1];
    int fd = open(g->serial, O_RDONLY | O_CLOEXEC);
    ssize_t whole;

    if (fd < 0)
        return; /* QEMU has not started yet */
    do {
        ssize_t n = pread(fd, reports, sizeof(reports) - 1, g->position);

        if (n < 0)
            g_error("%s: %s", g->serial, g_strerror(errno));
        reports[n] = '\0';
        whole = n / REPORT_SIZE * REPORT_SIZE;
        for (ssize_t i = 0; i < whole; i += REPORT_SIZE)
            take_report(g, reports + i);
        g->position += whole;
    } while (whole > 0);
    close(fd);
}

uint32_t guest_acknowledged(Guest *g, unsigned disk)
{
    g_assert_cmpuint(disk, <, g->options.disks);
    take_reports(g);
    return g->acknowledged[disk];
}

typedef struct Awaited {
    Guest *guest;
    unsigned disk;
    uint32_t n;
} Awaited;

static bool has_acknowledged(gpointer data)
{
    const Awaited *awaited = data;

    return guest_acknowledged(awaited->guest, awaited->disk) >= awaited->n;
}

uint32_t guest_wait(Guest *g, unsigned disk, uint32_t n)
{
    Awaited awaited = {g, disk, n};
    g_autofree char *what =
        g_strdup_printf("write %" PRIu32 " of the guest to disk %u, newest %" PRIu32, n, disk,
                        guest_acknowledged(g, disk));

    wait_until(what, has_acknowledged, &awaited);
    return g->acknowledged[disk];
}

uint32_t guest_wait_more(Guest *g, unsigned disk, uint32_t more)
{
    return guest_wait(g, disk, guest_acknowledged(g, disk) + more);
}

StampLayout guest_layout(const Guest *g, unsigned disk)
{
    return (StampLayout){
        .writer = disk,
        .slots = g->options.slots,
        .stride = (uint64_t)SECTOR << g->options.shift,
        .size = SECTOR,
    };
}

uint32_t guest_check_image(const Guest *g, unsigned disk, const char *file, const char *format)
{
    const StampLayout layout = guest_layout(g, disk);

    return stamp_check_image(&layout, file, format);
}

void guest_check_nothing_lost(Guest *g, unsigned disk, const char *file, const char *format)
{
    const uint32_t acknowledged = guest_acknowledged(g, disk);
    const uint32_t held = guest_check_image(g, disk, file, format);

    if (held != acknowledged && held != acknowledged + 1)
        g_error("%s: holds write %" PRIu32 ", but the guest was told that write %" PRIu32
                " is on disk",
                file, held, acknowledged);
}
