/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The commands that a check lists are those that QEMU gets when the commit is done, byte by byte;
 * only the time in the job's id is another.
 */
#include <glib.h>
#include <string.h>

#include "commit-check.h"
#include "commit.h"
#include "event-wait.h"
#include "play.h"

#define UID 1000

typedef struct Checked {
    bool answered;
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
    c->answered = true;
}

static bool is_answered(gpointer data)
{
    return ((const Checked *)data)->answered;
}

static char **check(Play *p, const CommitOptions *options)
{
    Checked c = {};

    disk_check(p->disk, options, UID, on_checked, &c);
    event_wait_until(p->domain->event, "the report", is_answered, &c);
    domain_check_quiet(p->domain);
    g_assert_null(disk_job(p->disk));
    g_assert_cmpuint(qmp_peer_count(p->peer, "block-commit"), ==, 0);
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

/* What QEMU gets next is that command; answers it after job and chain (NULL: as before) have got
 * that far. */
static void play_command(Play *p, const char *name, const char *status, const char *nodes,
                         GPtrArray *seen)
{
    QmpPeerCommand *c = qmp_peer_expect(p->peer, name);

    g_ptr_array_add(seen, text_of(c));
    if (nodes)
        fake_vm_set_disk(p->vm, "vda", nodes);
    if (strcmp(name, "block-commit") == 0)
        fake_vm_add_job(p->vm, c, status);
    else if (status)
        fake_vm_move(p->vm, status);
    qmp_peer_reply(p->peer, c, "{}");
    event_wait_idle(p->domain->event);
}

/* The commit, to its end: what QEMU got. */
static char **run(Play *p, const CommitOptions *o, bool exported, const char *nodes_after)
{
    GPtrArray *seen = g_ptr_array_new();
    const bool keeps = o->on_ready == JOB_ON_READY_KEEP;

    p->request = domain_request(p->domain);
    disk_commit(p->disk, o, UID, domain_done, p->request);
    play_command(p, "block-commit", o->active ? "ready" : "pending", NULL, seen);
    domain_check_answer(p->domain, p->request, REFUSAL_NONE);
    if (o->active && o->on_ready == JOB_ON_READY_WAIT)
        p->request = domain_pivot(p->domain, p->disk);
    if (o->active)
        play_command(p, keeps ? "block-job-cancel" : "job-complete",
                     exported ? "concluded" : "pending", exported ? nodes_after : NULL, seen);
    if (!exported)
        play_command(p, keeps ? "job-cancel" : "job-finalize", "concluded", nodes_after, seen);
    play_command(p, "job-dismiss", NULL, NULL, seen);
    g_ptr_array_add(seen, NULL);
    return (char **)g_ptr_array_free(seen, FALSE);
}

static char *id_in(const char *block_commit)
{
    g_autoptr(GRegex) regex = g_regex_new("\"job-id\":\"([^\"]+)\"", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;

    g_assert_true(g_regex_match(regex, block_commit, 0, &match));
    return g_match_info_fetch(match, 1);
}

typedef struct Case {
    const char *name;
    CommitOptions options;
    bool exported;
    const char *nodes_after;
} Case;

static void test_commands(gconstpointer data)
{
    const Case *k = data;
    g_autoptr(Play) p = play_new("top upper lower base");

    if (k->exported)
        fake_vm_set_export(p->vm, "export", "top");

    g_auto(GStrv) listed = check(p, &k->options);
    g_auto(GStrv) sent = run(p, &k->options, k->exported, k->nodes_after);
    g_autofree char *listed_id = id_in(listed[0]), *sent_id = id_in(sent[0]);

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
        {"active", {.active = true}, false, "base"},
        {"active-pivot", {.active = true, .on_ready = JOB_ON_READY_PIVOT}, false, "base"},
        {"active-keep",
         {.active = true, .on_ready = JOB_ON_READY_KEEP},
         false,
         "top upper lower base"},
        {"active-exported", {.active = true}, true, "base"},
        {"active-shallow", {.active = true, .shallow = true}, false, "upper lower base"},
        {"below", {}, false, "top base"},
        {"below-with-all-options",
         {.top = one,
          .base = two,
          .on_error = JOB_ON_ERROR_ENOSPC,
          .speed = 1U << 20,
          .backing_file = name},
         false,
         "top lower base"},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/commit-check/commands/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], test_commands);
    }
    return g_test_run();
}
