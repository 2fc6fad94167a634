/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service that does what the test says.
 */
#include "fake-service.h"

#include <string.h>
#include <unistd.h>

#include "event-wait.h"
#include "fake-options.h"

#define SERVICE "org.vmdisk1"
#define PATH_ROOT "/org/vmdisk1"
#define DISK SERVICE ".Disk"
#define JOB SERVICE ".Job"
#define VM SERVICE ".VM"

#define IMAGE_SIZE (UINT64_C(3) << 30)

/* Whoever runs the tests may be the service. */
static const char policy[] = "<policy context='default'>"
                             "<allow own='" SERVICE "'/>"
                             "<allow send_destination='" SERVICE "'/>"
                             "</policy>";

struct FakeService {
    TestBus *bus;
    sd_event *event;
    sd_bus *connection; /* NULL while away */
    GPtrArray *disks;
    FakeRecord *record;
    bool grouped;
    GQueue calls; /* sd_bus_message, not taken yet */
};

struct FakeDisk {
    FakeService *service;
    char *vm_name, *name, *vm_path, *path, *file, *warning;
    bool owns_vm; /* the first disk of its VM publishes it */
    sd_bus_slot *vm_slot, *disk_slot, *job_slot;
    char *job, *job_state, *job_top; /* job is NULL for none */
    const char *on_ready, *error;
    uint64_t size, offset, length, remaining, rate;
    char *last_job, *last_result, *last_error, *last_message;
};

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    FakeService *f = userdata;

    g_queue_push_tail(&f->calls, sd_bus_message_ref(m));
    return 1;
}

/* The methods of a disk have the disk for userdata. */
static int on_disk_call(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    const FakeDisk *d = userdata;

    return on_call(m, d->service, ret_error);
}

static int get_text(sd_bus *bus, const char *path, const char *interface, const char *property,
                    sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    const char *const *text = userdata;

    return sd_bus_message_append(reply, "s", *text ? *text : "");
}

static int get_vm(sd_bus *bus, const char *path, const char *interface, const char *property,
                  sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    const FakeDisk *d = userdata;

    return sd_bus_message_append(reply, "o", d->vm_path);
}

static int get_constant(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    static const struct {
        const char *property, *value;
    } table[] = {
        {"State", "running"}, {"QEMUVersion", "7.2.0"}, {"Node", "top"},
        {"Format", "qcow2"},  {"Type", "commit"},       {"Base", "base"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(table); i++)
        if (g_str_equal(table[i].property, property))
            return sd_bus_message_append(reply, "s", table[i].value);
    g_assert_not_reached();
}

/* With a key that no client knows: the service may be newer. */
static int get_chain(sd_bus *bus, const char *path, const char *interface, const char *property,
                     sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    const FakeDisk *d = userdata;

    return sd_bus_message_append(
        reply, "aa{sv}", 2, 8, "index", "u", UINT32_C(0), "node", "s", "top", "file", "s", d->file,
        "format", "s", "qcow2", "size", "t", IMAGE_SIZE, "read-only", "b", 0, "backing-file", "s",
        "/images/base.raw", "novelty", "(su)", "x", UINT32_C(1), 6, "index", "u", UINT32_C(1),
        "node", "s", "base", "file", "s", "/images/base.raw", "format", "s", "raw", "size", "t",
        IMAGE_SIZE, "read-only", "b", 1);
}

static int get_warnings(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    const FakeDisk *d = userdata;

    return d->warning ? sd_bus_message_append(reply, "as", 1, d->warning)
                      : sd_bus_message_append(reply, "as", 0);
}

static int get_last_job(sd_bus *bus, const char *path, const char *interface, const char *property,
                        sd_bus_message *reply, void *userdata, sd_bus_error *ret_error)
{
    const FakeDisk *d = userdata;

    if (!d->last_job)
        return sd_bus_message_append(reply, "a{sv}", 0);
    return sd_bus_message_append(reply, "a{sv}", 7, "id", "s", d->last_job, "type", "s", "commit",
                                 "result", "s", d->last_result, "error", "s", d->last_error,
                                 "message", "s", d->last_message, "started-usec", "t", UINT64_C(1),
                                 "finished-usec", "t", UINT64_C(2));
}

/* The disks of the VM that have a job are committed together. */
static int get_jobs_disks(sd_bus *bus, const char *path, const char *interface,
                          const char *property, sd_bus_message *reply, void *userdata,
                          sd_bus_error *ret_error)
{
    const FakeDisk *first = userdata;
    int r = sd_bus_message_open_container(reply, 'a', "o");

    for (guint i = 0; r >= 0 && i < first->service->disks->len; i++) {
        const FakeDisk *d = first->service->disks->pdata[i];

        if (d->job && first->service->grouped && g_str_equal(d->vm_name, first->vm_name))
            r = sd_bus_message_append(reply, "o", d->path);
    }
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

static int list_images(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
    const FakeService *f = userdata;

    fake_record_answer(f->record, m);
    return 1;
}

#define METHOD(name, in, out) SD_BUS_METHOD(name, in, out, on_disk_call, SD_BUS_VTABLE_UNPRIVILEGED)
#define CONSTANT(name) SD_BUS_PROPERTY(name, "s", get_constant, 0, 0)

static const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("AttachVM", "sha{sv}", "o", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("ListImages", "", "aa{sv}", list_images, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("ForgetImage", "s", "", on_call, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable vm_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("Detach", "", ""),
    METHOD("Commit", "b", ""),
    METHOD("CommitWith", "a{sv}", ""),
    METHOD("Pivot", "", ""),
    METHOD("Abort", "", ""),
    SD_BUS_SIGNAL("JobsReady", "", 0),
    SD_BUS_SIGNAL("JobsFinished", "a(oss)", 0),
    SD_BUS_PROPERTY("Name", "s", get_text, offsetof(FakeDisk, vm_name), 0),
    SD_BUS_PROPERTY("JobsState", "s", get_text, offsetof(FakeDisk, job_state), 0),
    SD_BUS_PROPERTY("JobsDisks", "ao", get_jobs_disks, 0, 0),
    CONSTANT("State"),
    CONSTANT("QEMUVersion"),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable disk_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("Commit", "b", "s"),
    METHOD("CommitWith", "a{sv}", "s"),
    METHOD("Check", "a{sv}", "a{sv}"),
    METHOD("Pivot", "", ""),
    METHOD("Abort", "", ""),
    SD_BUS_SIGNAL("JobReady", "ss", 0),
    SD_BUS_SIGNAL("JobFinished", "sssss", 0),
    SD_BUS_PROPERTY("Name", "s", get_text, offsetof(FakeDisk, name), 0),
    SD_BUS_PROPERTY("VM", "o", get_vm, 0, 0),
    SD_BUS_PROPERTY("Size", "t", NULL, offsetof(FakeDisk, size), 0),
    CONSTANT("Node"),
    CONSTANT("Format"),
    SD_BUS_PROPERTY("Chain", "aa{sv}", get_chain, 0, 0),
    SD_BUS_PROPERTY("Warnings", "as", get_warnings, 0, 0),
    SD_BUS_PROPERTY("JobState", "s", get_text, offsetof(FakeDisk, job_state),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("LastJob", "a{sv}", get_last_job, 0, 0),
    SD_BUS_VTABLE_END,
};
static const sd_bus_vtable job_vtable[] = {
    SD_BUS_VTABLE_START(0),
    METHOD("SetSpeed", "t", ""),
    METHOD("Pause", "", ""),
    METHOD("Resume", "", ""),
    SD_BUS_PROPERTY("Id", "s", get_text, offsetof(FakeDisk, job), 0),
    CONSTANT("Type"),
    SD_BUS_PROPERTY("State", "s", get_text, offsetof(FakeDisk, job_state),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Offset", "t", NULL, offsetof(FakeDisk, offset),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Length", "t", NULL, offsetof(FakeDisk, length),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("OnReady", "s", get_text, offsetof(FakeDisk, on_ready), 0),
    SD_BUS_PROPERTY("Error", "s", get_text, offsetof(FakeDisk, error),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Remaining", "t", NULL, offsetof(FakeDisk, remaining),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Rate", "t", NULL, offsetof(FakeDisk, rate),
                    SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Top", "s", get_text, offsetof(FakeDisk, job_top), 0),
    CONSTANT("Base"),
    SD_BUS_VTABLE_END,
};

static void publish(FakeDisk *d, const char *path, const char *interface,
                    const sd_bus_vtable *vtable, sd_bus_slot **slot)
{
    sd_bus *connection = d->service->connection;

    g_assert_cmpint(sd_bus_add_object_vtable(connection, slot, path, interface, vtable, d), >=, 0);
    g_assert_cmpint(sd_bus_emit_interfaces_added(connection, path, interface, NULL), >=, 0);
}

static void withdraw(FakeDisk *d, const char *interface, sd_bus_slot **slot)
{
    *slot = sd_bus_slot_unref(*slot);
    g_assert_cmpint(
        sd_bus_emit_interfaces_removed(d->service->connection, d->path, interface, NULL), >=, 0);
}

static void publish_all(FakeDisk *d)
{
    if (d->owns_vm)
        publish(d, d->vm_path, VM, vm_vtable, &d->vm_slot);
    publish(d, d->path, DISK, disk_vtable, &d->disk_slot);
    if (d->job)
        publish(d, d->path, JOB, job_vtable, &d->job_slot);
}

static void forget_slots(FakeDisk *d)
{
    d->vm_slot = sd_bus_slot_unref(d->vm_slot);
    d->disk_slot = sd_bus_slot_unref(d->disk_slot);
    d->job_slot = sd_bus_slot_unref(d->job_slot);
}

static void disk_free(gpointer data)
{
    FakeDisk *d = data;

    forget_slots(d);
    char *texts[] = {d->vm_name, d->name,     d->vm_path,     d->path,       d->file,        d->job,
                     d->job_top, d->last_job, d->last_result, d->last_error, d->last_message};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
    g_free(d->job_state);
    g_free(d->warning);
    g_free(d);
}

static void forget_calls(FakeService *f)
{
    while (!g_queue_is_empty(&f->calls))
        sd_bus_message_unref(g_queue_pop_head(&f->calls));
}

FakeService *fake_service_new(void)
{
    FakeService *f = g_new0(FakeService, 1);

    f->bus = test_bus_start(policy);
    g_assert_cmpint(sd_event_new(&f->event), >=, 0);
    f->disks = g_ptr_array_new_with_free_func(disk_free);
    f->record = fake_record_new();
    fake_service_return(f);
    return f;
}

void fake_service_free(FakeService *f)
{
    forget_calls(f);
    g_ptr_array_unref(f->disks);
    fake_record_free(f->record);
    if (f->connection)
        test_bus_disconnect(f->connection);
    sd_event_unref(f->event);
    test_bus_free(f->bus);
    g_free(f);
}

sd_event *fake_service_event(FakeService *f)
{
    return f->event;
}

const char *fake_service_address(FakeService *f)
{
    return test_bus_address(f->bus);
}

TestBus *fake_service_bus(FakeService *f)
{
    return f->bus;
}

void fake_service_leave(FakeService *f)
{
    forget_calls(f);
    for (guint i = 0; i < f->disks->len; i++)
        forget_slots(f->disks->pdata[i]);
    test_bus_disconnect(f->connection);
    f->connection = NULL;
}

/* The objects are there before the name, as the real service has it. */
void fake_service_return(FakeService *f)
{
    f->connection = test_bus_connect(f->bus, f->event, geteuid());
    g_assert_cmpint(sd_bus_add_object_manager(f->connection, NULL, PATH_ROOT), >=, 0);
    g_assert_cmpint(sd_bus_add_object_vtable(f->connection, NULL, PATH_ROOT, SERVICE ".Manager",
                                             manager_vtable, f),
                    >=, 0);
    for (guint i = 0; i < f->disks->len; i++)
        publish_all(f->disks->pdata[i]);
    g_assert_cmpint(sd_bus_request_name(f->connection, SERVICE, 0), >=, 0);
}

static bool has_vm(const FakeService *f, const char *vm)
{
    for (guint i = 0; i < f->disks->len; i++)
        if (g_str_equal(((const FakeDisk *)f->disks->pdata[i])->vm_name, vm))
            return true;
    return false;
}

FakeDisk *fake_service_add(FakeService *f, const char *vm, const char *disk)
{
    FakeDisk *d = g_new0(FakeDisk, 1);

    d->service = f;
    d->vm_name = g_strdup(vm);
    d->name = g_strdup(disk);
    d->file = g_strdup("/images/top.qcow2");
    d->job_state = g_strdup("none");
    d->on_ready = "wait";
    d->error = "";
    d->size = IMAGE_SIZE;
    d->owns_vm = !has_vm(f, vm);
    g_assert_cmpint(sd_bus_path_encode(PATH_ROOT "/vm", vm, &d->vm_path), >=, 0);
    g_assert_cmpint(sd_bus_path_encode_many(&d->path, PATH_ROOT "/vm/%/%", vm, disk), >=, 0);
    g_ptr_array_add(f->disks, d);
    publish_all(d);
    return d;
}

const char *fake_disk_path(const FakeDisk *d)
{
    return d->path;
}

void fake_disk_set_file(FakeDisk *d, const char *top)
{
    g_free(d->file);
    d->file = g_strdup(top);
}

void fake_disk_set_warning(FakeDisk *d, const char *text)
{
    g_free(d->warning);
    d->warning = g_strdup(text);
}

void fake_disk_remove(FakeDisk *d)
{
    withdraw(d, JOB, &d->job_slot);
    withdraw(d, DISK, &d->disk_slot);
}

static void set_state(FakeDisk *d, const char *state)
{
    g_free(d->job_state);
    d->job_state = g_strdup(state);
}

static void announce(FakeDisk *d, const char *interface, const char *property)
{
    g_assert_cmpint(
        sd_bus_emit_properties_changed(d->service->connection, d->path, interface, property, NULL),
        >=, 0);
}

void fake_disk_choose(FakeDisk *d, const char *on_ready)
{
    d->on_ready = on_ready;
}

void fake_disk_set_error(FakeDisk *d, const char *error)
{
    d->error = error;
    announce(d, JOB, "Error");
}

void fake_disk_set_rate(FakeDisk *d, uint64_t remaining, uint64_t rate)
{
    d->remaining = remaining;
    d->rate = rate;
}

void fake_disk_start_job(FakeDisk *d, const char *id, bool active)
{
    g_assert_null(d->job);
    d->job = g_strdup(id);
    d->job_top = g_strdup(active ? "top" : "middle");
    d->offset = d->length = 0;
    set_state(d, "running");
    publish(d, d->path, JOB, job_vtable, &d->job_slot);
    announce(d, DISK, "JobState");
}

void fake_disk_set_state(FakeDisk *d, const char *state)
{
    set_state(d, state);
    announce(d, DISK, "JobState");
    announce(d, JOB, "State");
}

void fake_disk_set_progress(FakeDisk *d, uint64_t offset, uint64_t length)
{
    d->offset = offset;
    d->length = length;
    g_assert_cmpint(sd_bus_emit_properties_changed(d->service->connection, d->path, JOB, "Offset",
                                                   "Length", NULL),
                    >=, 0);
}

void fake_disk_say_ready(FakeDisk *d)
{
    g_assert_cmpint(sd_bus_emit_signal(d->service->connection, d->path, DISK, "JobReady", "ss",
                                       d->job, "commit"),
                    >=, 0);
}

void fake_disk_end_job(FakeDisk *d, const char *result, const char *error, const char *message)
{
    g_assert_nonnull(d->job);
    g_free(d->last_job);
    g_free(d->last_result);
    g_free(d->last_error);
    g_free(d->last_message);
    d->last_job = g_steal_pointer(&d->job);
    d->last_result = g_strdup(result);
    d->last_error = g_strdup(error);
    d->last_message = g_strdup(message);
    g_clear_pointer(&d->job_top, g_free);
    set_state(d, "none");
}

void fake_disk_finish_job(FakeDisk *d, const char *result, const char *error, const char *message)
{
    fake_disk_end_job(d, result, error, message);
    announce(d, DISK, "JobState");
    g_assert_cmpint(sd_bus_emit_signal(d->service->connection, d->path, DISK, "JobFinished",
                                       "sssss", d->last_job, "commit", result, error, message),
                    >=, 0);
    withdraw(d, JOB, &d->job_slot);
}

void fake_service_group(FakeService *f)
{
    f->grouped = true;
}

void fake_disk_say_all_ready(FakeDisk *d)
{
    g_assert_cmpint(sd_bus_emit_signal(d->service->connection, d->vm_path, VM, "JobsReady", NULL),
                    >=, 0);
}

void fake_disk_say_all_finished(FakeDisk *d)
{
    sd_bus_message *m;

    g_assert_cmpint(
        sd_bus_message_new_signal(d->service->connection, &m, d->vm_path, VM, "JobsFinished"), >=,
        0);
    g_assert_cmpint(sd_bus_message_open_container(m, 'a', "(oss)"), >=, 0);
    for (guint i = 0; i < d->service->disks->len; i++) {
        const FakeDisk *other = d->service->disks->pdata[i];

        if (g_str_equal(other->vm_name, d->vm_name) && other->last_job)
            g_assert_cmpint(sd_bus_message_append(m, "(oss)", other->path, other->last_result,
                                                  other->last_message),
                            >=, 0);
    }
    g_assert_cmpint(sd_bus_message_close_container(m), >=, 0);
    g_assert_cmpint(sd_bus_send(d->service->connection, m, NULL), >=, 0);
    sd_bus_message_unref(m);
}

FakeRecord *fake_service_record(FakeService *f)
{
    return f->record;
}

static bool is_called(gpointer data)
{
    const FakeService *f = data;

    return !g_queue_is_empty((GQueue *)&f->calls);
}

sd_bus_message *fake_service_take(FakeService *f, const char *member)
{
    event_wait_until(f->event, member, is_called, f);
    sd_bus_message *call = g_queue_pop_head(&f->calls);
    g_assert_cmpstr(sd_bus_message_get_member(call), ==, member);
    return call;
}

void fake_service_reply(FakeService *f, sd_bus_message *call, const char *types, ...)
{
    sd_bus_message *reply;
    va_list arguments;

    g_assert_cmpint(sd_bus_message_new_method_return(call, &reply), >=, 0);
    va_start(arguments, types);
    g_assert_cmpint(sd_bus_message_appendv(reply, types, arguments), >=, 0);
    va_end(arguments);
    g_assert_cmpint(sd_bus_send(f->connection, reply, NULL), >=, 0);
    sd_bus_message_unref(reply);
    sd_bus_message_unref(call);
}

sd_bus_message *fake_service_take_with(FakeService *f, const char *member, const char *options)
{
    sd_bus_message *call = fake_service_take(f, member);
    g_autofree char *text = fake_options_text(call);

    g_assert_cmpstr(text, ==, options);
    return call;
}

void fake_service_refuse(FakeService *f, sd_bus_message *call, const char *error, const char *text)
{
    g_assert_cmpint(sd_bus_reply_method_errorf(call, error, "%s", text), >=, 0);
    sd_bus_message_unref(call);
}

/* After a round trip to the bus, what clients had sent before it is here. */
void fake_service_assert_no_call(FakeService *f)
{
    sd_bus_message *reply;

    g_assert_cmpint(sd_bus_call_method(f->connection, "org.freedesktop.DBus",
                                       "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId",
                                       NULL, &reply, NULL),
                    >=, 0);
    sd_bus_message_unref(reply);
    event_wait_idle(f->event);
    g_assert_true(g_queue_is_empty(&f->calls));
}
