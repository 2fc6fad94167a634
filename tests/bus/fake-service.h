/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A service that publishes disks and a job as the real one does, and otherwise does what the test
 * says: each call of a client waits until the test takes and answers it.
 */
#pragma once

#include <glib.h>
#include <stdint.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-event.h>

#include "fake-record.h"
#include "test-bus.h"

typedef struct FakeService FakeService;
typedef struct FakeDisk FakeDisk;

/* On the bus, with nothing published. */
FakeService *fake_service_new(void);
void fake_service_free(FakeService *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeService, fake_service_free)

sd_event *fake_service_event(FakeService *f);
const char *fake_service_address(FakeService *f);
TestBus *fake_service_bus(FakeService *f);

/* Leaves the bus without a word, as a service that is killed. What is published is remembered. */
void fake_service_leave(FakeService *f);
void fake_service_return(FakeService *f);

/* The VM is published with its first disk. A chain of two images: "top" and "base". */
FakeDisk *fake_service_add(FakeService *f, const char *vm, const char *disk);
const char *fake_disk_path(const FakeDisk *d);
void fake_disk_set_file(FakeDisk *d, const char *top);
void fake_disk_set_warning(FakeDisk *d, const char *text);
/* The disk's interfaces are gone, and the bus is told. */
void fake_disk_remove(FakeDisk *d);

/* What the next job has for OnReady, "wait" by default. Texts are not copied. */
void fake_disk_choose(FakeDisk *d, const char *on_ready);
/* Job.Error, and what Remaining and Rate say. */
void fake_disk_set_error(FakeDisk *d, const char *error);
void fake_disk_set_rate(FakeDisk *d, uint64_t remaining, uint64_t rate);
/* Publishes a job that runs, of the active layer (Top is Node) or of those below. */
void fake_disk_start_job(FakeDisk *d, const char *id, bool active);
void fake_disk_set_state(FakeDisk *d, const char *state);
void fake_disk_set_progress(FakeDisk *d, uint64_t offset, uint64_t length);
/* JobReady, after the state. */
void fake_disk_say_ready(FakeDisk *d);
/* The job ends in silence: only LastJob and JobState tell. */
void fake_disk_end_job(FakeDisk *d, const char *result, const char *error, const char *message);
/* The same, as the interface promises it: with JobFinished, then InterfacesRemoved. */
void fake_disk_finish_job(FakeDisk *d, const char *result, const char *error, const char *message);

/* From now on all jobs of a VM are committed together; JobsState is that of its first disk. */
void fake_service_group(FakeService *f);
/* JobsReady of the disk's VM; JobsFinished with how the last jobs of its disks ended. */
void fake_disk_say_all_ready(FakeDisk *d);
void fake_disk_say_all_finished(FakeDisk *d);

/* What ListImages() answers. */
FakeRecord *fake_service_record(FakeService *f);

/* Runs the loop until the next call is there, which has to be of that method. The service keeps it
 * until it is answered. */
sd_bus_message *fake_service_take(FakeService *f, const char *member);
/* The same for a method that takes options, which have to be these: "active=yes, disks=a+b". */
sd_bus_message *fake_service_take_with(FakeService *f, const char *member, const char *options);
void fake_service_reply(FakeService *f, sd_bus_message *call, const char *types, ...);
void fake_service_refuse(FakeService *f, sd_bus_message *call, const char *error, const char *text);
/* Nothing has been called up to now. */
void fake_service_assert_no_call(FakeService *f);
