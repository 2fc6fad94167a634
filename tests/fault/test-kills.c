/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The daemon is killed at random instants, while a disk goes through snapshot, commit and pivot
 * without end and its guest writes and reads back without pause.
 *
 *   VMDISK_TEST_KILLS: how often, 300 if not set. G_TEST's --seed repeats a run.
 */
#include <stdlib.h>
#include <string.h>

#include "caller.h"
#include "image.h"
#include "properties.h"
#include "wait.h"
#include "world.h"

#define KILLS 300
#define TURN_USEC 1000
/* From the start of the daemon to its end. */
#define LIFE_USEC_MIN 5000
#define LIFE_USEC_MAX 400000

typedef struct Storm {
    World *world;
    Caller *caller;
    unsigned kills, cycles;
    char *overlay;  /* the newest */
    gint64 kill_at; /* CLOCK_MONOTONIC */
    uint32_t acknowledged;
    gint64 written_at, stall;
} Storm;

static void watch_guest(Storm *s)
{
    const uint32_t n = guest_acknowledged(s->world->guest, 0);
    const gint64 now = g_get_monotonic_time();

    if (n != s->acknowledged)
        s->written_at = now;
    else
        s->stall = MAX(s->stall, now - s->written_at);
    s->acknowledged = n;
}

static void kill_daemon(Storm *s)
{
    World *w = s->world;

    daemon_kill(w->rig->daemon);
    s->kills++;
    world_restart_daemon(w);
    caller_doubt(s->caller);
    s->kill_at = g_get_monotonic_time() + g_test_rand_int_range(LIFE_USEC_MIN, LIFE_USEC_MAX);
}

/* A new overlay; those of earlier cycles are out of use. */
static void snapshot(Storm *s)
{
    g_free(s->overlay);
    s->overlay = g_strdup_printf("%s/overlay.%u", s->world->rig->dir, s->cycles);
    qmp_client_do(qemu_monitor(s->world->vm), "blockdev-snapshot-sync",
                  "{'device': 'd0', 'snapshot-file': '%s', 'format': 'qcow2'}", s->overlay);
}

static void turn(Storm *s)
{
    recorder_turn(s->world->recorder, TURN_USEC);
    watch_guest(s);
    if (g_get_monotonic_time() >= s->kill_at)
        kill_daemon(s);
    if (caller_turn(s->caller)) {
        s->cycles++;
        snapshot(s);
        caller_renew(s->caller);
    }
}

/* QEMU announces nobody's snapshots: the daemon looks for them once a second. */
static bool is_on_record(gpointer data)
{
    const Storm *s = data;
    g_autofree char *boot = world_boot_image(s->world, 0);

    return strcmp(boot, s->overlay) == 0;
}

static void check_end(Storm *s)
{
    World *w = s->world;

    recorder_wait_owner(w->recorder, true);
    g_free(rig_wait_disk(w->rig, WORLD_VM, world_disk_name(0)));
    wait_until("the last snapshot is on record", is_on_record, s);
    guest_wait_more(w->guest, 0, 10);
    qemu_kill(w->vm);
    guest_check_nothing_lost(w->guest, 0, s->overlay, "qcow2");
    image_check_clean(s->overlay);
}

static void test_kills(void)
{
    const char *number = g_getenv("VMDISK_TEST_KILLS");
    const unsigned kills = number ? (unsigned)strtoul(number, NULL, 10) : KILLS;
    g_autoptr(Template) t = template_new(1, flows[0].depth);
    g_autoptr(World) w = world_new(t, /* fault= */ NULL, /* log= */ NULL, /* redial= */ false);
    g_autoptr(Caller) caller = caller_new(w, &flows[0]);
    Storm s = {.world = w, .caller = caller, .written_at = g_get_monotonic_time()};
    const gint64 begin = g_get_monotonic_time();

    guest_wait_more(w->guest, 0, 1);
    s.written_at = s.kill_at = g_get_monotonic_time();
    while (s.kills < kills)
        turn(&s);
    s.kill_at = G_MAXINT64;
    for (const unsigned cycles = s.cycles; s.cycles == cycles;)
        turn(&s);
    check_end(&s);
    g_free(s.overlay);
    g_test_message("%u kills in %.1f s, %u snapshots merged, %u writes; longest stall of the guest "
                   "%.0f ms",
                   s.kills, (double)(g_get_monotonic_time() - begin) / G_USEC_PER_SEC, s.cycles,
                   s.acknowledged, (double)s.stall / 1000);
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fault/random-kills", test_kills);
    return g_test_run();
}
