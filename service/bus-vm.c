/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmdisk1.VM.
 */
#include <errno.h>
#include <string.h>

#include "bus.h"
#include "vm.h"

static int detach(sd_bus_message *call, void *userdata, sd_bus_error *error)
{
    Vm *vm = userdata;

    manager_detach(bus_manager(bus_of(vm)), vm, bus_reply_done, sd_bus_message_ref(call));
    return 1;
}

static int get_string(sd_bus *connection, const char *path, const char *interface,
                      const char *property, sd_bus_message *reply, void *userdata,
                      sd_bus_error *error)
{
    const Vm *vm = userdata;
    const Peer *peer = vm_peer(vm);
    const char *value;

    if (strcmp(property, "Name") == 0)
        value = vm_name(vm);
    else if (strcmp(property, "State") == 0)
        value = vm_state(vm);
    else if (strcmp(property, "QEMUVersion") == 0)
        value = vm_version(vm);
    else if (strcmp(property, "Unit") == 0)
        value = peer->unit;
    else if (strcmp(property, "Instance") == 0)
        value = peer->instance;
    else
        return -ENOENT;
    return sd_bus_message_append(reply, "s", value);
}

static int get_process_id(sd_bus *connection, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error)
{
    return sd_bus_message_append(reply, "u", (uint32_t)vm_peer(userdata)->pid);
}

static int get_user_id(sd_bus *connection, const char *path, const char *interface,
                       const char *property, sd_bus_message *reply, void *userdata,
                       sd_bus_error *error)
{
    return sd_bus_message_append(reply, "u", (uint32_t)vm_peer(userdata)->uid);
}

const sd_bus_vtable bus_vm_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Detach", NULL, NULL, detach, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Name", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("State", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("QEMUVersion", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("ProcessID", "u", get_process_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("UserID", "u", get_user_id, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Unit", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Instance", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END,
};

void bus_vm_changed(Bus *b, const Vm *vm)
{
    _cleanup_(freep) char *path = bus_vm_path(vm);

    if (path)
        (void)sd_bus_emit_properties_changed(bus_connection(b), path, BUS_INTERFACE_VM, "State",
                                             NULL);
}
