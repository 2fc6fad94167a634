/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "fake-vm.h"

#include <string.h>

typedef struct FakeDisk {
    char *id;
    bool has_device;
    char **nodes;
} FakeDisk;

typedef struct FakeExport {
    char *id, *node;
} FakeExport;

typedef struct FakeJob {
    char *id, *status, *error;
    char *node; /* NULL where the graph does not show it */
    char *io_status;
    bool auto_finalize;
    bool paused;
} FakeJob;

struct FakeVm {
    QmpPeer *peer;
    GPtrArray *disks, *exports, *jobs;
    GHashTable *writable;  /* nodes */
    GHashTable *files;     /* node to the node of its file, where it is shown */
    GHashTable *bitmaps;   /* node to its list */
    GHashTable *throttles; /* disk to the members of its limits, where there are any */
    GHashTable *answers;   /* question to what follows from the state */
    char *job;             /* the one that was added or chosen last */
    char *name;
};

/* It is half-way then, and later through. */
static bool is_copying(const FakeJob *j)
{
    static const char *const statuses[] = {"created", "running", "paused", NULL};

    return g_strv_contains(statuses, j->status);
}

static void disk_free(gpointer data)
{
    FakeDisk *d = data;

    g_free(d->id);
    g_strfreev(d->nodes);
    g_free(d);
}

static void export_free(gpointer data)
{
    FakeExport *e = data;

    g_free(e->id);
    g_free(e->node);
    g_free(e);
}

static void job_free(gpointer data)
{
    FakeJob *j = data;

    g_free(j->id);
    g_free(j->status);
    g_free(j->error);
    g_free(j->node);
    g_free(j->io_status);
    g_free(j);
}

/* The first member of each of the structs is its id. */
static guint find(const GPtrArray *array, const char *id)
{
    for (guint i = 0; i < array->len; i++) {
        char *const *element = g_ptr_array_index(array, i);

        if (strcmp(*element, id) == 0)
            return i;
    }
    return array->len;
}

/* Takes the element; NULL takes the one with the id away. */
static void put(GPtrArray *array, const char *id, gpointer element)
{
    guint i = find(array, id);

    if (i < array->len)
        g_ptr_array_remove_index(array, i);
    if (element)
        g_ptr_array_insert(array, (int)i, element);
}

static void answer(FakeVm *f, const char *question, const char *value)
{
    g_hash_table_replace(f->answers, g_strdup(question), g_strdup(value));
    qmp_peer_answer(f->peer, question, value);
}

void fake_vm_answer(FakeVm *f, const QmpPeerCommand *question)
{
    const char *value = g_hash_table_lookup(f->answers, question->name);

    qmp_peer_answer(f->peer, question->name, value);
    qmp_peer_reply(f->peer, question, value);
}

static GPtrArray *list_new(void)
{
    return g_ptr_array_new_with_free_func(g_free);
}

/* "[a, b]"; takes the elements. */
static char *list_join(GPtrArray *elements)
{
    g_autofree char *text = NULL;

    g_ptr_array_add(elements, NULL);
    text = g_strjoinv(", ", (char **)elements->pdata);
    g_ptr_array_unref(elements);
    return g_strdup_printf("[%s]", text);
}

static void add_vertex(GPtrArray *vertices, const char *type, const char *name)
{
    g_ptr_array_add(vertices, g_strdup_printf("{'id': %u, 'type': '%s', 'name': '%s'}",
                                              g_str_hash(name), type, name));
}

static void add_edge(GPtrArray *edges, const char *parent, const char *name, const char *child)
{
    g_ptr_array_add(edges, g_strdup_printf("{'parent': %u, 'child': %u, 'name': '%s'}",
                                           g_str_hash(parent), g_str_hash(child), name));
}

static void answer_graph(FakeVm *f)
{
    GPtrArray *vertices = list_new(), *edges = list_new();
    g_autofree char *vertex_list = NULL, *edge_list = NULL, *graph = NULL;

    for (guint k = 0; k < f->disks->len; k++) {
        char *const *nodes = ((const FakeDisk *)g_ptr_array_index(f->disks, k))->nodes;

        for (guint i = 0; nodes[i]; i++) {
            add_vertex(vertices, "block-driver", nodes[i]);
            if (nodes[i + 1])
                add_edge(edges, nodes[i], "backing", nodes[i + 1]);

            const char *file = g_hash_table_lookup(f->files, nodes[i]);
            if (file) {
                add_vertex(vertices, "block-driver", file);
                add_edge(edges, nodes[i], "file", file);
            }
        }
    }
    for (guint k = 0; k < f->jobs->len; k++) {
        const FakeJob *j = g_ptr_array_index(f->jobs, k);

        if (!j->node)
            continue;
        add_vertex(vertices, "block-job", j->id);
        add_edge(edges, j->id, "source", j->node);
    }
    vertex_list = list_join(vertices);
    edge_list = list_join(edges);
    graph = g_strdup_printf("{'nodes': %s, 'edges': %s}", vertex_list, edge_list);
    answer(f, "x-debug-query-block-graph", graph);
}

static void answer_nodes(FakeVm *f)
{
    GPtrArray *list = list_new();
    g_autofree char *text = NULL;

    for (guint k = 0; k < f->disks->len; k++) {
        char *const *nodes = ((const FakeDisk *)g_ptr_array_index(f->disks, k))->nodes;

        for (guint i = 0; nodes[i]; i++) {
            bool writable = i == 0 || g_hash_table_contains(f->writable, nodes[i]);

            const char *bitmaps = g_hash_table_lookup(f->bitmaps, nodes[i]);

            g_ptr_array_add(
                list, g_strdup_printf("{'node-name': '%s', 'drv': 'qcow2', 'ro': %s, "
                                      "'file': '/images/%s', 'image': {'virtual-size': 1048576}, "
                                      "'dirty-bitmaps': %s}",
                                      nodes[i], writable ? "false" : "true", nodes[i],
                                      bitmaps ? bitmaps : "[]"));
        }
    }
    text = list_join(list);
    answer(f, "query-named-block-nodes", text);
}

static void answer_devices(FakeVm *f)
{
    GPtrArray *list = list_new();
    g_autofree char *text = NULL;

    for (guint k = 0; k < f->disks->len; k++) {
        const FakeDisk *d = g_ptr_array_index(f->disks, k);
        const char *throttle = g_hash_table_lookup(f->throttles, d->id);
        g_autofree char *inserted =
            d->nodes[0] ? g_strdup_printf(", 'inserted': {'node-name': '%s', %s}", d->nodes[0],
                                          throttle ? throttle : FAKE_NO_LIMITS)
                        : g_strdup("");

        if (d->has_device)
            g_ptr_array_add(
                list,
                g_strdup_printf("{'device': '', 'qdev': '/machine/peripheral/%s/virtio-backend'%s}",
                                d->id, inserted));
    }
    text = list_join(list);
    answer(f, "query-block", text);
}

static void answer_disks(FakeVm *f)
{
    answer_graph(f);
    answer_nodes(f);
    answer_devices(f);
}

static void answer_exports(FakeVm *f)
{
    GPtrArray *list = list_new();
    g_autofree char *text = NULL;

    for (guint i = 0; i < f->exports->len; i++) {
        const FakeExport *e = g_ptr_array_index(f->exports, i);

        g_ptr_array_add(list, g_strdup_printf("{'id': '%s', 'node-name': '%s'}", e->id, e->node));
    }
    text = list_join(list);
    answer(f, "query-block-exports", text);
}

static void answer_jobs(FakeVm *f)
{
    GPtrArray *jobs = list_new(), *block_jobs = list_new();
    g_autofree char *text = NULL, *block_text = NULL;

    for (guint i = 0; i < f->jobs->len; i++) {
        const FakeJob *j = g_ptr_array_index(f->jobs, i);
        g_autofree char *error =
            j->error ? g_strdup_printf(", 'error': '%s'", j->error) : g_strdup("");

        g_ptr_array_add(jobs, g_strdup_printf("{'id': '%s', 'type': 'commit', 'status': '%s', "
                                              "'current-progress': %u, 'total-progress': 2%s}",
                                              j->id, j->status, is_copying(j) ? 1 : 2, error));
        g_ptr_array_add(
            block_jobs,
            g_strdup_printf("{'device': '%s', 'speed': 0, 'paused': %s, 'auto-finalize': %s, "
                            "'io-status': '%s'}",
                            j->id, j->paused ? "true" : "false",
                            j->auto_finalize ? "true" : "false",
                            j->io_status ? j->io_status : "ok"));
    }
    text = list_join(jobs);
    block_text = list_join(block_jobs);
    answer(f, "query-jobs", text);
    answer(f, "query-block-jobs", block_text);
    answer_graph(f);
}

/* A monitor that answers from the state of now. */
static void open_monitor(FakeVm *f, sd_event *event)
{
    f->peer = qmp_peer_new(event);
    answer_disks(f);
    answer_exports(f);
    answer_jobs(f);

    qmp_peer_answer(f->peer, "blockdev-del", "{}");
    qmp_peer_refuse(f->peer, "blockdev-reopen", "GenericError",
                    "Cannot change the option 'driver'");
    qmp_peer_answer(f->peer, "human-monitor-command", "''");
    if (f->name) {
        g_autofree char *value = g_strdup_printf("{'name': '%s'}", f->name);

        qmp_peer_answer(f->peer, "query-name", value);
        qmp_peer_answer(f->peer, "query-status", "{'status': 'running', 'running': true}");
        return;
    }
    qmp_peer_refuse(f->peer, "query-name", "CommandNotFound", "no such command");
    qmp_peer_refuse(f->peer, "query-status", "CommandNotFound", "no such command");
}

FakeVm *fake_vm_new(sd_event *event, const char *name)
{
    FakeVm *f = g_new0(FakeVm, 1);

    f->name = g_strdup(name);
    f->disks = g_ptr_array_new_with_free_func(disk_free);
    f->exports = g_ptr_array_new_with_free_func(export_free);
    f->jobs = g_ptr_array_new_with_free_func(job_free);
    f->writable = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    f->files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    f->bitmaps = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    f->throttles = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    f->answers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    open_monitor(f, event);
    return f;
}

void fake_vm_reconnect(FakeVm *f, sd_event *event)
{
    qmp_peer_free(f->peer);
    open_monitor(f, event);
}

void fake_vm_free(FakeVm *f)
{
    qmp_peer_free(f->peer);
    g_ptr_array_unref(f->disks);
    g_ptr_array_unref(f->exports);
    g_ptr_array_unref(f->jobs);
    g_hash_table_unref(f->writable);
    g_hash_table_unref(f->files);
    g_hash_table_unref(f->bitmaps);
    g_hash_table_unref(f->throttles);
    g_hash_table_unref(f->answers);
    g_free(f->job);
    g_free(f->name);
    g_free(f);
}

QmpPeer *fake_vm_peer(const FakeVm *f)
{
    return f->peer;
}

static void set_chain(FakeVm *f, const char *id, const char *nodes, bool has_device)
{
    FakeDisk *d = NULL;

    if (nodes) {
        d = g_new0(FakeDisk, 1);
        d->id = g_strdup(id);
        d->has_device = has_device;
        d->nodes = g_strsplit(nodes, " ", -1);
    }
    put(f->disks, id, d);
    answer_disks(f);
}

void fake_vm_set_disk(FakeVm *f, const char *id, const char *nodes)
{
    set_chain(f, id, nodes, true);
}

void fake_vm_set_chain(FakeVm *f, const char *id, const char *nodes)
{
    set_chain(f, id, nodes, false);
}

void fake_vm_set_throttle(FakeVm *f, const char *id, const char *limits)
{
    g_hash_table_replace(f->throttles, g_strdup(id), g_strdup(limits));
    answer_disks(f);
}

void fake_vm_take_throttle(FakeVm *f, const char *id, const QmpPeerCommand *set)
{
    g_autofree char *text =
        g_strdup(json_object_to_json_string_ext(set->args, JSON_C_TO_STRING_PLAIN));

    g_strdelimit(text, "\"", '\'');
    text[strlen(text) - 1] = '\0';
    fake_vm_set_throttle(f, id, text + 1);
    qmp_peer_reply(f->peer, set, "{}");
}

void fake_vm_set_writable(FakeVm *f, const char *node)
{
    g_hash_table_add(f->writable, g_strdup(node));
    answer_disks(f);
}

void fake_vm_set_file(FakeVm *f, const char *node, const char *file)
{
    g_hash_table_replace(f->files, g_strdup(node), g_strdup(file));
    answer_graph(f);
}

void fake_vm_set_bitmaps(FakeVm *f, const char *node, const char *bitmaps)
{
    g_hash_table_replace(f->bitmaps, g_strdup(node), g_strdup(bitmaps));
    answer_nodes(f);
}

void fake_vm_set_export(FakeVm *f, const char *id, const char *node)
{
    FakeExport *e = NULL;

    if (node) {
        e = g_new0(FakeExport, 1);
        e->id = g_strdup(id);
        e->node = g_strdup(node);
    }
    put(f->exports, id, e);
    answer_exports(f);
}

void fake_vm_set_job(FakeVm *f, const char *id, const char *status, bool auto_finalize)
{
    FakeJob *j = g_new0(FakeJob, 1);

    j->id = g_strdup(id);
    j->status = g_strdup(status);
    j->auto_finalize = auto_finalize;
    put(f->jobs, id, j);
    g_free(f->job);
    f->job = g_strdup(id);
    answer_jobs(f);
}

void fake_vm_add_job(FakeVm *f, const QmpPeerCommand *block_commit, const char *status)
{
    json_object *id, *auto_finalize;

    g_assert_true(json_object_object_get_ex(block_commit->args, "job-id", &id));
    g_assert_true(json_object_object_get_ex(block_commit->args, "auto-finalize", &auto_finalize));
    fake_vm_set_job(f, json_object_get_string(id), status, json_object_get_boolean(auto_finalize));
}

void fake_vm_choose_job(FakeVm *f, const char *id)
{
    g_assert_cmpuint(find(f->jobs, id), <, f->jobs->len);
    g_free(f->job);
    f->job = g_strdup(id);
}

static FakeJob *last_job(const FakeVm *f)
{
    guint i = find(f->jobs, f->job);

    g_assert_cmpuint(i, <, f->jobs->len);
    return g_ptr_array_index(f->jobs, i);
}

void fake_vm_set_status(FakeVm *f, const char *status)
{
    if (status) {
        FakeJob *j = last_job(f);

        g_free(j->status);
        j->status = g_strdup(status);
    } else {
        put(f->jobs, f->job, NULL);
    }
    answer_jobs(f);
}

void fake_vm_set_paused(FakeVm *f, bool paused)
{
    last_job(f)->paused = paused;
    answer_jobs(f);
}

void fake_vm_set_job_node(FakeVm *f, const char *node)
{
    FakeJob *j = last_job(f);

    g_free(j->node);
    j->node = g_strdup(node);
    answer_jobs(f);
}

void fake_vm_set_error(FakeVm *f, const char *error)
{
    FakeJob *j = last_job(f);

    g_free(j->error);
    j->error = g_strdup(error);
    answer_jobs(f);
}

void fake_vm_move(FakeVm *f, const char *status)
{
    g_autofree char *data =
        g_strdup_printf("{'id': '%s', 'status': '%s'}", f->job, status ? status : "null");

    fake_vm_set_status(f, status);
    qmp_peer_event(f->peer, "JOB_STATUS_CHANGE", data);
}

void fake_vm_set_io_status(FakeVm *f, const char *io_status)
{
    FakeJob *j = last_job(f);

    g_free(j->io_status);
    j->io_status = g_strdup(io_status);
    j->paused = strcmp(io_status, "ok") != 0;
    answer_jobs(f);
}

void fake_vm_stop(FakeVm *f, const char *status, const char *io_status)
{
    g_autofree char *data =
        g_strdup_printf("{'device': '%s', 'operation': 'write', 'action': 'stop'}", f->job);

    fake_vm_set_status(f, status);
    fake_vm_set_io_status(f, io_status);
    qmp_peer_event(f->peer, "BLOCK_JOB_ERROR", data);
}

const char *fake_vm_job_id(const FakeVm *f)
{
    return f->job;
}
