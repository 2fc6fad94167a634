/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A D-Bus client that writes down everything the service says, replies and signals, in the order in
 * which it came, so that a test can assert on that order. Never makes a blocking call: such a call
 * would take its reply out of turn.
 *
 * A record is named by its position in the order of arrival, from 0.
 */
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <systemd/sd-bus.h>

#define SERVICE_NAME "org.vmdisk1"
#define SERVICE_PATH "/org/vmdisk1"
#define MANAGER_INTERFACE SERVICE_NAME ".Manager"
#define VM_INTERFACE SERVICE_NAME ".VM"
#define DISK_INTERFACE SERVICE_NAME ".Disk"
#define JOB_INTERFACE SERVICE_NAME ".Job"
#define SERVICE_ERROR(name) SERVICE_NAME ".Error." name

typedef enum RecordKind {
    RECORD_SIGNAL,
    RECORD_REPLY,
    RECORD_ERROR,
    RECORD_OWNER, /* the service's name got or lost its owner */
} RecordKind;

typedef struct Record {
    RecordKind kind;
    unsigned call;                         /* of a reply or an error */
    const char *path, *interface, *member; /* of the signal, borrowed; NULL for the others */
    sd_bus_message *message;
} Record;

typedef struct Recorder Recorder;

/* address: of the bus. */
Recorder *recorder_new(const char *address);
void recorder_free(Recorder *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Recorder, recorder_free)

/* How many records there are: the position of the next one. */
unsigned recorder_mark(const Recorder *r);
const Record *recorder_at(const Recorder *r, unsigned position);
/* Reads the arguments of a record, as sd_bus_message_read(); strings are borrowed. */
void recorder_read(Recorder *r, unsigned position, const char *types, ...);

/* Sends a call and does not wait; the number of the call. */
unsigned recorder_send(Recorder *r, const char *path, const char *interface, const char *member,
                       const char *types, ...);
/* Waits for the answer; position of its record. */
unsigned recorder_await(Recorder *r, unsigned call);
/* Position of the answer's record, or -1. Does not wait. */
int recorder_find_answer(Recorder *r, unsigned call);
/* A call that has to succeed; position of its reply. */
unsigned recorder_call(Recorder *r, const char *path, const char *interface, const char *member,
                       const char *types, ...);
/* A call that has to be refused with that error. The text, borrowed. */
const char *recorder_refused(Recorder *r, const char *error, const char *path,
                             const char *interface, const char *member, const char *types, ...);

/* What a search looks for. Members that are NULL match everything. */
typedef struct Sought {
    const char *path, *interface, *member;
    const char *object;   /* InterfacesAdded, InterfacesRemoved: the object … */
    const char *part;     /* … and one of its interfaces */
    const char *property; /* PropertiesChanged: a property that is changed or invalidated … */
    const char *value;    /* … to this string */
} Sought;

/* Position of the first such signal from `from` on, or -1. Does not wait. */
int recorder_find(Recorder *r, unsigned from, Sought sought);
/* The same, waiting for it. */
unsigned recorder_wait(Recorder *r, unsigned from, Sought sought);
unsigned recorder_count(Recorder *r, unsigned from, Sought sought);

/* Takes what has come; where that is nothing, waits for something, at most that long. */
void recorder_turn(Recorder *r, uint64_t usec);
bool recorder_has_owner(const Recorder *r);
/* A round trip: everything that the service had sent before is recorded afterwards. */
void recorder_settle(Recorder *r);
/* Until the service's name has an owner, or has none. */
void recorder_wait_owner(Recorder *r, bool owned);
