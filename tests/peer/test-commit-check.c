/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands that a check lists are those that QEMU gets from the start of the commit to the end,
 * byte by byte; only the time in the job's id is another.
 */
#include <glib.h>
#include <string.h>

#include "commit-check.h"
#include "commit.h"
#include "event-wait.h"
#include "play.h"

#define UID 1000
#define CHAIN "top upper lower base"

typedef struct Checked {
    bool answered;
    bool goes_alone; /* not together with other disks of the VM */
    size_t n_warnings;
    char **commands;
} Checked;

static void on_checked(const CommitReport *report, const Refusal *refusal, void *userdata)
{
    Checked *c = userdata;
    GPtrArray *commands = g_ptr_array_new();

    g_assert_nonnull(report);
    g_assert_cmpint(refusal->kind, ==, REFUSAL_NONE);
    g_assert_true(commit_report_is_possible(report));
    for (size_t i = 0; i < report->commands.n; i++)
        g_ptr_array_add(commands, g_strdup(report->commands.items[i]));
    g_ptr_array_add(commands, NULL);
    c->commands = (char **)g_ptr_array_free(commands, FALSE);
    c->n_warnings = report->warnings.n;
    c->goes_alone = report->together.kind != REFUSAL_NONE;
    c->answered = true;
}

static bool is_answered(gpointer data)
{
    return ((const Checked *)data)->answered;
}

static char **check(Play *p, const CommitOptions *options, bool exported)
{
    Checked c = {};

    disk_check(p->disk, options, UID, on_checked, &c);
    event_wait_until(p->domain->event, "the report", is_answered, &c);
    domain_check_quiet(p->domain);
    g_assert_null(disk_job(p->disk));
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
    g_assert_cmpint(c.goes_alone, ==, exported);
    g_assert_cmpuint(c.n_warnings, ==, exported && options->on_ready != JOB_ON_READY_KEEP ? 1 : 0);
    return c.commands;
}

/* The text with the time taken out of the job's id. */
static char *without_time(const char *text, const char *id)
{
    _cleanup_(commit_id_freep) CommitId *parsed = NULL;
    g_auto(GStrv) parts = g_strsplit(text, id, -1);

    g_assert_cmpint(commit_id_parse(id, &parsed), ==, 0);
    parsed->started_usec = 0;
    _cleanup_(freep) char *timeless = commit_id_make(parsed);
    return g_strjoinv(timeless, parts);
}

static char *text_of(const QmpPeerCommand *c)
{
    return g_strdup_printf("{\"execute\":\"%s\",\"arguments\":%s}", c->name,
                           json_object_to_json_string_ext(
                               c->args, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
}

typedef struct Case {
    const char *name;
    CommitOptions options;
    bool exported;
    const char *bitmap;      /* a node that has a dirty bitmap "n"; NULL for none */
    const char *nodes_after; /* the chain that the commit leaves */
    const char *left;        /* from the top down to the base, where they leave that chain */
} Case;

#define BITMAP(name)                                                                               \
    "{'name': '" name "', 'persistent': true, 'recording': true, 'busy': false, "                  \
    "'granularity': 65536, 'count': 131072}"
#define RECORDER BITMAP("vmdisk-recorder")

static bool is_one_of(const QmpPeerCommand *c, const char *const *names)
{
    return g_strv_contains(names, c->name);
}

/* QEMU does what it is told; at the barrier, and at the end of the job, what is there then. */
static void obey(const Play *p, const Case *k, const QmpPeerCommand *c)
{
    static const char *const asked[] = {"job-complete", "block-job-cancel", NULL};
    static const char *const told[] = {"job-finalize", "job-cancel", NULL};
    const char *base = k->options.base ? k->options.base : "base";
    const bool recorded = qmp_peer_count(p->peer, "block-dirty-bitmap-add") > 0;

    if (strcmp(c->name, "block-dirty-bitmap-add") == 0)
        fake_vm_set_bitmaps(p->vm, base, "[" RECORDER "]");
    else if (strcmp(c->name, "transaction") == 0)
        fake_vm_set_bitmaps(p->vm, base,
                            recorded ? "[" RECORDER ", " BITMAP("n") "]" : "[" BITMAP("n") "]");
    else if (strcmp(c->name, "block-commit") == 0)
        fake_vm_add_job(p->vm, c, k->options.active ? "ready" : "pending");
    else if (is_one_of(c, told) || (is_one_of(c, asked) && k->exported)) {
        /* The nodes were opened by name, and stay. */
        fake_vm_set_chain(p->vm, "left", k->left);
        fake_vm_set_disk(p->vm, "vda", k->nodes_after);
        /* A commit of the active layer leaves its base open for writing. */
        if (k->options.active)
            fake_vm_set_writable(p->vm, base);
        fake_vm_move(p->vm, "concluded");
    } else if (is_one_of(c, asked))
        fake_vm_move(p->vm, "pending");
    else if (strcmp(c->name, "job-dismiss") == 0)
        fake_vm_move(p->vm, NULL);
}

/* Those that ask for nothing. */
static char **commands_since(const Play *p, unsigned from)
{
    GPtrArray *texts = g_ptr_array_new();
    const QmpPeerCommand *c;

    for (unsigned i = from; (c = qmp_peer_at(p->peer, i)); i++)
        if (!strstr(c->name, "query"))
            g_ptr_array_add(texts, text_of(c));
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(texts, FALSE);
}

/* The commit, to its end: what QEMU got. */
static char **run(Play *p, const Case *k)
{
    unsigned from = 0;

    while (qmp_peer_at(p->peer, from))
        from++;
    p->request = domain_request(p->domain);
    disk_commit(p->disk, &k->options, UID, domain_done, p->request);
    while (qmp_peer_count(p->peer, "job-dismiss") == 0) {
        QmpPeerCommand *c = qmp_peer_take(p->peer);
        const bool started = strcmp(c->name, "block-commit") == 0;

        obey(p, k, c);
        qmp_peer_reply(p->peer, c, "{}");
        event_wait_idle(p->domain->event);
        if (started && k->options.active && k->options.on_ready == JOB_ON_READY_WAIT)
            p->request = domain_pivot(p->domain, p->disk);
    }
    event_wait_idle(p->domain->event);
    return commands_since(p, from);
}

static char *find_id(char *const *commands)
{
    g_autoptr(GRegex) regex = g_regex_new("\"job-id\":\"([^\"]+)\"", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    for (; *commands; commands++) {
        g_clear_pointer(&match, g_match_info_free);
        if (g_regex_match(regex, *commands, 0, &match))
            return g_match_info_fetch(match, 1);
    }
    g_assert_not_reached();
}

static void test_commands(gconstpointer data)
{
    const Case *k = data;
    g_autoptr(Play) p = play_new(CHAIN);

    if (k->exported)
        fake_vm_set_export(p->vm, "export", "top");
    if (k->bitmap)
        fake_vm_set_bitmaps(p->vm, k->bitmap, "[" BITMAP("n") "]");
    fake_vm_set_file(p->vm, "base", "base-file");

    g_auto(GStrv) listed = check(p, &k->options, k->exported);
    g_auto(GStrv) sent = run(p, k);
    g_autofree char *listed_id = find_id(listed), *sent_id = find_id(sent);

    for (guint i = 0; sent[i] || listed[i]; i++) {
        g_assert_nonnull(sent[i]);
        g_assert_nonnull(listed[i]);

        g_autofree char *a = without_time(listed[i], listed_id);
        g_autofree char *b = without_time(sent[i], sent_id);
        g_assert_cmpstr(a, ==, b);
    }
}

int main(int argc, char **argv)
{
    static char one[] = "1", two[] = "lower", name[] = "./\"base\"";
    static const Case cases[] = {
        {"active", {.active = true}, .nodes_after = "base", .left = CHAIN},
        {"active-pivot",
         {.active = true, .on_ready = JOB_ON_READY_PIVOT},
         .bitmap = "top",
         .nodes_after = "base",
         .left = CHAIN},
        {"active-keep",
         {.active = true, .on_ready = JOB_ON_READY_KEEP},
         .bitmap = "lower",
         .nodes_after = "top upper lower base"},
        {"active-exported",
         {.active = true},
         .exported = true,
         .bitmap = "top",
         .nodes_after = "base",
         .left = CHAIN},
        {"active-exported-keep",
         {.active = true, .on_ready = JOB_ON_READY_KEEP},
         .exported = true,
         .nodes_after = "top upper lower base"},
        {"active-recorded",
         {.active = true},
         .bitmap = "lower",
         .nodes_after = "base",
         .left = CHAIN},
        {"active-shallow",
         {.active = true, .shallow = true},
         .nodes_after = "upper lower base",
         .left = "top upper"},
        {"below", {}, .nodes_after = "top base", .left = "upper lower base"},
        {"below-recorded",
         {},
         .bitmap = "lower",
         .nodes_after = "top base",
         .left = "upper lower base"},
        {"below-with-all-options",
         {.top = one,
          .base = two,
          .on_error = JOB_ON_ERROR_ENOSPC,
          .speed = 1U << 20,
          .backing_file = name},
         .bitmap = "upper",
         .nodes_after = "top lower base",
         .left = "upper lower"},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/commit-check/commands/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], test_commands);
    }
    return g_test_run();
}
