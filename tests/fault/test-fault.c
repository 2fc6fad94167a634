/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The fault matrix. A flow is run once to learn the points that it passes; then once for each point
 * and each thing that can go wrong there. What comes out is printed as a table.
 *
 *   test-fault [--full] [--flow NAME] [--point POINT] [--redial]
 *
 * Without --full: the daemon is killed at each point of a pivot.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cell.h"
#include "wait.h"

#define CHILDREN_MAX 4
/* A cell that takes longer hangs. Longer than its own waits, which say what did not come. */
#define CELL_SECONDS (3 * WAIT_SECONDS)

static gboolean full, redial;
static char *only_flow, *only_point;

static const GOptionEntry options[] = {
    {"full", 0, 0, G_OPTION_ARG_NONE, &full, "Every flow, everything that can go wrong", NULL},
    {"redial", 0, 0, G_OPTION_ARG_NONE, &redial, "Without a descriptor store", NULL},
    {"flow", 0, 0, G_OPTION_ARG_STRING, &only_flow, "One flow", "NAME"},
    {"point", 0, 0, G_OPTION_ARG_STRING, &only_point, "One point", "POINT"},
    {0},
};

typedef struct Point {
    char *name;
    unsigned nth;
    Outcome outcome[2][N_ACTIONS]; /* before, after */
    bool done[2][N_ACTIONS];
} Point;

typedef struct Matrix {
    const Flow *flow;
    Template *template;
    GPtrArray *points;
    bool failed;
} Matrix;

typedef struct Child {
    pid_t pid; /* 0: free */
    Point *point;
    bool after;
    char *log;
} Child;

typedef struct MatrixTest {
    Matrix *matrix;
    Action action;
} MatrixTest;

static const char *const action_names[N_ACTIONS] = {"daemon", "QEMU", "both",
                                                    "ENOSPC", "EIO",  "EROFS"};
static const char *const outcome_names[N_OUTCOMES] = {"ok", "-", "twice", "never", "BROKEN"};

static void start_child(const Matrix *m, Action action, Child *child)
{
    const Cell cell = {
        .template = m->template,
        .flow = m->flow,
        .action = action,
        .redial = redial,
        .point = child->point->name,
        .after = child->after,
        .nth = child->point->nth,
    };
    int fd;

    child->log = g_strdup_printf("%s/log-%p", m->template->dir, (void *)child);
    fd = open(child->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    fflush(NULL);
    child->pid = fork();
    g_assert_cmpint(child->pid, >=, 0);
    if (child->pid == 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
        alarm(CELL_SECONDS);
        const Outcome outcome = cell_run(&cell);
        fflush(NULL);
        _exit((int)outcome);
    }
    close(fd);
}

/* Waits for one of the children and takes its outcome. */
static void reap(Matrix *m, Action action, Child *children)
{
    int status;
    const pid_t pid = wait(&status);

    for (unsigned i = 0; i < CHILDREN_MAX; i++) {
        Child *child = &children[i];
        g_autofree char *text = NULL;
        Outcome outcome;

        if (child->pid != pid)
            continue;
        outcome = WIFEXITED(status) && WEXITSTATUS(status) < OUTCOME_BROKEN
                      ? (Outcome)WEXITSTATUS(status)
                      : OUTCOME_BROKEN;
        child->point->outcome[child->after][action] = outcome;
        child->point->done[child->after][action] = true;
        const bool allowed =
            outcome == OUTCOME_OK || outcome == OUTCOME_MISSED || outcome == OUTCOME_TWICE;
        if (!allowed) {
            m->failed = true;
            g_file_get_contents(child->log, &text, NULL, NULL);
            /* meson shows it at once, a message of the test only in its log. */
            g_printerr("%s %s #%u, %s: %s\n%s", child->after ? "after" : "before",
                       child->point->name, child->point->nth, action_names[action],
                       outcome_names[outcome], text ? text : "");
        }
        g_unlink(child->log);
        g_free(child->log);
        child->pid = 0;
        return;
    }
}

static bool is_meant(Action action, const Point *p, bool after)
{
    if (only_point && strcmp(only_point, p->name) != 0)
        return false;
    return action < ACTION_ENOSPC || (!after && g_str_has_prefix(p->name, "ledger/"));
}

static void test_action(gconstpointer data)
{
    const MatrixTest *t = data;
    Matrix *m = t->matrix;
    Child children[CHILDREN_MAX] = {0};
    unsigned running = 0;

    m->failed = false;
    for (unsigned i = 0; i < m->points->len * 2; i++) {
        Point *p = g_ptr_array_index(m->points, i / 2);
        Child *child = children;

        if (!is_meant(t->action, p, i % 2))
            continue;
        if (running == CHILDREN_MAX) {
            reap(m, t->action, children);
            running--;
        }
        while (child->pid != 0)
            child++;
        child->point = p;
        child->after = i % 2;
        start_child(m, t->action, child);
        running++;
    }
    for (; running > 0; running--)
        reap(m, t->action, children);
    if (m->failed)
        g_test_fail();
}

static Matrix *matrix_new(const Flow *flow)
{
    Matrix *m = g_new0(Matrix, 1);
    g_auto(GStrv) lines = NULL;

    m->flow = flow;
    m->template = template_new(flow->disks, flow->depth);
    m->points = g_ptr_array_new();
    lines = cell_record(m->template, flow);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", 2);
        Point *p = g_new0(Point, 1);

        p->name = g_strdup(words[0]);
        p->nth = (unsigned)strtoul(words[1], NULL, 10);
        g_ptr_array_add(m->points, p);
    }
    return m;
}

static const char *cell_text(const Point *p, unsigned after, Action a)
{
    return p->done[after][a] ? outcome_names[p->outcome[after][a]] : "";
}

static bool is_empty(const Point *p, unsigned after)
{
    for (unsigned a = 0; a < N_ACTIONS; a++)
        if (p->done[after][a])
            return false;
    return true;
}

static void print_table(const Matrix *m)
{
    g_print("# %-52s", m->flow->name);
    for (unsigned a = 0; a < N_ACTIONS; a++)
        g_print(" %-7s", action_names[a]);
    g_print("\n");
    for (unsigned i = 0; i < m->points->len * 2; i++) {
        const Point *p = g_ptr_array_index(m->points, i / 2);
        g_autofree char *step =
            g_strdup_printf("%-6s %s #%u", i % 2 ? "after" : "before", p->name, p->nth);

        if (is_empty(p, i % 2))
            continue;
        g_print("# %-52s", step);
        for (unsigned a = 0; a < N_ACTIONS; a++)
            g_print(" %-7s", cell_text(p, i % 2, (Action)a));
        g_print("\n");
    }
}

static void matrix_free(Matrix *m)
{
    for (unsigned i = 0; i < m->points->len; i++) {
        Point *p = g_ptr_array_index(m->points, i);

        g_free(p->name);
        g_free(p);
    }
    g_ptr_array_unref(m->points);
    template_free(m->template);
    g_free(m);
}

static void add_tests(Matrix *m)
{
    for (unsigned a = 0; a < N_ACTIONS; a++) {
        g_autofree char *path = NULL;
        MatrixTest *t;

        if (!full && a != ACTION_DAEMON)
            continue;
        t = g_new0(MatrixTest, 1);
        t->matrix = m;
        t->action = (Action)a;
        path = g_strdup_printf("/fault/%s/%s", m->flow->name, action_names[a]);
        g_test_add_data_func_full(path, t, test_action, g_free);
    }
}

int main(int argc, char *argv[])
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    g_autoptr(GError) error = NULL;
    int status;

    g_test_init(&argc, &argv, NULL);
    g_option_context_add_main_entries(context, options, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("%s\n", error->message);
        return 2;
    }
    for (unsigned i = 0; i < n_flows; i++) {
        const bool wanted = only_flow ? strcmp(only_flow, flows[i].name) == 0 : full || i == 0;

        if (!wanted)
            continue;
        Matrix *m = matrix_new(&flows[i]);
        g_ptr_array_add(all, m);
        add_tests(m);
    }
    status = g_test_run();
    for (unsigned i = 0; i < all->len; i++) {
        print_table(g_ptr_array_index(all, i));
        matrix_free(g_ptr_array_index(all, i));
    }
    return status;
}
