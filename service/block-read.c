/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The questions of block: several commands sent in one go, their answers checked and gathered into
 * one Graph. QEMU answers in order, so the last answer ends the reading, or begins its second
 * round.
 */
#include "block.h"

#include <errno.h>
#include <string.h>

#include "block-answer.h"

/* A question, and who takes the answer. */
typedef struct Question {
    const char *command;
    QmpReplyFunc callback;
    bool flat; /* without it, query-named-block-nodes is quadratic in the depth of chains */
} Question;

typedef struct BlockRead {
    Graph *graph;
    unsigned open; /* answers still to come */
    int error;
    char *text;
    const Question *more; /* to be asked where the answers make it necessary; NULL for nothing */
    size_t n_more;
    BlockReadFunc callback;
    void *userdata;
} BlockRead;

typedef int (*TakeFunc)(Graph *g, json_object *value);

static void block_read_free(BlockRead *b)
{
    graph_free(b->graph);
    free(b->text);
    free(b);
}

static void block_read_fail(BlockRead *b, int error, const char *text)
{
    b->error = error;
    b->text = strdup(text);
}

/* Returns an error only where nothing could be sent. */
static int block_send(BlockRead *b, Qmp *q, const Question *questions, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_object *args = NULL;

        if (questions[i].flat) {
            args = json_object_new_object();
            json_object_object_add(args, "flat", json_object_new_boolean(true));
        }
        int r = qmp_call(q, questions[i].command, args, /* timeout_usec= */ 0,
                         questions[i].callback, b);
        if (r < 0 && i == 0)
            return r;
        /* The answers to what was sent end the reading, as a failure. */
        if (r < 0) {
            block_read_fail(b, r, strerror(-r));
            break;
        }
        b->open++;
    }
    return 0;
}

/* Whether there is anything that the rest is asked for. Then all is asked anew, so that it is of
 * one instant. */
static bool block_ask_more(BlockRead *b, Qmp *q)
{
    const Question *more = TAKE_PTR(b->more);

    if (b->error || !more || (b->graph->n_exports == 0 && b->graph->n_vertices == 0))
        return false;

    graph_free(b->graph);
    b->graph = graph_new();
    int r = b->graph ? block_send(b, q, more, b->n_more) : -ENOMEM;
    if (r < 0)
        block_read_fail(b, r, strerror(-r));
    return r >= 0;
}

static void block_read_end(BlockRead *b, Qmp *q)
{
    if (block_ask_more(b, q))
        return;

    BlockReading reading = {.error = b->error, .text = b->text ? b->text : ""};

    if (b->error == 0)
        reading.graph = TAKE_PTR(b->graph);
    b->callback(&reading, b->userdata);
    block_read_free(b);
}

static void block_read_answer(BlockRead *b, Qmp *q, const QmpReply *reply, TakeFunc take)
{
    int r = reply->error ? reply->error : b->error ? 0 : take(b->graph, reply->value);

    /* The first failure is the one that explains the others. */
    if (r < 0 && b->error == 0)
        block_read_fail(b, r == -ENODATA ? -EBADMSG : r,
                        reply->error ? reply->error_text : "QEMU's answer is not understood");
    if (--b->open == 0)
        block_read_end(b, q);
}

#define READ_CALLBACK(what)                                                                        \
    static void on_##what(Qmp *q, const QmpReply *reply, void *userdata)                           \
    {                                                                                              \
        block_read_answer(userdata, q, reply, block_take_##what);                                  \
    }

READ_CALLBACK(graph)
READ_CALLBACK(nodes)
READ_CALLBACK(bitmap_holders)
READ_CALLBACK(devices)
READ_CALLBACK(exports)
READ_CALLBACK(jobs)
READ_CALLBACK(block_jobs)

static const Question everything[] = {
    {"x-debug-query-block-graph", on_graph, false},
    {"query-named-block-nodes", on_nodes, true},
    {"query-block", on_devices, false},
    {"query-block-exports", on_exports, false},
    {"query-jobs", on_jobs, false},
    {"query-block-jobs", on_block_jobs, false},
};

static const Question jobs[] = {
    {"query-jobs", on_jobs, false},
    {"query-block-jobs", on_block_jobs, false},
};

/* A guest may wait for what follows. Each command costs QEMU a fifth of a millisecond, so the usual
 * case, that there is nothing to mind, is told by few. */
static const Question any_exports[] = {
    {"query-block-exports", on_exports, false},
};

static const Question exports[] = {
    {"x-debug-query-block-graph", on_graph, false},
    {"query-block-exports", on_exports, false},
};

static const Question any_bitmaps[] = {
    {"query-named-block-nodes", on_bitmap_holders, true},
    {"query-block-exports", on_exports, false},
};

static const Question bitmaps[] = {
    {"x-debug-query-block-graph", on_graph, false},
    {"query-named-block-nodes", on_nodes, true},
    {"query-block-exports", on_exports, false},
};

typedef struct Questions {
    const Question *first, *more;
    size_t n_first, n_more;
} Questions;

static int block_ask(Qmp *q, const Questions *questions, BlockReadFunc callback, void *userdata)
{
    BlockRead *b = calloc(1, sizeof(BlockRead));
    if (!b)
        return -ENOMEM;

    *b = (BlockRead){
        .graph = graph_new(),
        .more = questions->more,
        .n_more = questions->n_more,
        .callback = callback,
        .userdata = userdata,
    };
    int r = b->graph ? block_send(b, q, questions->first, questions->n_first) : -ENOMEM;
    if (r < 0)
        block_read_free(b);
    return r;
}

int block_read(Qmp *q, BlockReadFunc callback, void *userdata)
{
    return block_ask(q, &(Questions){.first = everything, .n_first = ELEMENTSOF(everything)},
                     callback, userdata);
}

int block_read_jobs(Qmp *q, BlockReadFunc callback, void *userdata)
{
    return block_ask(q, &(Questions){.first = jobs, .n_first = ELEMENTSOF(jobs)}, callback,
                     userdata);
}

int block_read_exports(Qmp *q, BlockReadFunc callback, void *userdata)
{
    return block_ask(
        q, &(Questions){any_exports, exports, ELEMENTSOF(any_exports), ELEMENTSOF(exports)},
        callback, userdata);
}

int block_read_bitmaps(Qmp *q, BlockReadFunc callback, void *userdata)
{
    return block_ask(
        q, &(Questions){any_bitmaps, bitmaps, ELEMENTSOF(any_bitmaps), ELEMENTSOF(bitmaps)},
        callback, userdata);
}
