/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 *            greeting                reply to qmp_capabilities
 *   GREETING ────────► NEGOTIATING ─────────────────────────────► READY ──► CLOSED
 *                      RESUMING ────────────────────────────────►
 *                                    reply to query-version
 *
 * RESUMING begins with qmp_capabilities where an earlier process may not have got so far: QEMU
 * reads it after it has greeted, and refuses it where negotiation is over. Whichever way, the
 * greeting is nothing that is waited for.
 *
 * An answer that comes too late is told from a wrong one by its id: ids are handed out in a row,
 * and the row begins beyond everything that an earlier process can have used on this connection.
 */
#include "qmp.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "json.h"
#include "qmp-message.h"
#include "stream.h"

/* Time-outs may fire this much late, so that the wake-ups of many VMs fall together. */
#define QMP_TIMER_ACCURACY_USEC (100 * 1000)

/* Ends a command that an earlier process had half written. QEMU answers it with an error that has
 * no id, and with that ends the line that stream drops. Source: qmp-spec, "Forcing the JSON parser
 * into known-good state". */
#define QMP_RESYNC_BYTE "\x01"

typedef enum QmpState {
    QMP_GREETING,
    QMP_NEGOTIATING,
    QMP_RESUMING,
    QMP_READY,
    QMP_CLOSED,
} QmpState;

typedef struct Call {
    uint64_t id;
    uint64_t deadline;
    QmpReplyFunc callback;
    void *userdata;
} Call;

struct Qmp {
    unsigned n_ref; /* the owner's, and one while an event is handled */
    bool freed;     /* the owner's is gone: no more callbacks */
    QmpState state;
    Stream *stream;
    sd_event_source *timer;
    const QmpObserver *observer;
    QmpWrittenFunc written; /* NULL where there is a stream */
    void *userdata;

    QmpGreeting greeting;
    char *package;
    uint64_t greeting_deadline;
    uint64_t held_until; /* UINT64_MAX: commands are sent at once */

    uint64_t next_id;
    Call calls[QMP_PENDING_MAX]; /* in the order they were sent */
    unsigned n_calls;
    bool overdue;
    bool last_look; /* the timer has fired, what waits in the socket has its turn first */
};

static Qmp *qmp_ref(Qmp *q)
{
    q->n_ref++;
    return q;
}

static void qmp_unref(Qmp *q)
{
    q->n_ref--;
    if (q->n_ref > 0)
        return;

    free(q->package);
    free(q);
}
DEFINE_CLEANUP(Qmp, qmp_unref)

static uint64_t now_usec(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * QMP_USEC_PER_SEC + (uint64_t)ts.tv_nsec / 1000;
}

/* Sets the timer to the nearest deadline. That cannot fail for a source that exists. */
static void arm_timer(Qmp *q)
{
    uint64_t nearest = q->state == QMP_GREETING ? q->greeting_deadline : UINT64_MAX;

    if (!q->timer)
        return;

    if (q->held_until < nearest)
        nearest = q->held_until;
    for (unsigned i = 0; i < q->n_calls; i++) {
        if (q->calls[i].deadline < nearest)
            nearest = q->calls[i].deadline;
    }
    if (nearest > now_usec())
        q->last_look = false;

    (void)sd_event_source_set_time(q->timer, nearest);
    (void)sd_event_source_set_enabled(q->timer,
                                      nearest == UINT64_MAX ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

/* Takes call i from the list, so that its callback may do what it likes. */
static Call take_call(Qmp *q, unsigned i)
{
    Call call = q->calls[i];

    q->n_calls--;
    memmove(q->calls + i, q->calls + i + 1, (q->n_calls - i) * sizeof(Call));
    return call;
}

static void answer(Qmp *q, const Call *call, int error, const char *text)
{
    QmpReply reply = {.error = error, .error_class = "", .error_text = text};

    if (call->callback)
        call->callback(q, &reply, call->userdata);
}

/* Lets go of the socket and the timer. */
static void stop(Qmp *q)
{
    q->state = QMP_CLOSED;
    q->timer = sd_event_source_disable_unref(q->timer);
    q->stream = stream_free(q->stream);
}

static void answer_open_calls(Qmp *q)
{
    while (q->n_calls > 0) {
        Call call = take_call(q, 0);
        answer(q, &call, -ENOTCONN, "The connection ended before the answer came");
    }
}

static void close_with(Qmp *q, int error)
{
    if (q->state == QMP_CLOSED)
        return;

    stop(q);
    answer_open_calls(q);
    if (!q->freed)
        q->observer->closed(q, error, q->userdata);
}

/* Keeps what the greeting borrows from its message. */
static int keep_greeting(Qmp *q, const QmpGreeting *greeting)
{
    q->package = strdup(greeting->package);
    if (!q->package)
        return -ENOMEM;

    q->greeting = *greeting;
    q->greeting.package = q->package;
    return 0;
}

static void become_ready(Qmp *q)
{
    q->state = QMP_READY;
    q->observer->greeted(q, &q->greeting, q->userdata);
}

/* Takes the id away. */
static int write_down(Qmp *q, json_object *message)
{
    json_object_object_del(message, "id");
    const char *text = json_object_to_json_string_ext(message, JSON_C_TO_STRING_PLAIN |
                                                                   JSON_C_TO_STRING_NOSLASHESCAPE);

    return text ? q->written(text, q->userdata) : -ENOMEM;
}

/* qmp_call() for any state in which there is a stream; borrows args. */
static int send_call(Qmp *q, const char *command, json_object *args, uint64_t timeout_usec,
                     QmpReplyFunc callback, void *userdata)
{
    if (q->n_calls == QMP_PENDING_MAX)
        return -EBUSY;

    _cleanup_(json_object_putp) json_object *message = NULL;
    int r = qmp_message_new_command(command, args, q->next_id, &message);
    if (r < 0)
        return r;

    r = q->written ? write_down(q, message) : stream_send(q->stream, message);
    if (r < 0)
        return r;

    q->calls[q->n_calls++] = (Call){
        .id = q->next_id++,
        .deadline = now_usec() + timeout_usec,
        .callback = callback,
        .userdata = userdata,
    };
    arm_timer(q);
    return 0;
}

/* Sends a command of our own on the way to readiness. Where the peer has gone already, closed() of
 * the stream says so. */
static int negotiate(Qmp *q, const char *command, uint64_t timeout_usec, QmpReplyFunc callback)
{
    int r = send_call(q, command, /* args= */ NULL, timeout_usec, callback, NULL);

    return r == -ENOTCONN ? 0 : r;
}

static void on_capabilities(Qmp *q, const QmpReply *reply, void *userdata)
{
    if (reply->error == 0)
        become_ready(q);
    else
        close_with(q, reply->error == -ETIMEDOUT ? -ETIMEDOUT : -EPROTO);
}

static void on_version(Qmp *q, const QmpReply *reply, void *userdata)
{
    QmpGreeting greeting;
    int r;

    /* That connection was in order before: its QEMU is slow, not foreign. */
    if (reply->error == -ETIMEDOUT) {
        r = negotiate(q, "query-version", QMP_COMMAND_USEC, on_version);
        if (r < 0)
            close_with(q, r);
        return;
    }

    if (reply->error < 0 || qmp_message_parse_version(reply->value, &greeting) < 0) {
        close_with(q, -EPROTO);
        return;
    }

    r = keep_greeting(q, &greeting);
    if (r < 0)
        close_with(q, r);
    else
        become_ready(q);
}

/* Refused by a QEMU that has negotiated with an earlier process. */
static void on_capabilities_again(Qmp *q, const QmpReply *reply, void *userdata)
{
    int r = reply->error == 0 || reply->error == -EREMOTEIO
                ? negotiate(q, "query-version", QMP_COMMAND_USEC, on_version)
                : reply->error;

    if (r < 0)
        close_with(q, r == -EBADMSG ? -EPROTO : r);
}

static int handle_greeting(Qmp *q, json_object *message)
{
    QmpGreeting greeting;

    int r = qmp_message_parse_greeting(message, &greeting);
    if (r < 0)
        return -EPROTO;

    r = keep_greeting(q, &greeting);
    if (r < 0)
        return r;

    q->state = QMP_NEGOTIATING;
    return negotiate(q, "qmp_capabilities", QMP_COMMAND_USEC, on_capabilities);
}

static void hold_commands(Qmp *q, bool hold)
{
    if (hold == (q->held_until != UINT64_MAX))
        return;

    q->held_until = hold ? now_usec() + QMP_LEAVING_USEC : UINT64_MAX;
    stream_hold(q->stream, hold);
    arm_timer(q);
}

/* After SHUTDOWN QEMU clears up and exits. A command that it reads meanwhile can crash it: in 10.0
 * the thread that reads lives longer than the coroutine that it then wakes. With -no-shutdown QEMU
 * stops instead, which it says, and stays. */
static void mind_shutdown(Qmp *q, const char *event)
{
    if (strcmp(event, "SHUTDOWN") == 0)
        hold_commands(q, true);
    else if (strcmp(event, "STOP") == 0)
        hold_commands(q, false);
}

static int handle_event(Qmp *q, json_object *message)
{
    const char *name;
    json_object *data = NULL;

    int r = json_get_string(message, "event", &name);
    if (r < 0)
        return -EPROTO;
    r = json_get_object(message, "data", &data);
    if (r < 0 && r != -ENODATA)
        return -EPROTO;

    mind_shutdown(q, name);
    if (q->state == QMP_READY)
        q->observer->event(q, name, data, q->userdata);
    return 0;
}

static int handle_reply(Qmp *q, json_object *message)
{
    uint64_t id;
    unsigned i = 0;

    int r = json_get_uint64(message, "id", &id);
    /* QEMU could not read what we sent, and cannot say which command it was. */
    if (r == -ENODATA && json_object_object_get_ex(message, "error", NULL))
        return 0;
    if (r < 0 || id >= q->next_id)
        return -EPROTO;

    while (i < q->n_calls && q->calls[i].id != id)
        i++;
    /* Too late, or meant for an earlier process. */
    if (i == q->n_calls)
        return 0;

    Call answered = take_call(q, i);
    QmpReply reply = qmp_message_parse_reply(message);
    arm_timer(q);
    if (answered.callback)
        answered.callback(q, &reply, answered.userdata);
    return 0;
}

static int handle_message(Qmp *q, json_object *message)
{
    if (q->state == QMP_GREETING)
        return handle_greeting(q, message);
    if (json_object_object_get_ex(message, "event", NULL))
        return handle_event(q, message);
    return handle_reply(q, message);
}

static void set_overdue(Qmp *q, bool overdue)
{
    if (q->state != QMP_READY || q->overdue == overdue)
        return;

    q->overdue = overdue;
    if (q->observer->overdue)
        q->observer->overdue(q, overdue, q->userdata);
}

static void on_message(Stream *s, json_object *message, void *userdata)
{
    _cleanup_(qmp_unrefp) Qmp *q = qmp_ref(userdata);

    set_overdue(q, false);
    if (q->state == QMP_CLOSED)
        return;

    int r = handle_message(q, message);
    if (r < 0)
        close_with(q, r);
}

static void on_closed(Stream *s, int error, void *userdata)
{
    _cleanup_(qmp_unrefp) Qmp *q = qmp_ref(userdata);

    close_with(q, error);
}

/* Answers the calls whose time is over. */
static void expire_calls(Qmp *q, uint64_t now)
{
    bool expired = false;
    unsigned i = 0;

    while (i < q->n_calls) {
        if (q->calls[i].deadline > now) {
            i++;
            continue;
        }
        Call late = take_call(q, i);
        expired = true;
        answer(q, &late, -ETIMEDOUT, "QEMU did not answer in time");
        i = 0; /* the callback may have changed the list */
    }

    if (expired)
        set_overdue(q, true);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
    _cleanup_(qmp_unrefp) Qmp *q = qmp_ref(userdata);
    uint64_t now = now_usec();

    /* If it was we who were late, the answer may wait in the socket: that has its turn first. */
    if (!q->last_look) {
        q->last_look = true;
        (void)sd_event_source_set_enabled(q->timer, SD_EVENT_ONESHOT);
        return 0;
    }
    q->last_look = false;

    if (q->state == QMP_GREETING && q->greeting_deadline <= now)
        close_with(q, -ETIMEDOUT);
    else if (q->held_until <= now)
        hold_commands(q, false);
    expire_calls(q, now);
    arm_timer(q);
    return 0;
}

static const StreamObserver stream_observer = {
    .message = on_message,
    .closed = on_closed,
};

static bool takes_over(QmpStart how)
{
    return how == QMP_START_RESUMED || how == QMP_START_UNGREETED;
}

static int start(Qmp *q, QmpStart how)
{
    int r;

    if (!takes_over(how)) {
        q->state = QMP_GREETING;
        q->greeting_deadline =
            now_usec() + (how == QMP_START_DIALLED ? QMP_DIALLED_USEC : QMP_GREETING_USEC);
        arm_timer(q);
        return 0;
    }

    q->state = QMP_RESUMING;
    r = stream_send_bytes(q->stream, QMP_RESYNC_BYTE, strlen(QMP_RESYNC_BYTE));
    if (r < 0 && r != -ENOTCONN)
        return r;
    if (how == QMP_START_UNGREETED)
        return negotiate(q, "qmp_capabilities", QMP_DIALLED_USEC, on_capabilities_again);
    return negotiate(q, "query-version", QMP_COMMAND_USEC, on_version);
}

int qmp_new(sd_event *event, int fd, QmpStart how, const QmpObserver *observer, void *userdata,
            Qmp **ret)
{
    _cleanup_(closep) int owned_fd = fd;
    _cleanup_(qmp_freep) Qmp *q = NULL;

    assert(observer && observer->greeted && observer->event && observer->closed);

    q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;
    *q = (Qmp){.n_ref = 1,
               .observer = observer,
               .userdata = userdata,
               .held_until = UINT64_MAX,
               .next_id = now_usec()};

    int r = sd_event_add_time(event, &q->timer, CLOCK_MONOTONIC, UINT64_MAX,
                              QMP_TIMER_ACCURACY_USEC, on_timer, q);
    if (r < 0)
        return r;
    (void)sd_event_source_set_description(q->timer, "qmp-time-out");

    r = stream_new(event, TAKE_FD(owned_fd), takes_over(how), &stream_observer, q, &q->stream);
    if (r < 0)
        return r;

    r = start(q, how);
    if (r < 0)
        return r;

    *ret = TAKE_PTR(q);
    return 0;
}

int qmp_new_dry(QmpWrittenFunc written, void *userdata, Qmp **ret)
{
    Qmp *q = calloc(1, sizeof(*q));
    if (!q)
        return -ENOMEM;

    *q = (Qmp){.n_ref = 1,
               .state = QMP_READY,
               .written = written,
               .userdata = userdata,
               .held_until = UINT64_MAX};
    *ret = q;
    return 0;
}

void qmp_dry_answer(Qmp *q)
{
    while (q->n_calls > 0) {
        Call call = take_call(q, 0);
        answer(q, &call, /* error= */ 0, "");
    }
}

Qmp *qmp_free(Qmp *q)
{
    /* One of the callbacks below may come here again. */
    if (!q || q->freed)
        return NULL;

    q->freed = true;
    stop(q);
    answer_open_calls(q);
    qmp_unref(q);
    return NULL;
}

int qmp_call(Qmp *q, const char *command, json_object *args, uint64_t timeout_usec,
             QmpReplyFunc callback, void *userdata)
{
    _cleanup_(json_object_putp) json_object *owned_args = args;

    assert(!args || json_object_is_type(args, json_type_object));

    if (q->state != QMP_READY)
        return -ENOTCONN;
    return send_call(q, command, owned_args, timeout_usec > 0 ? timeout_usec : QMP_COMMAND_USEC,
                     callback, userdata);
}

unsigned qmp_pending(const Qmp *q)
{
    return q->n_calls;
}

int qmp_get_fd(const Qmp *q)
{
    return q->stream ? stream_get_fd(q->stream) : -1;
}
