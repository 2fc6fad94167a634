/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "gate-table.h"

#include <string.h>

#include "cleanup.h"

#define OURS(x) "org.vmdisk1." x
#define STANDARD(x) "org.freedesktop.DBus." x

#define ACTION(x) .action = OURS(x)
/* Reading must be as cheap as a ping. */
#define INSPECT ACTION("inspect"), .remembered = true

/* Properties.Set is missing on purpose: no property is writable. */
static const GateEntry entries[] = {
    {OURS("Manager"), "AttachVM", ACTION("attach")},
    {OURS("Manager"), "ListImages", INSPECT},
    {OURS("Manager"), "ForgetImage", ACTION("override")},
    {OURS("VM"), "Detach", ACTION("attach")},
    {OURS("VM"), "Commit", ACTION("commit")},
    {OURS("VM"), "CommitWith", ACTION("commit"), .options = true},
    {OURS("VM"), "Pivot", ACTION("conclude")},
    {OURS("VM"), "Abort", ACTION("conclude")},
    {OURS("Disk"), "Commit", ACTION("commit")},
    {OURS("Disk"), "CommitWith", ACTION("commit"), .options = true},
    /* "override" in its options overrides nothing. */
    {OURS("Disk"), "Check", INSPECT},
    {OURS("Disk"), "Pivot", ACTION("conclude")},
    {OURS("Disk"), "Abort", ACTION("conclude")},
    {OURS("Job"), "SetSpeed", ACTION("commit")},
    {OURS("Job"), "Pause", ACTION("commit")},
    {OURS("Job"), "Resume", ACTION("commit")},
    {STANDARD("Properties"), "Get", INSPECT},
    {STANDARD("Properties"), "GetAll", INSPECT},
    {STANDARD("ObjectManager"), "GetManagedObjects", INSPECT},
    {STANDARD("Introspectable"), "Introspect", INSPECT, .any_object = true},
    {STANDARD("Peer"), "Ping", INSPECT, .any_object = true},
    {STANDARD("Peer"), "GetMachineId", INSPECT, .any_object = true},
};

const GateEntry *gate_table_find(const char *interface, const char *member)
{
    if (!interface || !member)
        return NULL;

    for (size_t i = 0; i < ELEMENTSOF(entries); i++)
        if (strcmp(entries[i].interface, interface) == 0 && strcmp(entries[i].member, member) == 0)
            return &entries[i];
    return NULL;
}

const GateEntry *gate_table_get(size_t index)
{
    return index < ELEMENTSOF(entries) ? &entries[index] : NULL;
}
