/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The smaller questions of block: who the process is, its run state, whether its graph changed.
 */
#include "block.h"

#include <errno.h>
#include <string.h>

#include "json.h"
#include "text.h"

typedef struct BlockIdentify {
    char *name;
    char *state;
    int error;
    unsigned open;
    BlockIdentityFunc callback;
    void *userdata;
} BlockIdentify;

/* A storage daemon has neither query-name nor query-status, and no run state: it runs. */
static void identify_answer(BlockIdentify *i, const QmpReply *reply, const char *key, char **field)
{
    const char *value;
    int r = reply->error;

    if (r == 0) {
        r = json_get_string_or(reply->value, key, "", &value);
        if (r == 0) {
            *field = strdup(value);
            r = *field ? 0 : -ENOMEM;
        }
    } else if (r == -EREMOTEIO && strcmp(reply->error_class, "CommandNotFound") == 0) {
        r = 0;
    }
    if (r < 0 && i->error == 0)
        i->error = r;
    if (--i->open > 0)
        return;

    BlockIdentity identity = {
        .error = i->error,
        .name = i->name ? i->name : "",
        .state = i->state && *i->state ? i->state : "running",
    };
    i->callback(&identity, i->userdata);
    free(i->name);
    free(i->state);
    free(i);
}

static void on_name(Qmp *q, const QmpReply *reply, void *userdata)
{
    BlockIdentify *i = userdata;

    identify_answer(i, reply, "name", &i->name);
}

static void on_status(Qmp *q, const QmpReply *reply, void *userdata)
{
    BlockIdentify *i = userdata;

    identify_answer(i, reply, "status", &i->state);
}

static int identify(Qmp *q, bool with_name, BlockIdentityFunc callback, void *userdata)
{
    BlockIdentify *i = calloc(1, sizeof(BlockIdentify));
    if (!i)
        return -ENOMEM;

    *i = (BlockIdentify){.callback = callback, .userdata = userdata, .open = 1};
    int r = qmp_call(q, "query-status", /* args= */ NULL, /* timeout_usec= */ 0, on_status, i);
    if (r < 0) {
        free(i);
        return r;
    }
    if (with_name && qmp_call(q, "query-name", NULL, /* timeout_usec= */ 0, on_name, i) >= 0)
        i->open++;
    return 0;
}

int block_identify(Qmp *q, BlockIdentityFunc callback, void *userdata)
{
    return identify(q, /* with_name= */ true, callback, userdata);
}

int block_read_state(Qmp *q, BlockIdentityFunc callback, void *userdata)
{
    return identify(q, /* with_name= */ false, callback, userdata);
}

typedef struct BlockDigest {
    BlockDigestFunc callback;
    void *userdata;
} BlockDigest;

static void on_digest(Qmp *q, const QmpReply *reply, void *userdata)
{
    BlockDigest *d = userdata;
    const char *text = reply->error ? "" : json_object_to_json_string(reply->value);

    /* A collision costs one missed poll; the next change mends it. */
    d->callback(reply->error, text_hash(text, strlen(text)), d->userdata);
    free(d);
}

int block_digest(Qmp *q, BlockDigestFunc callback, void *userdata)
{
    BlockDigest *d = malloc(sizeof(BlockDigest));
    if (!d)
        return -ENOMEM;

    *d = (BlockDigest){callback, userdata};
    int r = qmp_call(q, "x-debug-query-block-graph", NULL, /* timeout_usec= */ 0, on_digest, d);
    if (r < 0)
        free(d);
    return r;
}
