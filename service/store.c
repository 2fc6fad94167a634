/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#include "log.h"
#include "qmp.h"
#include "text.h"
#include "vm.h"

#define PREFIX "vm-"
#define PREFIX_NEWCOMER "new-"
#define LABEL_TEMPLATE "/%"

/* "vm-d-4294967295-LABEL": how the VM came, who attached it, its name as a bus label. The caller
 * frees; NULL where it does not fit. */
static char *make_name(const Vm *vm, uid_t attached_by)
{
    _cleanup_(freep) char *label = NULL;

    if (sd_bus_path_encode_many(&label, LABEL_TEMPLATE, vm_name(vm)) < 0)
        return NULL;

    char *name = text_format(PREFIX "%c-%u-%s", vm_origin(vm) == VM_ATTACHED ? 'a' : 'd',
                             (unsigned)attached_by, label + 1);
    if (name && strlen(name) > STORE_NAME_MAX) {
        free(name);
        return NULL;
    }
    return name;
}

/* A VM whose connection is not kept dials in again, or is attached again. */
static void keep(const Vm *vm, uid_t attached_by, void *userdata)
{
    _cleanup_(freep) char *name = make_name(vm, attached_by);
    _cleanup_(freep) char *message = name ? text_format("FDSTORE=1\nFDNAME=%s", name) : NULL;
    int fd = qmp_get_fd(vm_qmp(vm));

    if (message)
        (void)sd_pid_notify_with_fds(/* pid= */ 0, /* unset_environment= */ 0, message, &fd, 1);
}

static void drop(const Vm *vm, uid_t attached_by, void *userdata)
{
    _cleanup_(freep) char *name = make_name(vm, attached_by);

    if (name)
        (void)sd_notifyf(/* unset_environment= */ 0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}

static void keep_newcomer(int fd, uint64_t number, void *userdata)
{
    _cleanup_(freep) char *message =
        text_format("FDSTORE=1\nFDNAME=" PREFIX_NEWCOMER "%" PRIu64, number);

    if (message)
        (void)sd_pid_notify_with_fds(/* pid= */ 0, /* unset_environment= */ 0, message, &fd, 1);
}

static void drop_newcomer(uint64_t number, void *userdata)
{
    (void)sd_notifyf(/* unset_environment= */ 0,
                     "FDSTOREREMOVE=1\nFDNAME=" PREFIX_NEWCOMER "%" PRIu64, number);
}

const ManagerKeeper store_keeper = {
    .keep = keep,
    .drop = drop,
    .keep_newcomer = keep_newcomer,
    .drop_newcomer = drop_newcomer,
};

bool store_is_ours(const char *name)
{
    return text_has_prefix(name, PREFIX) || text_has_prefix(name, PREFIX_NEWCOMER);
}

static int parse_name(const char *name, VmOrigin *ret_origin, uid_t *ret_uid, char **ret_vm)
{
    char origin;
    unsigned uid;
    int end = 0;

    if (sscanf(name, PREFIX "%c-%u-%n", &origin, &uid, &end) != 2 || end == 0)
        return -EINVAL;

    _cleanup_(freep) char *path = text_format("/%s", name + end);
    int r = path ? sd_bus_path_decode_many(path, LABEL_TEMPLATE, ret_vm) : -ENOMEM;
    if (r <= 0)
        return r < 0 ? r : -EINVAL;
    *ret_origin = origin == 'a' ? VM_ATTACHED : VM_DIALLED_IN;
    *ret_uid = uid;
    return 0;
}

static int resume_vm(Manager *m, int fd, const char *name)
{
    _cleanup_(closep) int owned = fd;
    _cleanup_(freep) char *vm = NULL;
    VmOrigin origin;
    uid_t uid;

    int r = parse_name(name, &origin, &uid, &vm);
    return r < 0 ? r : manager_resume(m, TAKE_FD(owned), origin, vm, uid);
}

void store_resume(Manager *m, int fd, const char *name)
{
    int r = text_has_prefix(name, PREFIX_NEWCOMER) ? manager_resume_newcomer(m, fd)
                                                   : resume_vm(m, fd, name);
    if (r >= 0)
        return;

    log_line(LOG_WARNING, NULL, "A kept connection (%s) cannot be taken up: %s", name,
             strerror(-r));
    /* Or QEMU would not see that it is closed. */
    (void)sd_notifyf(/* unset_environment= */ 0, "FDSTOREREMOVE=1\nFDNAME=%s", name);
}
