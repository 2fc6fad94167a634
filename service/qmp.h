/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * qmp speaks the QEMU Machine Protocol on a stream: greeting, negotiation, command ids, replies in
 * any order, events, time-outs. It knows no command but qmp_capabilities, no event but SHUTDOWN and
 * the STOP that may follow it.
 * Source: QEMU's docs/interop/qmp-spec.
 */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>
#include <systemd/sd-event.h>

#include "cleanup.h"

#define QMP_USEC_PER_SEC UINT64_C(1000000)
/* A monitor that another client holds stays silent for ever. */
#define QMP_GREETING_USEC (2 * QMP_USEC_PER_SEC)
/* A QEMU that dials in does so before it builds its machine, and greets after: with much memory to
 * allocate, or on a busy host, that takes its time. If it is hung up on before, it may never dial
 * again (7.2.22: in 10 of 20 tries). */
#define QMP_DIALLED_USEC (600 * QMP_USEC_PER_SEC)
/* An ordinary command. */
#define QMP_COMMAND_USEC (10 * QMP_USEC_PER_SEC)
/* A command that drains I/O: QEMU answers when the storage does. */
#define QMP_DRAIN_USEC (120 * QMP_USEC_PER_SEC)
/* After SHUTDOWN, how long commands wait for QEMU to be gone. Shorter than their own time-outs. */
#define QMP_LEAVING_USEC (5 * QMP_USEC_PER_SEC)
/* Commands sent or queued and not answered. */
#define QMP_PENDING_MAX 64

typedef struct Qmp Qmp;

typedef struct QmpGreeting {
    unsigned major, minor, micro;
    const char *package; /* vendor's string, "" where there is none */
} QmpGreeting;

typedef struct QmpReply {
    /* 0: value is set. -EREMOTEIO: QEMU refused, see the two strings. -ETIMEDOUT: no answer in
     * time; the command may still be carried out. -ENOTCONN: the connection ended first; the
     * command may have been carried out. -EBADMSG: the answer was no valid reply. */
    int error;
    json_object *value;      /* borrowed */
    const char *error_class; /* QAPI type QapiErrorClass, such as "GenericError"; never NULL */
    const char *error_text;  /* for people; never NULL */
} QmpReply;

/* The callback is called exactly once for each accepted call, and never from inside qmp_call(). It
 * may free the Qmp. Freeing the Qmp answers the open calls with -ENOTCONN. */
typedef void (*QmpReplyFunc)(Qmp *q, const QmpReply *reply, void *userdata);

typedef struct QmpObserver {
    /* Negotiation is over: commands may be sent. No event is delivered before. */
    void (*greeted)(Qmp *q, const QmpGreeting *greeting, void *userdata);
    /* data is borrowed and may be NULL. */
    void (*event)(Qmp *q, const char *name, json_object *data, void *userdata);
    /* A command is overdue (true), or the peer spoke again after that (false). May be NULL. */
    void (*overdue)(Qmp *q, bool overdue, void *userdata);
    /* Last call; open commands have had their -ENOTCONN before it. Errors as StreamObserver, and
     * -ETIMEDOUT: no greeting in time; -EPROTO: what came is no QMP. The socket is closed. */
    void (*closed)(Qmp *q, int error, void *userdata);
} QmpObserver;

typedef enum QmpStart {
    QMP_START_GREETING,  /* a fresh connection: expect the greeting, negotiate */
    QMP_START_DIALLED,   /* the same, by a QEMU that may still be starting */
    QMP_START_RESUMED,   /* a negotiated connection taken over from an earlier process: greeted() is
                          * called with the answer to query-version instead of a greeting */
    QMP_START_UNGREETED, /* the same of one that had dialled in, with its negotiation under way or
                          * still to come */
} QmpStart;

/* Takes fd, also on failure. */
int qmp_new(sd_event *event, int fd, QmpStart how, const QmpObserver *observer, void *userdata,
            Qmp **ret);
/* One that leads nowhere, for looking at commands that are not to be sent: written() gets each as
 * JSON text without its id. Its error is that of qmp_call(). */
typedef int (*QmpWrittenFunc)(const char *text, void *userdata);
int qmp_new_dry(QmpWrittenFunc written, void *userdata, Qmp **ret);
/* Answers yes to all that was written down, and to what follows from that. */
void qmp_dry_answer(Qmp *q);
Qmp *qmp_free(Qmp *q);
DEFINE_CLEANUP(Qmp, qmp_free)

/* Sends a command. Takes args (an object, or NULL), also on failure. A timeout of 0 means
 * QMP_COMMAND_USEC. callback may be NULL. -EBUSY beyond QMP_PENDING_MAX, -ENOTCONN when closed or
 * not yet greeted, -ENOBUFS as stream_send(). After a time-out the answer that comes late is
 * dropped. */
int qmp_call(Qmp *q, const char *command, json_object *args, uint64_t timeout_usec,
             QmpReplyFunc callback, void *userdata);

/* Calls without answer yet (those that timed out are not counted). */
unsigned qmp_pending(const Qmp *q);
/* -1 after closed(). */
int qmp_get_fd(const Qmp *q);
