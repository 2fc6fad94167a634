/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmdisk1.Job, on the path of the disk, while a job exists.
 */
#include <errno.h>
#include <string.h>

#include "bus.h"
#include "commit.h"
#include "disk.h"

static int set_speed(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    uint64_t speed;

    int r = sd_bus_message_read(message, "t", &speed);
    if (r < 0)
        return r;

    commit_set_speed(userdata, speed, bus_reply_done, sd_bus_message_ref(message));
    return 1;
}

static int pause_job(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    commit_pause(userdata, bus_reply_done, sd_bus_message_ref(message));
    return 1;
}

static int resume(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    commit_resume(userdata, bus_reply_done, sd_bus_message_ref(message));
    return 1;
}

static int get_string(sd_bus *connection, const char *path, const char *interface,
                      const char *property, sd_bus_message *reply, void *userdata,
                      sd_bus_error *error)
{
    const Commit *job = userdata;
    const char *value;

    if (strcmp(property, "Id") == 0)
        value = commit_id(job);
    else if (strcmp(property, "Type") == 0)
        value = commit_type(job);
    else if (strcmp(property, "State") == 0)
        value = job_state_to_string(commit_state(job));
    else if (strcmp(property, "Error") == 0)
        value = commit_io_error(job);
    else if (strcmp(property, "OnReady") == 0)
        value = job_on_ready_to_string(commit_on_ready(job));
    else if (strcmp(property, "Top") == 0)
        value = commit_top(job);
    else if (strcmp(property, "Base") == 0)
        value = commit_base(job);
    else
        return -ENOENT;
    return sd_bus_message_append(reply, "s", value);
}

static int get_number(sd_bus *connection, const char *path, const char *interface,
                      const char *property, sd_bus_message *reply, void *userdata,
                      sd_bus_error *error)
{
    const Commit *job = userdata;
    uint64_t value;

    if (strcmp(property, "Offset") == 0)
        value = commit_offset(job);
    else if (strcmp(property, "Length") == 0)
        value = commit_length(job);
    else if (strcmp(property, "Speed") == 0)
        value = commit_speed(job);
    else if (strcmp(property, "Remaining") == 0)
        value = commit_remaining(job);
    else if (strcmp(property, "Rate") == 0)
        value = commit_rate(job);
    else if (strcmp(property, "StartedUSec") == 0)
        value = commit_started_usec(job);
    else
        return -ENOENT;
    return sd_bus_message_append(reply, "t", value);
}

static int get_slowed(sd_bus *connection, const char *path, const char *interface,
                      const char *property, sd_bus_message *reply, void *userdata,
                      sd_bus_error *error)
{
    return sd_bus_message_append(reply, "b", (int)commit_is_slowing(userdata));
}

static int get_started_by(sd_bus *connection, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *error)
{
    return sd_bus_message_append(reply, "u", (uint32_t)commit_uid(userdata));
}

const sd_bus_vtable bus_job_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("SetSpeed", SD_BUS_ARGS("t", speed), SD_BUS_NO_RESULT, set_speed,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Pause", NULL, NULL, pause_job, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Resume", NULL, NULL, resume, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Id", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Type", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("State", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Error", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Offset", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Length", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Remaining", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Rate", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Slowed", "b", get_slowed, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Speed", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("OnReady", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Top", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Base", "s", get_string, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("StartedByUID", "u", get_started_by, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("StartedUSec", "t", get_number, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END,
};

void bus_job_changed(Bus *b, const Commit *job, unsigned changes)
{
    _cleanup_(freep) char *path = bus_disk_path(commit_disk(job));
    const char *properties[9] = {};
    size_t n = 0;

    if (changes & COMMIT_CHANGE_STATE)
        properties[n++] = "State";
    if (changes & COMMIT_CHANGE_ERROR)
        properties[n++] = "Error";
    if (changes & COMMIT_CHANGE_PROGRESS) {
        properties[n++] = "Offset";
        properties[n++] = "Length";
        properties[n++] = "Remaining";
        properties[n++] = "Rate";
    }
    if (changes & COMMIT_CHANGE_SLOWED)
        properties[n++] = "Slowed";
    if (changes & COMMIT_CHANGE_SPEED)
        properties[n++] = "Speed";
    if (path)
        bus_emit_changed(b, path, BUS_INTERFACE_JOB, properties);
}
