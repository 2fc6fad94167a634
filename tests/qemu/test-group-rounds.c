/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many handovers of disks that are committed together, kept and pivoted in turn, in one life of the
 * VM: on each, what the bases got is one and the same instant of the guest.
 *
 *   VMDISK_TEST_GROUP_ROUNDS: how many, 10 if not set
 */
#include <stdlib.h>

#include "crew.h"
#include "properties.h"
#include "wait.h"

#define ROUNDS 10
/* Few, so that the guest has soon written all of them. */
#define SLOTS 64

typedef struct AwaitedDepth {
    Crew *crew;
    uint32_t depth;
} AwaitedDepth;

static bool have_depth(gpointer data)
{
    const AwaitedDepth *awaited = data;
    const Crew *c = awaited->crew;

    for (unsigned i = 0; i < c->disks; i++)
        if (property_u32(c->recorder, c->disk[i], DISK_INTERFACE, "ChainDepth") != awaited->depth)
            return false;
    return true;
}

/* A new overlay on each disk, whose base is the active image. */
static void snapshot(Crew *c, unsigned round)
{
    g_autoptr(GString) actions = g_string_new(NULL);
    AwaitedDepth awaited = {c, 2};

    for (unsigned i = 0; i < c->disks; i++) {
        g_free(c->top[i]);
        c->top[i] = g_strdup_printf("%s/top.%u.%u", c->rig->dir, i, round);
        g_string_append_printf(
            actions,
            "%s{'type': 'blockdev-snapshot-sync', 'data': {'node-name': 'base.%u', "
            "'snapshot-file': '%s', 'snapshot-node-name': 'top.%u.%u', 'format': 'qcow2'}}",
            i > 0 ? ", " : "", i, c->top[i], i, round);
    }
    qmp_client_do(qemu_monitor(c->vm), "transaction", "{'actions': [%s]}", actions->str);
    wait_until("the snapshots are seen", have_depth, &awaited);
}

static unsigned end(Crew *c, const char *member, const char *result)
{
    const unsigned from = crew_commit_until_ready(c);

    guest_wait_more(c->guest, 0, 5);
    crew_call(c, member);
    crew_check_all_finished(c, from, result);
    return from;
}

static void check_rounds(const CrewOptions *options)
{
    const char *text = g_getenv("VMDISK_TEST_GROUP_ROUNDS");
    const unsigned rounds = text ? (unsigned)strtoul(text, NULL, 10) : ROUNDS;
    g_autoptr(Crew) c = crew_new(options);

    for (unsigned round = 1; round <= rounds; round++) {
        /* What is kept is in bases that nobody writes to then. */
        end(c, "Abort", "kept");
        crew_check_one_instant(c, c->base);
        /* What a pivot leaves behind is the same as the bases were in that instant. */
        end(c, "Pivot", "completed");
        crew_check_one_instant(c, c->top);
        if (round == rounds)
            break;
        snapshot(c, round);
        crew_fill_slots(c);
    }
    g_test_message("%u rounds of keep and pivot on %u disks, %u writes to each", rounds, c->disks,
                   guest_acknowledged(c->guest, 0));
    crew_check_nothing_lost(c, c->base, c->disks);
}

static void test_two_disks(void)
{
    check_rounds(&(CrewOptions){.disks = 2, .slots = SLOTS});
}

static void test_two_disks_with_iothreads(void)
{
    check_rounds(&(CrewOptions){.disks = 2, .slots = SLOTS, .iothreads = true});
}

static void test_eight_disks(void)
{
    check_rounds(&(CrewOptions){.disks = 8, .slots = SLOTS});
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/group-rounds/two-disks", test_two_disks);
    g_test_add_func("/group-rounds/two-disks-with-iothreads", test_two_disks_with_iothreads);
    g_test_add_func("/group-rounds/eight-disks", test_eight_disks);
    return g_test_run();
}
