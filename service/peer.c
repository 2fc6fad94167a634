/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "peer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-login.h>

#include "cleanup.h"
#include "text.h"

/* Start time of the process, clock ticks since boot (proc(5), /proc/PID/stat, field 22); 0 where it
 * cannot be read. With the boot and the pid it names one process for ever. */
static uint64_t start_time(pid_t pid)
{
    _cleanup_(freep) char *path = text_format("/proc/%d/stat", (int)pid);
    _cleanup_(closep) int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    char buffer[1024];
    uint64_t ticks = 0;

    if (fd < 0)
        return 0;
    ssize_t n = read(fd, buffer, sizeof(buffer) - 1);
    if (n <= 0)
        return 0;
    buffer[n] = '\0';

    /* The command's name, field 2, may hold anything but ends at the last parenthesis. */
    const char *s = strrchr(buffer, ')');
    if (!s || sscanf(s + 1, " %*c%*d%*d%*d%*d%*d%*u%*u%*u%*u%*u%*u%*u%*d%*d%*d%*d%*d%*d%" SCNu64,
                     &ticks) != 1)
        return 0;
    return ticks;
}

static char *make_instance(pid_t pid)
{
    char boot_text[SD_ID128_STRING_MAX] = "";
    sd_id128_t boot;

    if (sd_id128_get_boot(&boot) >= 0)
        sd_id128_to_string(boot, boot_text);
    return text_format("%.8s-%d-%" PRIu64, boot_text, (int)pid, start_time(pid));
}

int peer_init(Peer *p, int fd)
{
    struct ucred credentials = {.uid = (uid_t)-1};
    socklen_t length = sizeof(credentials);

    *p = (Peer){.uid = (uid_t)-1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) == 0) {
        p->pid = credentials.pid;
        p->uid = credentials.uid;
    }
    if (sd_peer_get_unit(fd, &p->unit) < 0)
        p->unit = strdup("");
    p->instance = make_instance(p->pid);
    if (p->unit && p->instance)
        return 0;

    peer_done(p);
    return -ENOMEM;
}

void peer_done(Peer *p)
{
    free(p->unit);
    free(p->instance);
    *p = (Peer){.uid = (uid_t)-1};
}

char *peer_make_name(const Peer *p)
{
    static const char suffix[] = ".service";
    const char *unit = p->unit;
    const char *at = strchr(unit, '@');

    /* user@1000.service is everything that a person runs, and names nothing. */
    if (!text_has_suffix(unit, suffix) || text_has_prefix(unit, "user@"))
        return text_format("qemu-%d", (int)p->pid);

    const char *start = at ? at + 1 : unit;
    size_t length = strlen(start) - strlen(suffix);
    return length > 0 ? strndup(start, length) : text_format("qemu-%d", (int)p->pid);
}
