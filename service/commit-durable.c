/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What makes an end of a commit safe to announce: the data is on stable storage, and the base is as
 * writable as it was before.
 *
 *   after an active commit     QEMU has flushed the base before it announced the end (qmp.md, F5)
 *   after one below            nothing has, where the base was open read-write (F1): flush here
 *   after an active commit that kept the overlay
 *                              the base is still open read-write (F22): set it back
 *   after each merge           nodes with names of a user's stay open (F23): close them
 */
#include "commit-internal.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "text.h"

static void finish(Commit *c)
{
    job_handle(&c->machine, JOB_EVENT_SETTLED);
    commit_finish(c, c->result);
}

static void on_read_only(Qmp *q, const QmpReply *reply, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c || reply->error == -ENOTCONN)
        return;

    /* HMP answers with the text of an error, or with nothing. A storage daemon has no HMP: there
     * the base stays read-write, and the next commit below the active layer flushes it by itself.
     */
    const char *text = reply->error ? ""
                       : json_object_is_type(reply->value, json_type_string)
                           ? json_object_get_string(reply->value)
                           : "";
    if (*text)
        log_line(LOG_WARNING,
                 &(LogContext){.vm = vm_name(disk_vm(c->disk)), .disk = disk_name(c->disk)},
                 "VM '%s', disk '%s': base '%s' cannot be set back to read-only: %s",
                 vm_name(disk_vm(c->disk)), disk_name(c->disk), c->base, text);
    finish(c);
}

/* Nodes to close, one after the other: a long chain would fill the queue of commands. */
typedef struct Closing {
    CommitRef *ref; /* what finishes afterwards; NULL for nothing */
    char **names;
    size_t n, next;
} Closing;

static Commit *closing_free(Closing *closing)
{
    Commit *c = closing->ref ? commit_ref_free(closing->ref) : NULL;

    for (size_t i = 0; i < closing->n; i++)
        free(closing->names[i]);
    free(closing->names);
    free(closing);
    return c;
}

static void close_next(Qmp *q, Closing *closing);

/* A node that somebody else uses stays, and so does what is below it. */
static void on_closed(Qmp *q, const QmpReply *reply, void *userdata)
{
    if (reply->error == -ENOTCONN)
        (void)closing_free(userdata);
    else
        close_next(q, userdata);
}

static void close_next(Qmp *q, Closing *closing)
{
    const bool wanted = !closing->ref || closing->ref->commit;

    if (wanted && closing->next < closing->n &&
        block_close_node(q, closing->names[closing->next++], on_closed, closing) >= 0)
        return;

    Commit *c = closing_free(closing);
    if (c)
        finish(c);
}

/* Nodes with generated names go by themselves, together with the one that opened them. */
static void add_name(Closing *closing, const GraphVertex *v)
{
    char *name = v && *v->name != '#' ? strdup(v->name) : NULL;

    if (name)
        closing->names[closing->n++] = name;
}

/* The next node of a chain: a filter may lie between two images, on its "file". */
static const GraphVertex *next_below(const Graph *g, const GraphVertex *v)
{
    const GraphVertex *backing = graph_child(g, v, "backing");

    if (!backing && v->driver && chain_driver_is_filter(v->driver))
        return graph_child(g, v, "file");
    return backing;
}

/* The nodes of images that a merge has put out of use, where a user had opened them by name: they
 * would keep the files locked, and the base busy as their backing image. NULL: out of memory. */
static Closing *find_dropped(const Commit *c)
{
    const Graph *g = vm_graph(disk_vm(c->disk));
    const GraphVertex *v = graph_find(g, GRAPH_NODE, c->top);
    Closing *closing = calloc(1, sizeof(Closing));
    char **names = calloc(g->n_vertices * 3 + 1, sizeof(char *));

    if (!closing || !names) {
        free(closing);
        free(names);
        return NULL;
    }

    *closing = (Closing){.names = names};
    for (size_t steps = 0; v && strcmp(v->name, c->base) != 0 && steps < g->n_vertices; steps++) {
        add_name(closing, v);
        add_name(closing, graph_child(g, v, "file"));
        add_name(closing, graph_child(g, v, "data-file"));
        v = next_below(g, v);
    }
    return closing;
}

/* Then finishes, so that whoever takes the next snapshot on JobFinished is not refused. */
static void close_dropped(Commit *c)
{
    Closing *closing = find_dropped(c);
    CommitRef *ref = closing ? commit_ref_new(c) : NULL;

    if (!ref) {
        if (closing)
            (void)closing_free(closing);
        finish(c);
        return;
    }
    closing->ref = ref;
    close_next(commit_qmp(c), closing);
}

void commit_close_dropped(const Commit *c)
{
    Closing *closing = find_dropped(c);

    if (closing)
        close_next(commit_qmp(c), closing);
}

/* Whether the job leaves a base open for writing that was not so before. */
static bool leaves_writable(const Commit *c, JobResult result)
{
    return c->active && result != JOB_RESULT_COMPLETED && c->base_read_only;
}

static void restore_read_only(Commit *c)
{
    const GraphVertex *base = graph_find(vm_graph(disk_vm(c->disk)), GRAPH_NODE, c->base);
    bool wanted = leaves_writable(c, c->result) && base && !base->read_only;
    CommitRef *ref = wanted ? commit_ref_new(c) : NULL;

    if (ref && block_set_read_only(commit_qmp(c), c->base, on_read_only, ref) >= 0)
        return;
    if (ref)
        commit_ref_free(ref);
    if (c->active && c->result == JOB_RESULT_COMPLETED)
        close_dropped(c);
    else
        finish(c);
}

static void note_failure(Commit *c, const char *text)
{
    free(c->error);
    c->error = text_format("The images are merged, but QEMU cannot flush the base: %s", text);
    c->result = JOB_RESULT_FAILED;
}

static void on_flushed(int error, const char *text, void *userdata)
{
    Commit *c = commit_ref_free(userdata);
    if (!c || error == -ENOTCONN)
        return;

    if (error)
        note_failure(c, text);
    if (--c->flushes == 0)
        restore_read_only(c);
}

static void flush_node(Commit *c, const GraphVertex *node)
{
    CommitRef *ref = node ? commit_ref_new(c) : NULL;

    if (!node)
        return;
    int r = ref ? block_flush(commit_qmp(c), node->name, on_flushed, ref) : -ENOMEM;
    if (r >= 0) {
        c->flushes++;
        return;
    }
    if (ref)
        commit_ref_free(ref);
    note_failure(c, strerror(-r));
}

/* The nodes that nothing but us flushes; NULL for none. */
#define UNFLUSHED_MAX 3
typedef struct Unflushed {
    const GraphVertex *nodes[UNFLUSHED_MAX];
} Unflushed;

static Unflushed find_unflushed(const Commit *c, JobResult result)
{
    const Graph *g = vm_graph(disk_vm(c->disk));
    const GraphVertex *base = graph_find(g, GRAPH_NODE, c->base);

    if (c->active || result != JOB_RESULT_COMPLETED || !base)
        return (Unflushed){};
    /* A format node does not pass the flush on to a file that nobody writes to any more. */
    return (Unflushed){{base, graph_child(g, base, "data-file"), graph_child(g, base, "file")}};
}

void commit_make_durable(Commit *c)
{
    Unflushed u = find_unflushed(c, c->result);

    for (size_t i = 0; i < UNFLUSHED_MAX; i++)
        flush_node(c, u.nodes[i]);
    if (c->flushes == 0)
        restore_read_only(c);
}

static void ignore_flush(int error, const char *text, void *userdata)
{
}

void commit_write_durable(Commit *c, JobResult result)
{
    Unflushed u = find_unflushed(c, result);

    for (size_t i = 0; i < UNFLUSHED_MAX; i++)
        if (u.nodes[i])
            (void)block_flush(c->dry, u.nodes[i]->name, ignore_flush, /* userdata= */ NULL);
    if (leaves_writable(c, result))
        (void)block_set_read_only(c->dry, c->base, /* callback= */ NULL, NULL);
    if (c->active && result == JOB_RESULT_COMPLETED)
        commit_close_dropped(c);
    qmp_dry_answer(c->dry);
}
