/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A library that the fault tests load into vmdiskd (LD_PRELOAD): it stands between the service and
 * the system calls that others see, names each of them as a point, and lets one of them go wrong.
 * The service does not know of it.
 *
 *   VMDISK_FAULT_LOG=FILE                      appends each point that is passed: "POINT NTH"
 *   VMDISK_FAULT=POINT:before|after:NTH:ACTION at that point, the NTH time it is passed:
 *       stop            the process stops itself (SIGSTOP); who watches it kills what it wants
 *       ENOSPC, EIO, …  the call fails, before it is made
 *       ENOSPC+, …      that, and from then on no record can be begun
 *
 * Points:
 *   qmp/COMMAND          a command goes to QEMU
 *   ledger/open write fsync rename fsync-directory
 *                        the steps of one write of the image record
 *   ledger/unlink        a file of the record is removed
 *   signal/MEMBER reply error
 *                        a message goes to the bus
 */
/* Both openat() and openat64() are to be ours. */
#undef _FILE_OFFSET_BITS

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define POINT_SIZE 64
#define POINTS_MAX 256

typedef struct Counter {
    char point[POINT_SIZE];
    unsigned n;
} Counter;

static struct {
    int log; /* -1 for none */
    char point[POINT_SIZE];
    bool after;
    unsigned nth;
    int error; /* 0: stop */
    bool lasting;
    bool struck;
    Counter counters[POINTS_MAX];
    int file, directory; /* of the record that is being written, -1 for none */
} fault = {.log = -1, .file = -1, .directory = -1};

#define NEXT(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

static void refuse(const char *why)
{
    fprintf(stderr, "fault-preload: %s\n", why);
    abort();
}

static int parse_error(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"stop", 0}, {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EROFS", EROFS}};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].number;
    refuse("VMDISK_FAULT: unknown action");
    return 0;
}

__attribute__((constructor)) static void begin(void)
{
    const char *log = getenv("VMDISK_FAULT_LOG"), *text = getenv("VMDISK_FAULT");
    char when[8], action[16];

    if (log)
        fault.log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (!text)
        return;
    if (sscanf(text, "%63[^:]:%7[^:]:%u:%15s", fault.point, when, &fault.nth, action) != 4)
        refuse("VMDISK_FAULT: POINT:before|after:NTH:ACTION");
    fault.after = strcmp(when, "after") == 0;
    fault.lasting = strchr(action, '+') != NULL;
    action[strcspn(action, "+")] = '\0';
    fault.error = parse_error(action);
}

static unsigned count(const char *point)
{
    for (unsigned i = 0; i < POINTS_MAX; i++) {
        Counter *c = &fault.counters[i];

        if (!c->point[0])
            (void)snprintf(c->point, sizeof(c->point), "%s", point);
        if (strcmp(c->point, point) == 0)
            return ++c->n;
    }
    refuse("too many points");
    return 0;
}

/* Before the call. Returns the errno it has to fail with, 0 for none; with *ret_after, after() has
 * to follow it. */
static int before(const char *point, bool *ret_after)
{
    const unsigned n = count(point);

    *ret_after = false;
    if (fault.log >= 0)
        dprintf(fault.log, "%s %u\n", point, n);
    if (fault.struck)
        return fault.lasting && strcmp(point, "ledger/open") == 0 ? fault.error : 0;
    if (n != fault.nth || strcmp(point, fault.point) != 0)
        return 0;
    fault.struck = true;
    *ret_after = fault.after;
    if (fault.error == 0 && !fault.after)
        kill(getpid(), SIGSTOP);
    return fault.error;
}

static void after(bool strikes)
{
    const int saved = errno;

    if (strikes)
        kill(getpid(), SIGSTOP);
    errno = saved;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* {"execute":"NAME",…} */
static bool name_command(const char *bytes, size_t n, char *ret)
{
    static const char key[] = "\"execute\":\"";
    const char *name = memmem(bytes, n, key, strlen(key));
    const char *end =
        name ? memchr(name + strlen(key), '"', n - (size_t)(name - bytes) - strlen(key)) : NULL;

    if (!end)
        return false;
    name += strlen(key);
    (void)snprintf(ret, POINT_SIZE, "qmp/%.*s", (int)(end - name), name);
    return true;
}

ssize_t send(int fd, const void *bytes, size_t n, int flags)
{
    char point[POINT_SIZE];
    bool strikes;

    if (!name_command(bytes, n, point))
        return NEXT(send)(fd, bytes, n, flags);
    int error = before(point, &strikes);
    if (error)
        return fail(error);
    ssize_t sent = NEXT(send)(fd, bytes, n, flags);
    after(strikes);
    return sent;
}

static size_t align(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

/* The member in the header of a D-Bus message (D-Bus specification, "Header Fields"); "" for none.
 */
static const char *find_member(const uint8_t *header, size_t n)
{
    uint32_t length;
    size_t at = 16;

    memcpy(&length, header + 12, sizeof(length));
    while (at + 8 < n && at < 16 + (size_t)length) {
        const uint8_t code = header[at], type = header[at + 2];
        uint32_t size;

        at += 4;
        if (type == 'g') {
            at = align(at + header[at] + 2, 8);
            continue;
        }
        at = align(at, 4);
        memcpy(&size, header + at, sizeof(size));
        if (code == 3)
            return (const char *)header + at + 4;
        at = align(at + 4 + (type == 'u' ? 0 : size + 1), 8);
    }
    return "";
}

/* Signals, replies and errors; what the service itself asks of the bus is no step of a job. */
static bool name_message(const struct msghdr *m, char *ret)
{
    const uint8_t *header = m->msg_iovlen > 0 ? m->msg_iov[0].iov_base : NULL;
    enum { RETURN = 2, ERROR = 3, SIGNAL = 4 };

    if (!header || m->msg_iov[0].iov_len < 16 || header[0] != 'l' || header[3] != 1)
        return false;
    switch (header[1]) {
    case RETURN:
        strcpy(ret, "reply");
        return true;
    case ERROR:
        strcpy(ret, "error");
        return true;
    case SIGNAL:
        (void)snprintf(ret, POINT_SIZE, "signal/%.40s", find_member(header, m->msg_iov[0].iov_len));
        return true;
    default:
        return false;
    }
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    char point[POINT_SIZE];
    bool strikes;

    if (!name_message(message, point))
        return NEXT(sendmsg)(fd, message, flags);
    int error = before(point, &strikes);
    if (error)
        return fail(error);
    ssize_t sent = NEXT(sendmsg)(fd, message, flags);
    after(strikes);
    return sent;
}

static int open_record(int directory, const char *name, int flags, mode_t mode)
{
    bool strikes;
    int error = before("ledger/open", &strikes);
    if (error)
        return fail(error);

    fault.directory = directory;
    fault.file = NEXT(openat)(directory, name, flags, mode);
    after(strikes);
    return fault.file;
}

static int open_any(int directory, const char *name, int flags, va_list list)
{
    const size_t length = strlen(name);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;

    if (length > 4 && strcmp(name + length - 4, ".new") == 0)
        return open_record(directory, name, flags, mode);
    return NEXT(openat)(directory, name, flags, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    int fd = open_any(directory, name, flags, list);
    va_end(list);
    return fd;
}

int openat64(int directory, const char *name, int flags, ...)
{
    va_list list;

    va_start(list, flags);
    int fd = open_any(directory, name, flags | O_LARGEFILE, list);
    va_end(list);
    return fd;
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    bool strikes;

    if (fd < 0 || fd != fault.file)
        return NEXT(write)(fd, bytes, n);
    int error = before("ledger/write", &strikes);
    if (error)
        return fail(error);
    ssize_t written = NEXT(write)(fd, bytes, n);
    after(strikes);
    return written;
}

int fsync(int fd)
{
    const bool file = fd >= 0 && fd == fault.file, directory = fd >= 0 && fd == fault.directory;
    bool strikes;

    if (!file && !directory)
        return NEXT(fsync)(fd);
    int error = before(file ? "ledger/fsync" : "ledger/fsync-directory", &strikes);
    if (error)
        return fail(error);
    int r = NEXT(fsync)(fd);
    after(strikes);
    return r;
}

int renameat(int from_directory, const char *from, int to_directory, const char *to)
{
    bool strikes;

    if (from_directory < 0 || from_directory != fault.directory)
        return NEXT(renameat)(from_directory, from, to_directory, to);
    int error = before("ledger/rename", &strikes);
    if (error)
        return fail(error);
    fault.file = -1; /* the number may be another file's from here on */
    int r = NEXT(renameat)(from_directory, from, to_directory, to);
    after(strikes);
    return r;
}

int unlinkat(int directory, const char *name, int flags)
{
    bool strikes;

    if (directory < 0 || directory != fault.directory)
        return NEXT(unlinkat)(directory, name, flags);
    int error = before("ledger/unlink", &strikes);
    if (error)
        return fail(error);
    int r = NEXT(unlinkat)(directory, name, flags);
    after(strikes);
    return r;
}
