/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A QEMU's monitor as a script: the other end of a socketpair, served by the event loop of the code
 * under test. It says what the test wants, in the order the test wants, so that a test can be a
 * QEMU that is slow, broken or hostile.
 *
 *     g_autoptr(QmpPeer) peer = qmp_peer_new(event);
 *     qmp_new(event, qmp_peer_take_fd(peer), …);
 *     qmp_peer_answer(peer, "query-jobs", "[]");         // from now on, whenever it is asked
 *     qmp_peer_greet(peer);
 *     …
 *     QmpPeerCommand *c = qmp_peer_expect(peer, "block-commit");   // runs the loop
 *     qmp_peer_event(peer, "JOB_STATUS_CHANGE", "{'id': 'j', 'status': 'created'}");
 *     qmp_peer_reply(peer, c, "{}");
 *
 * JSON is written with ' for ". A command with a standing answer is answered when it arrives;
 * every other one waits, unanswered, for qmp_peer_expect(). "qmp_capabilities" and "query-version"
 * have a standing answer from the beginning.
 */
#pragma once

#include <glib.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <systemd/sd-event.h>

typedef struct QmpPeer QmpPeer;

typedef struct QmpPeerCommand {
    char *name;
    json_object *args; /* NULL where there are none */
    json_object *id;
} QmpPeerCommand;

QmpPeer *qmp_peer_new(sd_event *event);
void qmp_peer_free(QmpPeer *p);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(QmpPeer, qmp_peer_free)

/* The end for the code under test, once. */
int qmp_peer_take_fd(QmpPeer *p);

/* Standing answers; a later one for the same command replaces the earlier. */
void qmp_peer_answer(QmpPeer *p, const char *command, const char *value);
void qmp_peer_refuse(QmpPeer *p, const char *command, const char *error_class, const char *text);
void qmp_peer_keep_silent(QmpPeer *p, const char *command);
void qmp_peer_hang_up_on(QmpPeer *p, const char *command);
/* No standing answer any more. */
void qmp_peer_let_wait(QmpPeer *p, const char *command);

/* Runs the loop until a command waits, and takes it; it has to be that one. The peer owns it. */
QmpPeerCommand *qmp_peer_expect(QmpPeer *p, const char *command);
/* The same for any command. */
QmpPeerCommand *qmp_peer_take(QmpPeer *p);
void qmp_peer_reply(QmpPeer *p, const QmpPeerCommand *c, const char *value);
void qmp_peer_reply_error(QmpPeer *p, const QmpPeerCommand *c, const char *error_class,
                          const char *text);

/* QEMU 7.2.22's. */
void qmp_peer_greet(QmpPeer *p);
/* data may be NULL. */
void qmp_peer_event(QmpPeer *p, const char *name, const char *data);
/* One message of any shape. */
void qmp_peer_say(QmpPeer *p, const char *message);
/* Bytes of any kind. */
void qmp_peer_send(QmpPeer *p, const char *bytes, size_t n);
/* What was said before still arrives. */
void qmp_peer_hang_up(QmpPeer *p);
/* Takes no bytes from the socket any more (true), or does again. */
void qmp_peer_stop_reading(QmpPeer *p, bool stop);

/* Whether the other end has closed the connection. */
bool qmp_peer_is_alone(const QmpPeer *p);
/* How many commands of that name have arrived. */
unsigned qmp_peer_count(const QmpPeer *p, const char *command);
/* Every command that has arrived, answered or not, in order; NULL beyond the last. */
const QmpPeerCommand *qmp_peer_at(const QmpPeer *p, unsigned i);
