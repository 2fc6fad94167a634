/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "manager.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "disk.h"
#include "log.h"
#include "message-ids.h"
#include "text.h"
#include "vm.h"

/* A VM and, while it is on its way, what waits for it. */
typedef struct Member Member;
struct Member {
    Manager *manager;
    Vm *vm;
    bool published;
    bool resumed;      /* kept over a restart, and not in step yet if not published */
    bool spare;        /* a second monitor of a process that is published already: kept quiet */
    uint64_t newcomer; /* what it is kept as until it is published; 0: it is not */
    char *wanted;      /* name that the caller of AttachVM asked for */
    uid_t attached_by;
    AttachFunc callback; /* NULL when dialled in, or answered */
    void *userdata;
    Member *next;
};

struct Manager {
    sd_event *event;
    Ledger *ledger;
    const DomainObserver *observer;
    void *userdata;
    const ManagerKeeper *keeper; /* NULL for none */
    void *keeper_userdata;
    Member *members; /* in the order they came */
    unsigned n_members;
};

int manager_new(sd_event *event, Ledger *ledger, const DomainObserver *observer, void *userdata,
                Manager **ret)
{
    Manager *m = calloc(1, sizeof(Manager));
    if (!m)
        return -ENOMEM;

    *m = (Manager){
        .event = sd_event_ref(event), .ledger = ledger, .observer = observer, .userdata = userdata};
    *ret = m;
    return 0;
}

void manager_set_keeper(Manager *m, const ManagerKeeper *keeper, void *userdata)
{
    m->keeper = keeper;
    m->keeper_userdata = userdata;
}

bool manager_is_in_step(const Manager *m)
{
    for (Member *member = m->members; member; member = member->next)
        if (member->resumed && !member->published)
            return false;
    return true;
}

static void answer(Member *member, const Refusal *refusal)
{
    AttachFunc callback = TAKE_PTR(member->callback);

    if (callback)
        callback(refusal, refusal->kind == REFUSAL_NONE ? member->vm : NULL, member->userdata);
}

static void member_remove(Member *member)
{
    Manager *m = member->manager;

    /* While it says goodbye, the VM can still be found. */
    vm_free(member->vm);
    for (Member **link = &m->members; *link; link = &(*link)->next)
        if (*link == member) {
            *link = member->next;
            break;
        }
    m->n_members--;
    free(member->wanted);
    free(member);
}

Manager *manager_free(Manager *m)
{
    if (!m)
        return NULL;

    while (m->members) {
        Refusal refusal = {REFUSAL_NONE, NULL};

        refusal_set(&refusal, REFUSAL_DISCONNECTED, "The service is stopping; try again.");
        answer(m->members, &refusal);
        refusal_done(&refusal);
        vm_withdraw(m->members->vm);
        member_remove(m->members);
    }
    sd_event_unref(m->event);
    free(m);
    return NULL;
}

Ledger *manager_ledger(const Manager *m)
{
    return m->ledger;
}

Vm *manager_find_vm(const Manager *m, const char *name)
{
    for (Member *member = m->members; member; member = member->next)
        if (member->published && strcmp(vm_name(member->vm), name) == 0)
            return member->vm;
    return NULL;
}

Vm *manager_next_vm(const Manager *m, const Vm *previous)
{
    Member *member = m->members;

    if (previous) {
        while (member && member->vm != previous)
            member = member->next;
        if (member)
            member = member->next;
    }
    while (member && !member->published)
        member = member->next;
    return member ? member->vm : NULL;
}

bool manager_is_idle(const Manager *m)
{
    return !m->members;
}

bool manager_is_holding(const Manager *m)
{
    for (Member *member = m->members; member; member = member->next)
        if (member->published && vm_is_holding(member->vm))
            return true;
    return false;
}

bool manager_restore_guests(Manager *m)
{
    bool restored = true;

    for (Vm *vm = manager_next_vm(m, NULL); vm; vm = manager_next_vm(m, vm))
        for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
            restored &= disk_restore_guest(d);
    return restored;
}

/* The name as far as it may be long, not cut within a character: the bus takes UTF-8 only. */
static char *cut_name(const char *name)
{
    size_t n = strnlen(name, MANAGER_NAME_MAX + 1);

    if (n > MANAGER_NAME_MAX)
        for (n = MANAGER_NAME_MAX; n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80;)
            n--;
    return strndup(name, n);
}

/* The name a VM gets: the one asked for, QEMU's, or the peer's; with the pid where a living VM has
 * it. The caller frees. */
static char *make_name(const Member *member)
{
    const Manager *m = member->manager;
    const Peer *peer = vm_peer(member->vm);
    const char *before = ledger_find_instance(m->ledger, peer->instance);
    const char *own = member->wanted                          ? member->wanted
                      : before && !manager_find_vm(m, before) ? before
                                                              : vm_qemu_name(member->vm);
    char *name = *own ? cut_name(own) : peer_make_name(peer);

    if (!name || !manager_find_vm(m, name))
        return name;

    char *longer = text_format("%s.%d", name, (int)peer->pid);
    for (unsigned i = 2; longer && manager_find_vm(m, longer); i++) {
        free(longer);
        longer = text_format("%s.%d.%u", name, (int)peer->pid, i);
    }
    if (longer)
        log_line(LOG_NOTICE, &(LogContext){.message_id = MESSAGE_VM_RENAMED, .vm = longer},
                 "A VM named '%s' is here already; the new one is '%s'", name, longer);
    free(name);
    return longer;
}

static bool is_known_process(const Manager *m, const Member *new)
{
    for (Member *member = m->members; member; member = member->next)
        if ((member->published || member->resumed) && vm_peer(new->vm)->pid > 0 &&
            strcmp(vm_peer(member->vm)->instance, vm_peer(new->vm)->instance) == 0)
            return true;
    return false;
}

/* The same process by another monitor: its jobs would be driven twice. Who made the socket is no
 * proof, since a launcher may make those of many VMs; who has the same files open by the same names
 * is the same. */
static const Vm *find_twin(const Manager *m, const Member *new)
{
    for (Member *member = m->members; member; member = member->next)
        if (member->published &&
            strcmp(vm_peer(member->vm)->instance, vm_peer(new->vm)->instance) == 0 &&
            graph_same_files(vm_graph(member->vm), vm_graph(new->vm)))
            return member->vm;
    return NULL;
}

static void refuse_twin(Member *member, const Vm *twin)
{
    Refusal refusal = {REFUSAL_NONE, NULL};

    refusal_set(&refusal, REFUSAL_INVALID_ARGS,
                "VM '%s': this QEMU is here already, as VM '%s'. Use that one, or detach it first.",
                member->wanted, vm_name(twin));
    answer(member, &refusal);
    refusal_done(&refusal);
    member_remove(member);
}

static void drop_newcomer(Member *member)
{
    const Manager *m = member->manager;

    if (m->keeper && member->newcomer > 0)
        m->keeper->drop_newcomer(member->newcomer, m->keeper_userdata);
    member->newcomer = 0;
}

static void on_ready(Vm *vm, void *userdata)
{
    Member *member = userdata;
    const Manager *m = member->manager;
    _cleanup_(freep) char *name = NULL;

    /* Closed, it would dial again each second; left open, it costs nothing. */
    if (!member->wanted && is_known_process(m, member)) {
        member->spare = true;
        return;
    }

    if (member->callback) {
        const Vm *twin = find_twin(m, member);

        if (twin) {
            refuse_twin(member, twin);
            return;
        }
    }

    name = make_name(member);
    if (!name) {
        answer(member, &(Refusal){REFUSAL_NO_MEMORY, NULL});
        return;
    }
    member->published = true;
    /* The reply comes before the signals. */
    log_line(LOG_INFO, &(LogContext){.vm = name}, "VM '%s' is here: QEMU %s, pid %d, disks: %u",
             name, vm_version(vm), (int)vm_peer(vm)->pid, vm_count_disks(vm));
    vm_set_name(vm, TAKE_PTR(name));
    answer(member, &(Refusal){REFUSAL_NONE, NULL});
    vm_publish(vm);
    drop_newcomer(member);
    if (m->keeper)
        m->keeper->keep(vm, member->attached_by, m->keeper_userdata);
}

static const char *why_closed(int error)
{
    switch (-error) {
    case 0:
        return "the connection was closed";
    case ETIMEDOUT:
        return "no greeting came; another client holds this monitor, or it is not QEMU's";
    case EPROTO:
    case EBADMSG:
        return "what came was not QMP";
    case E2BIG:
        return "it has more disks, images or names than this service takes";
    case EMSGSIZE:
        return "a message was too long";
    case ELOOP:
        return "a message was nested too deep";
    case ENOBUFS:
        return "the peer does not read";
    default:
        return strerror(-error);
    }
}

static void answer_closed(Member *member, int error)
{
    Refusal refusal = {REFUSAL_NONE, NULL};
    const char *name = member->wanted ? member->wanted : "";

    if (error == -ETIMEDOUT)
        refusal_set(
            &refusal, REFUSAL_MONITOR_BUSY,
            "VM '%s': QEMU has not greeted. Another client holds this monitor: close it, or "
            "give QEMU a monitor of its own for this service.",
            name);
    else
        refusal_set(&refusal, REFUSAL_DISCONNECTED, "VM '%s': the monitor cannot be used: %s.",
                    name, why_closed(error));
    answer(member, &refusal);
    refusal_done(&refusal);
}

static void on_closed(Vm *vm, int error, void *userdata)
{
    Member *member = userdata;
    const Manager *m = member->manager;
    const Peer *peer = vm_peer(vm);
    char pid[16], uid[16];

    (void)snprintf(pid, sizeof(pid), "%d", (int)peer->pid);
    (void)snprintf(uid, sizeof(uid), "%u", (unsigned)peer->uid);
    if (member->published)
        log_line(error ? LOG_WARNING : LOG_INFO, &(LogContext){.vm = vm_name(vm)},
                 "VM '%s' is gone: %s", vm_name(vm), why_closed(error));
    else if (!member->spare)
        log_line(LOG_WARNING,
                 &(LogContext){.message_id = MESSAGE_MONITOR_REFUSED,
                               .detail = why_closed(error),
                               .peer_pid = pid,
                               .peer_uid = uid},
                 "A monitor of process %s, uid %s, is not taken: %s", pid, uid, why_closed(error));
    answer_closed(member, error);
    if (member->published && m->keeper)
        m->keeper->drop(vm, member->attached_by, m->keeper_userdata);
    drop_newcomer(member);
    member_remove(member);
}

static bool may_add_disk(void *userdata)
{
    const Member *self = userdata;
    unsigned n = 0;

    for (Member *member = self->manager->members; member; member = member->next)
        n += vm_count_disks(member->vm);
    return n < MANAGER_DISKS_MAX;
}

static bool may_hold(size_t bytes, void *userdata)
{
    const Member *self = userdata;
    size_t held = bytes;

    for (Member *member = self->manager->members; member; member = member->next)
        held += member != self ? vm_held(member->vm) : 0;
    return held <= MANAGER_NAMES_MAX;
}

static bool uses_file(const Disk *d, const char *file)
{
    const Chain *chain = disk_chain(d);

    for (size_t i = 0; i < chain->n; i++)
        if (strcmp(chain->images[i].file, file) == 0)
            return true;
    return false;
}

static char *find_image_user(const Disk *except, const char *file, void *userdata)
{
    const Manager *m = ((Member *)userdata)->manager;

    for (Vm *vm = manager_next_vm(m, NULL); vm; vm = manager_next_vm(m, vm))
        for (Disk *d = vm_next_disk(vm, NULL); d; d = vm_next_disk(vm, d))
            if (d != except && uses_file(d, file))
                return text_format(" It is used by VM '%s', disk '%s'.", vm_name(vm), disk_name(d));
    return NULL;
}

static const VmOwner vm_owner = {
    .ready = on_ready,
    .closed = on_closed,
    .may_add_disk = may_add_disk,
    .may_hold = may_hold,
    .find_image_user = find_image_user,
};

/* Takes fd, also on failure. */
static int add_member(Manager *m, int fd, VmOrigin origin, QmpStart start, Member **ret)
{
    _cleanup_(closep) int socket = fd;
    _cleanup_(freep) Member *member = calloc(1, sizeof(Member));
    if (!member)
        return -ENOMEM;
    if (m->n_members >= MANAGER_VMS_MAX)
        return -EUSERS;

    member->manager = m;
    member->attached_by = (uid_t)-1;
    int r = vm_new(m->event, TAKE_FD(socket), origin, start, m->ledger, &vm_owner, member,
                   m->observer, m->userdata, &member->vm);
    if (r < 0)
        return r;

    Member **end = &m->members;
    while (*end)
        end = &(*end)->next;
    *end = member;
    m->n_members++;
    *ret = TAKE_PTR(member);
    return 0;
}

static int add_newcomer(Manager *m, int fd, QmpStart start, Member **ret)
{
    struct stat st;

    int r = add_member(m, fd, VM_DIALLED_IN, start, ret);
    /* A socket's inode is its own while somebody has it open, and the same after a restart. */
    if (r >= 0 && fstat(qmp_get_fd(vm_qmp((*ret)->vm)), &st) == 0)
        (*ret)->newcomer = st.st_ino;
    return r;
}

int manager_accept(Manager *m, int fd)
{
    Member *member;

    int r = add_newcomer(m, fd, QMP_START_DIALLED, &member);
    if (r >= 0 && m->keeper && member->newcomer > 0)
        m->keeper->keep_newcomer(qmp_get_fd(vm_qmp(member->vm)), member->newcomer,
                                 m->keeper_userdata);
    return r;
}

int manager_resume_newcomer(Manager *m, int fd)
{
    Member *member;

    return add_newcomer(m, fd, QMP_START_UNGREETED, &member);
}

int manager_resume(Manager *m, int fd, VmOrigin origin, const char *name, uid_t attached_by)
{
    _cleanup_(closep) int socket = fd;
    _cleanup_(freep) char *wanted = strdup(name);
    Member *member;
    if (!wanted)
        return -ENOMEM;

    int r = add_member(m, TAKE_FD(socket), origin, QMP_START_RESUMED, &member);
    if (r < 0)
        return r;
    member->resumed = true;
    member->wanted = TAKE_PTR(wanted);
    member->attached_by = attached_by;
    return 0;
}

static unsigned count_attached(const Manager *m, uid_t uid)
{
    unsigned n = 0;

    for (Member *member = m->members; member; member = member->next)
        n += member->attached_by == uid;
    return n;
}

static bool is_taken(const Manager *m, const char *name)
{
    for (Member *member = m->members; member; member = member->next)
        if (member->wanted && strcmp(member->wanted, name) == 0)
            return true;
    return manager_find_vm(m, name);
}

static bool is_connected_stream(int fd)
{
    int type = 0, listening = 0;
    socklen_t length = sizeof(int);
    struct sockaddr_storage address;
    socklen_t address_length = sizeof(address);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) < 0 || type != SOCK_STREAM)
        return false;
    length = sizeof(int);
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) < 0 || listening)
        return false;
    return getpeername(fd, (struct sockaddr *)&address, &address_length) == 0;
}

static void check_attach(const Manager *m, const char *name, int fd, uid_t uid, Refusal *r)
{
    if (!*name || strlen(name) > MANAGER_NAME_MAX)
        refusal_set(r, REFUSAL_INVALID_ARGS, "The name of a VM has 1 to %d bytes.",
                    MANAGER_NAME_MAX);
    else if (is_taken(m, name))
        refusal_set(r, REFUSAL_INVALID_ARGS,
                    "A VM named '%s' is here already. Choose another name, or detach that one.",
                    name);
    else if (!is_connected_stream(fd))
        refusal_set(r, REFUSAL_INVALID_ARGS,
                    "VM '%s': the descriptor is not a connected stream socket. Connect to QEMU's "
                    "monitor and pass that socket.",
                    name);
    else if (uid != 0 && count_attached(m, uid) >= MANAGER_ATTACHED_PER_UID_MAX)
        refusal_set(r, REFUSAL_LIMIT_EXCEEDED,
                    "VM '%s': uid %u has attached %d VMs already. Detach one first.", name,
                    (unsigned)uid, MANAGER_ATTACHED_PER_UID_MAX);
}

void manager_attach(Manager *m, const char *name, int fd, uid_t uid, AttachFunc callback,
                    void *userdata)
{
    _cleanup_(closep) int socket = fd;
    _cleanup_(freep) char *wanted = strdup(name);
    Refusal refusal = {REFUSAL_NONE, NULL};
    Member *member = NULL;

    check_attach(m, name, socket, uid, &refusal);
    if (refusal.kind == REFUSAL_NONE) {
        int r = wanted ? add_member(m, TAKE_FD(socket), VM_ATTACHED, QMP_START_GREETING, &member)
                       : -ENOMEM;
        if (r == -EUSERS)
            refusal_set(&refusal, REFUSAL_LIMIT_EXCEEDED,
                        "VM '%s': %d VMs are here already. Detach one first.", name,
                        MANAGER_VMS_MAX);
        else if (r < 0)
            refusal_set(&refusal, REFUSAL_NO_MEMORY, "VM '%s': %s.", name, strerror(-r));
    }
    if (!member) {
        callback(&refusal, /* vm= */ NULL, userdata);
        refusal_done(&refusal);
        return;
    }

    member->wanted = TAKE_PTR(wanted);
    member->attached_by = uid;
    member->callback = callback;
    member->userdata = userdata;
}

void manager_detach(Manager *m, Vm *vm, DoneFunc done, void *userdata)
{
    Refusal refusal = {REFUSAL_NONE, NULL};

    vm_check_detach(vm, &refusal);
    done(&refusal, userdata);
    if (refusal.kind == REFUSAL_NONE)
        for (Member *member = m->members; member; member = member->next)
            if (member->vm == vm) {
                if (m->keeper)
                    m->keeper->drop(vm, member->attached_by, m->keeper_userdata);
                member_remove(member);
                break;
            }
    refusal_done(&refusal);
}
