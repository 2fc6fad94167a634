/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the exact handover costs: snapshot, commit and pivot of a disk on which a guest writes, by
 * the daemon and by raw QMP in turn (job-complete with QEMU's own finalize, the daemon stopped).
 * Measured are the guest's longest time without a write around the pivot, and the whole of commit
 * and pivot.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <unistd.h>

#include "figures.h"
#include "process.h"
#include "scene.h"
#include "wait.h"

#define ROUNDS 20
#define WRITES_AFTER 10
#define FSYNCS 20
#define SAMPLE_USEC 100
/* What each round has to copy, beside what the guest writes. */
#define DATA_OFFSET (48 * IMAGE_MIB)
#define DATA_LENGTH (8 * IMAGE_MIB)

/* --- the guest's stall --------------------------------------------------------------------------
 */

typedef struct Watch {
    Guest *guest;
    GThread *thread;
    gint runs, stop;
    gint64 longest;
} Watch;

static gpointer watch_run(gpointer data)
{
    Watch *w = data;
    uint32_t newest = guest_acknowledged(w->guest, 0);
    gint64 since = g_get_monotonic_time();

    g_atomic_int_set(&w->runs, 1);
    while (!g_atomic_int_get(&w->stop)) {
        const uint32_t n = guest_acknowledged(w->guest, 0);
        const gint64 now = g_get_monotonic_time();

        w->longest = MAX(w->longest, now - since);
        if (n != newest)
            since = now;
        newest = n;
        g_usleep(SAMPLE_USEC);
    }
    return NULL;
}

static void watch_begin(Watch *w)
{
    w->runs = w->stop = 0;
    w->longest = 0;
    w->thread = g_thread_new("watch", watch_run, w);
    while (!g_atomic_int_get(&w->runs))
        g_usleep(SAMPLE_USEC);
}

/* Microseconds. */
static double watch_end(Watch *w)
{
    g_atomic_int_set(&w->stop, 1);
    g_thread_join(w->thread);
    return (double)w->longest;
}

/* --- the two ways -------------------------------------------------------------------------------
 */

typedef struct Bench {
    Scene *scene;
    Watch watch;
    unsigned snapshots;
    Figures *exact_stall, *plain_stall, *usual_stall;
    Figures *exact_total, *plain_total;
} Bench;

/* The stall lasts until the guest writes again. */
static double see_guest_write(Bench *b)
{
    guest_wait_more(b->scene->guest, 0, WRITES_AFTER);
    return watch_end(&b->watch);
}

static void prepare(Bench *b)
{
    g_autofree char *name = g_strdup_printf("overlay.%u", b->snapshots++);

    g_free(scene_snapshot(b->scene, name));
    scene_write(b->scene, SCENE_DATA_BYTE, DATA_OFFSET, DATA_LENGTH);
}

static void run_exact(Bench *b)
{
    const gint64 begin = g_get_monotonic_time();
    const unsigned from = scene_commit_until_ready(b->scene);

    watch_begin(&b->watch);
    scene_pivot(b->scene);
    scene_wait_finished(b->scene, from, "completed");
    figures_add(b->exact_total, (double)(g_get_monotonic_time() - begin));
    figures_add(b->exact_stall, see_guest_write(b));
}

static bool is_stopped(gpointer data)
{
    return daemon_is_stopped(data);
}

static void drop_events(QmpClient *c, const char *name)
{
    while (qmp_client_has_event(c, name))
        json_object_put(qmp_client_wait_event(c, name));
}

static void run_plain(Bench *b)
{
    QmpClient *c = qemu_monitor(b->scene->vm);
    Daemon *daemon = b->scene->rig->daemon;

    daemon_signal(daemon, SIGSTOP);
    wait_until("the daemon has stopped", is_stopped, daemon);
    drop_events(c, "BLOCK_JOB_READY");
    drop_events(c, "BLOCK_JOB_COMPLETED");

    const gint64 begin = g_get_monotonic_time();

    qmp_client_do(c, "block-commit", "{'job-id': 'plain', 'device': 'd0'}");
    json_object_put(qmp_client_wait_event(c, "BLOCK_JOB_READY"));
    watch_begin(&b->watch);
    qmp_client_do(c, "job-complete", "{'id': 'plain'}");
    json_object_put(qmp_client_wait_event(c, "BLOCK_JOB_COMPLETED"));
    figures_add(b->plain_total, (double)(g_get_monotonic_time() - begin));
    figures_add(b->plain_stall, see_guest_write(b));
    daemon_signal(daemon, SIGCONT);
    scene_wait_depth(b->scene, 1);
}

static void run_nothing(Bench *b)
{
    watch_begin(&b->watch);
    figures_add(b->usual_stall, see_guest_write(b));
}

/* --- the state directory ------------------------------------------------------------------------
 */

/* The daemon goes on with another one. */
static void move_state(Scene *s, const char *directory)
{
    daemon_stop(s->rig->daemon);
    recorder_wait_owner(s->recorder, false);
    daemon_set_environment(s->rig->daemon, "STATE_DIRECTORY", directory);
    daemon_start(s->rig->daemon);
    rig_wait_daemon(s->rig);
    g_free(rig_wait_disk(s->rig, "web1", "vda"));
}

static void measure_fsync(const char *directory)
{
    g_autoptr(Figures) f = figures_new("  one fsync in the state directory");
    g_autofree char *file = g_build_filename(directory, "probe", NULL);
    const int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    g_assert_cmpint(fd, >=, 0);
    for (unsigned i = 0; i < FSYNCS; i++) {
        g_assert_cmpint(write(fd, directory, 1), ==, 1);

        const gint64 begin = g_get_monotonic_time();

        g_assert_cmpint(fsync(fd), ==, 0);
        figures_add(f, (double)(g_get_monotonic_time() - begin));
    }
    close(fd);
    g_unlink(file);
    figures_print(f);
}

/* What is in the overlay from the start is no part of a round. */
static void merge_first(Scene *s)
{
    const unsigned from = scene_commit_until_ready(s);

    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
}

static void bench(const char *where, const char *state)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autoptr(Guest) guest = guest_open(s->rig->dir, "web1");
    g_autoptr(Figures) exact_stall = figures_new("  guest's stall, exact pivot"),
                       plain_stall = figures_new("  guest's stall, plain job-complete"),
                       usual_stall = figures_new("  guest's longest write, without a job"),
                       exact_total = figures_new("  commit and pivot, by the daemon"),
                       plain_total = figures_new("  commit and pivot, by raw QMP");
    Bench b = {
        .scene = s,
        .watch = {.guest = guest},
        .exact_stall = exact_stall,
        .plain_stall = plain_stall,
        .usual_stall = usual_stall,
        .exact_total = exact_total,
        .plain_total = plain_total,
    };

    if (state)
        move_state(s, state);
    merge_first(s);
    for (unsigned i = 0; i < ROUNDS; i++) {
        prepare(&b);
        run_exact(&b);
        prepare(&b);
        run_plain(&b);
        run_nothing(&b);
    }

    g_print("State directory %s; %u rounds, %u MiB to copy in each:\n", where, ROUNDS,
            (unsigned)(DATA_LENGTH / IMAGE_MIB));
    measure_fsync(state ? state : daemon_state(s->rig->daemon));
    figures_print(usual_stall);
    figures_print(plain_stall);
    figures_print(exact_stall);
    figures_print_ratio(exact_stall, plain_stall);
    figures_print(plain_total);
    figures_print(exact_total);
    figures_print_ratio(exact_total, plain_total);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_autofree char *state = g_test_build_filename(G_TEST_BUILT, "bench-XXXXXX", NULL);

    g_assert_nonnull(g_mkdtemp(state));
    bench("in memory", /* state= */ NULL);
    bench("on the disk of the build directory", state);
    g_free(process_run("rm", "-rf", "--", state, NULL));
    return 0;
}
