/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdisk-ledger 1 SUM
 * {"vm":"…","disk":"…","instance":"…","images":[{"file":"…","state":"…",…},…],…}
 *
 * SUM is of everything behind the first line.
 */
#include "ledger-group.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "json.h"
#include "text.h"

#define HEADER "vmdisk-ledger 1 "
#define HEADER_LENGTH (strlen(HEADER) + 16 + 1)

static const char *const states[] = {
    [LEDGER_ACTIVE] = "active",
    [LEDGER_BASE] = "base",
    [LEDGER_MERGING] = "merging",
    [LEDGER_STALE] = "stale",
};
static_assert(ELEMENTSOF(states) == LEDGER_STATE_MAX_, "each state has a word");

const char *ledger_state_to_string(LedgerState state)
{
    assert(state < LEDGER_STATE_MAX_);
    return states[state];
}

int ledger_state_from_string(const char *word, LedgerState *ret)
{
    for (size_t i = 0; i < ELEMENTSOF(states); i++)
        if (strcmp(states[i], word) == 0) {
            *ret = (LedgerState)i;
            return 0;
        }
    return -EINVAL;
}

static void image_done(LedgerImage *image)
{
    free(image->file);
    free(image->use_instead);
}

static void job_done(LedgerJob *job)
{
    free(job->id);
    free(job->type);
    free(job->result);
    free(job->error);
    free(job->message);
    *job = (LedgerJob){};
}

LedgerGroup *ledger_group_free(LedgerGroup *g)
{
    if (!g)
        return NULL;

    for (size_t i = 0; i < g->n_images; i++)
        image_done(&g->images[i]);
    free(g->images);
    for (size_t i = 0; i < g->n_keys; i++)
        free(g->keys[i]);
    free(g->keys);
    free(g->vm);
    free(g->disk);
    free(g->instance);
    free(g->ready_job);
    free(g->abort_job);
    free(g->pivot_job);
    free(g->held_job);
    free(g->throttle);
    job_done(&g->last);
    free(g);
    return NULL;
}

LedgerGroup *ledger_group_new(const char *vm, const char *disk, const char *instance)
{
    _cleanup_(ledger_group_freep) LedgerGroup *g = calloc(1, sizeof(LedgerGroup));
    if (!g)
        return NULL;

    g->vm = strdup(vm);
    g->disk = strdup(disk);
    g->instance = strdup(instance);
    return g->vm && g->disk && g->instance ? TAKE_PTR(g) : NULL;
}

int ledger_group_add(LedgerGroup *g, const char *file, LedgerState state, uint64_t since_usec,
                     const char *use_instead)
{
    LedgerImage *grown = reallocarray(g->images, g->n_images + 1, sizeof(LedgerImage));
    if (!grown)
        return -ENOMEM;
    g->images = grown;

    LedgerImage image = {
        .file = strdup(file),
        .state = state,
        .since_usec = since_usec,
        .use_instead = use_instead ? strdup(use_instead) : NULL,
    };
    if (!image.file || (use_instead && !image.use_instead)) {
        image_done(&image);
        return -ENOMEM;
    }
    g->images[g->n_images++] = image;
    return 0;
}

static int copy_string(const char *from, char **to)
{
    *to = from ? strdup(from) : NULL;
    return from && !*to ? -ENOMEM : 0;
}

int ledger_group_set_last(LedgerGroup *g, const LedgerJob *last)
{
    LedgerJob copy = {.started_usec = last->started_usec, .finished_usec = last->finished_usec};

    if (copy_string(last->id, &copy.id) < 0 || copy_string(last->type, &copy.type) < 0 ||
        copy_string(last->result, &copy.result) < 0 || copy_string(last->error, &copy.error) < 0 ||
        copy_string(last->message, &copy.message) < 0) {
        job_done(&copy);
        return -ENOMEM;
    }
    job_done(&g->last);
    g->last = copy;
    return 0;
}

LedgerGroup *ledger_group_copy(const LedgerGroup *g)
{
    _cleanup_(ledger_group_freep) LedgerGroup *copy = ledger_group_new(g->vm, g->disk, g->instance);
    if (!copy)
        return NULL;

    for (size_t i = 0; i < g->n_keys; i++)
        if (ledger_group_add_key(copy, g->keys[i]) < 0)
            return NULL;
    for (size_t i = 0; i < g->n_images; i++) {
        const LedgerImage *image = &g->images[i];

        if (ledger_group_add(copy, image->file, image->state, image->since_usec,
                             image->use_instead) < 0)
            return NULL;
    }
    if (copy_string(g->ready_job, &copy->ready_job) < 0 ||
        copy_string(g->abort_job, &copy->abort_job) < 0 ||
        copy_string(g->pivot_job, &copy->pivot_job) < 0 ||
        copy_string(g->held_job, &copy->held_job) < 0 ||
        copy_string(g->throttle, &copy->throttle) < 0 || ledger_group_set_last(copy, &g->last) < 0)
        return NULL;
    return TAKE_PTR(copy);
}

int ledger_group_add_key(LedgerGroup *g, const char *key)
{
    char **grown = reallocarray(g->keys, g->n_keys + 1, sizeof(char *));
    if (!grown)
        return -ENOMEM;
    g->keys = grown;

    char *copy = strdup(key);
    if (!copy)
        return -ENOMEM;
    g->keys[g->n_keys++] = copy;
    return 0;
}

const LedgerImage *ledger_group_find_active(const LedgerGroup *g)
{
    for (size_t i = 0; i < g->n_images; i++)
        if (g->images[i].state == LEDGER_ACTIVE)
            return &g->images[i];
    return NULL;
}

LedgerImage *ledger_group_find(const LedgerGroup *g, const char *file)
{
    for (size_t i = 0; i < g->n_images; i++)
        if (text_same_path(g->images[i].file, file))
            return &g->images[i];
    return NULL;
}

void ledger_group_remove(LedgerGroup *g, const LedgerImage *image)
{
    size_t i = (size_t)(image - g->images);

    image_done(&g->images[i]);
    g->n_images--;
    memmove(&g->images[i], &g->images[i + 1], (g->n_images - i) * sizeof(LedgerImage));
}

static void put_string(json_object *o, const char *key, const char *value)
{
    if (value)
        json_object_object_add(o, key, json_object_new_string(value));
}

static json_object *image_to_json(const LedgerImage *image)
{
    json_object *o = json_object_new_object();

    put_string(o, "file", image->file);
    put_string(o, "state", ledger_state_to_string(image->state));
    json_object_object_add(o, "since-usec", json_object_new_int64((int64_t)image->since_usec));
    put_string(o, "use-instead", image->use_instead);
    return o;
}

static json_object *job_to_json(const LedgerJob *job)
{
    json_object *o = json_object_new_object();

    put_string(o, "id", job->id);
    put_string(o, "type", job->type);
    put_string(o, "result", job->result);
    put_string(o, "error", job->error);
    put_string(o, "message", job->message);
    json_object_object_add(o, "started-usec", json_object_new_int64((int64_t)job->started_usec));
    json_object_object_add(o, "finished-usec", json_object_new_int64((int64_t)job->finished_usec));
    return o;
}

char *ledger_group_to_text(const LedgerGroup *g)
{
    json_object *o = json_object_new_object(), *images = json_object_new_array();
    json_object *keys = json_object_new_array();

    put_string(o, "vm", g->vm);
    put_string(o, "disk", g->disk);
    put_string(o, "instance", g->instance);
    for (size_t i = 0; i < g->n_keys; i++)
        json_object_array_add(keys, json_object_new_string(g->keys[i]));
    json_object_object_add(o, "keys", keys);
    put_string(o, "ready-job", g->ready_job);
    put_string(o, "abort-job", g->abort_job);
    put_string(o, "pivot-job", g->pivot_job);
    put_string(o, "held-job", g->held_job);
    put_string(o, "throttle", g->throttle);
    if (g->last.id)
        json_object_object_add(o, "last-job", job_to_json(&g->last));
    for (size_t i = 0; i < g->n_images; i++)
        json_object_array_add(images, image_to_json(&g->images[i]));
    json_object_object_add(o, "images", images);

    const char *body =
        json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *text =
        body ? text_format(HEADER "%016" PRIx64 "\n%s", text_hash(body, strlen(body)), body) : NULL;
    json_object_put(o);
    return text;
}

static int image_from_json(LedgerGroup *g, json_object *o)
{
    const char *file, *word, *use_instead;
    uint64_t since;
    LedgerState state;

    if (!json_object_is_type(o, json_type_object) || json_get_string(o, "file", &file) < 0 ||
        json_get_string(o, "state", &word) < 0 || json_get_uint64(o, "since-usec", &since) < 0 ||
        json_get_string_or(o, "use-instead", NULL, &use_instead) < 0 ||
        ledger_state_from_string(word, &state) < 0)
        return -EBADMSG;
    return ledger_group_add(g, file, state, since, use_instead);
}

/* The strings are borrowed from the object. */
static int job_from_json(json_object *o, LedgerGroup *g)
{
    const char *id, *type, *result, *error, *message;
    uint64_t started, finished;

    if (json_get_string(o, "id", &id) < 0 || json_get_string(o, "type", &type) < 0 ||
        json_get_string(o, "result", &result) < 0 || json_get_string(o, "error", &error) < 0 ||
        json_get_string(o, "message", &message) < 0 ||
        json_get_uint64(o, "started-usec", &started) < 0 ||
        json_get_uint64(o, "finished-usec", &finished) < 0)
        return -EBADMSG;

    const LedgerJob job = {(char *)id,      (char *)type, (char *)result, (char *)error,
                           (char *)message, started,      finished};
    return ledger_group_set_last(g, &job);
}

static int keys_from_json(LedgerGroup *g, json_object *o)
{
    json_object *keys;

    int r = json_get_array(o, "keys", &keys);
    for (size_t i = 0; r >= 0 && i < json_object_array_length(keys); i++) {
        json_object *key = json_object_array_get_idx(keys, i);

        r = json_object_is_type(key, json_type_string)
                ? ledger_group_add_key(g, json_object_get_string(key))
                : -EBADMSG;
    }
    return r == -ENOMEM ? r : r < 0 ? -EBADMSG : 0;
}

static int group_from_json(json_object *o, LedgerGroup **ret)
{
    const char *vm, *disk, *instance, *ready, *aborted, *pivoted, *held, *throttle;
    json_object *images, *last;

    if (json_get_string(o, "vm", &vm) < 0 || json_get_string(o, "disk", &disk) < 0 ||
        json_get_string(o, "instance", &instance) < 0 ||
        json_get_string_or(o, "ready-job", NULL, &ready) < 0 ||
        json_get_string_or(o, "abort-job", NULL, &aborted) < 0 ||
        json_get_string_or(o, "pivot-job", NULL, &pivoted) < 0 ||
        json_get_string_or(o, "held-job", NULL, &held) < 0 ||
        json_get_string_or(o, "throttle", NULL, &throttle) < 0 ||
        json_get_array(o, "images", &images) < 0)
        return -EBADMSG;

    _cleanup_(ledger_group_freep) LedgerGroup *g = ledger_group_new(vm, disk, instance);
    if (!g || copy_string(ready, &g->ready_job) < 0 || copy_string(aborted, &g->abort_job) < 0 ||
        copy_string(pivoted, &g->pivot_job) < 0 || copy_string(held, &g->held_job) < 0 ||
        copy_string(throttle, &g->throttle) < 0)
        return -ENOMEM;
    int k = json_get_object(o, "last-job", &last);
    if (k >= 0)
        k = job_from_json(last, g);
    if (k < 0 && k != -ENODATA)
        return k;
    k = keys_from_json(g, o);
    if (k < 0)
        return k;
    for (size_t i = 0; i < json_object_array_length(images); i++) {
        int r = image_from_json(g, json_object_array_get_idx(images, i));
        if (r < 0)
            return r;
    }
    *ret = TAKE_PTR(g);
    return 0;
}

/* A file that was cut, torn or written by somebody else has the wrong sum. */
static bool is_whole(const char *text, size_t n)
{
    char header[sizeof(HEADER) + 17];

    if (n <= HEADER_LENGTH)
        return false;
    (void)snprintf(header, sizeof(header), HEADER "%016" PRIx64 "\n",
                   text_hash(text + HEADER_LENGTH, n - HEADER_LENGTH));
    return memcmp(text, header, HEADER_LENGTH) == 0;
}

int ledger_group_from_text(const char *text, size_t n, LedgerGroup **ret)
{
    if (!is_whole(text, n))
        return -EBADMSG;

    json_tokener *tokener = json_tokener_new();
    if (!tokener)
        return -ENOMEM;
    json_object *o = json_tokener_parse_ex(tokener, text + HEADER_LENGTH, (int)(n - HEADER_LENGTH));
    json_tokener_free(tokener);
    if (!o)
        return -EBADMSG;

    int r = json_object_is_type(o, json_type_object) ? group_from_json(o, ret) : -EBADMSG;
    json_object_put(o);
    return r;
}
