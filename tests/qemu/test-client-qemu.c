/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vmdiskctl with the real service on a real QEMU: what people type ends as they have chosen, with
 * the client there or gone.
 */
#include <signal.h>
#include <string.h>

#include "process.h"
#include "scene.h"

static GPtrArray *client_command(Scene *s)
{
    GPtrArray *words = g_ptr_array_new_with_free_func(g_free);

    g_ptr_array_add(words, g_strdup("env"));
    g_ptr_array_add(words,
                    g_strconcat("DBUS_SYSTEM_BUS_ADDRESS=", test_bus_address(s->rig->bus), NULL));
    g_ptr_array_add(words, g_strdup(g_getenv("VMDISKCTL")));
    return words;
}

/* It has to succeed; what it prints. The arguments end with NULL. */
G_GNUC_NULL_TERMINATED static char *run_client(Scene *s, const char *verb, ...)
{
    g_autoptr(GPtrArray) words = client_command(s);
    va_list list;

    va_start(list, verb);
    for (const char *word = verb; word; word = va_arg(list, const char *))
        g_ptr_array_add(words, g_strdup(word));
    va_end(list);
    g_ptr_array_add(words, NULL);
    return process_runv((char *const *)words->pdata);
}

static void test_pivot(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autofree char *said =
        run_client(s, "commit", "web1/vda", "--active", "--pivot", "--quiet", NULL);

    scene_check_active(s, 1, scene_base(s));
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_base(s), "qcow2");
}

static void test_images(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.depth = 4, .no_guest = true});
    g_autofree char *said = run_client(s, "commit", "web1/vda", "--top", "1", "--shallow", "--wait",
                                       "--on-error=stop", "--speed=1G", NULL);

    g_assert_nonnull(strstr(said, "completed"));
    scene_check_active(s, 3, scene_top(s));
}

static void test_dry_run(void)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.no_guest = true});
    g_autofree char *said = run_client(s, "commit", "web1/vda", "--active", "--dry-run", NULL);

    g_assert_nonnull(strstr(said, "is possible"));
    g_assert_nonnull(strstr(said, "block-commit"));
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
    scene_check_active(s, 2, scene_top(s));
}

/* All disks of the VM, which is one here. */
static void test_whole_vm(void)
{
    g_autoptr(Scene) s = scene_new(NULL);
    g_autofree char *started = run_client(s, "commit", "web1", "--active", "--wait", NULL);

    g_assert_nonnull(strstr(started, "vmdiskctl pivot web1 "));
    g_autofree char *ended = run_client(s, "pivot", "web1", "--wait", NULL);
    g_assert_nonnull(strstr(ended, "web1/vda: completed"));
    scene_check_active(s, 1, scene_base(s));
}

/* Killed at once, with no word of farewell: the service keeps what it was told. */
static void test_client_that_is_killed(gconstpointer target)
{
    g_autoptr(Scene) s = scene_new(&(SceneOptions){.slow_base = true});
    const unsigned from = recorder_mark(s->recorder);
    g_autoptr(GPtrArray) words = client_command(s);

    for (const char *const *word =
             (const char *[]){"commit", target, "--active", "--keep-overlay", NULL};
         *word; word++)
        g_ptr_array_add(words, g_strdup(*word));
    g_ptr_array_add(words, NULL);
    g_autoptr(Process) client = process_start((char *const *)words->pdata, NULL, NULL);

    recorder_wait(s->recorder, from,
                  (Sought){.member = "InterfacesAdded", .object = s->disk, .part = JOB_INTERFACE});
    process_end(client, SIGKILL);
    scene_release(s);
    scene_wait_finished(s, from, "kept");
    recorder_settle(s->recorder);
    g_assert_cmpuint(recorder_count(s->recorder, from, (Sought){.member = "JobFinished"}), ==, 1);
    scene_check_active(s, 2, scene_top(s));
}

int main(int argc, char *argv[])
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/client-qemu/pivot", test_pivot);
    g_test_add_func("/client-qemu/images", test_images);
    g_test_add_func("/client-qemu/dry-run", test_dry_run);
    g_test_add_func("/client-qemu/whole-vm", test_whole_vm);
    g_test_add_data_func("/client-qemu/killed-client", "web1/vda", test_client_that_is_killed);
    g_test_add_data_func("/client-qemu/killed-client-of-a-vm", "web1", test_client_that_is_killed);
    return g_test_run();
}
