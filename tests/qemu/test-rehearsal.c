/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What Disk.Check says that a real QEMU would be sent, against what it is sent then: all commands
 * that do not merely ask, in order.
 */
#include "process.h"
#include "relay.h"
#include "scene.h"
#include "wait.h"

#include <string.h>

typedef struct Case {
    const char *name;
    bool named;        /* nodes that were opened by name */
    bool active;       /* … and on-ready is: */
    const char *ready; /* NULL where there is none */
} Case;

/* Only the time of the start, which the job's id carries, may differ. */
static char *without_id(const char *text)
{
    g_autoptr(GRegex) id = g_regex_new("\"vmdisk-commit-[^\"]*\"", 0, 0, NULL);

    return g_regex_replace_literal(id, text, -1, 0, "JOB", 0, NULL);
}

static char **read_commands(Recorder *r, unsigned reply)
{
    GPtrArray *texts = g_ptr_array_new();
    sd_bus_message *m = recorder_at(r, reply)->message;
    const char *key, *text;

    g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "{sv}"), >=, 0);
    while (sd_bus_message_enter_container(m, 'e', "sv") > 0) {
        g_assert_cmpint(sd_bus_message_read(m, "s", &key), >, 0);
        if (strcmp(key, "commands") == 0) {
            g_assert_cmpint(sd_bus_message_enter_container(m, 'v', "as"), >, 0);
            g_assert_cmpint(sd_bus_message_enter_container(m, 'a', "s"), >, 0);
            while (sd_bus_message_read(m, "s", &text) > 0)
                g_ptr_array_add(texts, without_id(text));
            sd_bus_message_exit_container(m);
            sd_bus_message_exit_container(m);
        } else
            g_assert_cmpint(sd_bus_message_skip(m, "v"), >, 0);
        sd_bus_message_exit_container(m);
    }
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(texts, FALSE);
}

static bool merely_asks(const char *command)
{
    return strstr(command, "query") || strcmp(command, "qmp_capabilities") == 0;
}

static char **said_commands(Relay *relay)
{
    g_autofree char *said = relay_said(relay);
    g_auto(GStrv) lines = g_strsplit(said, "\n", -1);
    GPtrArray *texts = g_ptr_array_new();

    for (char **line = lines; *line; line++) {
        json_object *message = **line ? json_tokener_parse(*line) : NULL, *name;

        if (!message)
            continue;
        g_assert_true(json_object_object_get_ex(message, "execute", &name));
        if (!merely_asks(json_object_get_string(name))) {
            json_object_object_del(message, "id");
            g_ptr_array_add(texts,
                            without_id(json_object_to_json_string_ext(
                                message, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)));
        }
        json_object_put(message);
    }
    g_ptr_array_add(texts, NULL);
    return (char **)g_ptr_array_free(texts, FALSE);
}

static void add_disk(Qemu *vm, char *const *chain, bool named)
{
    unsigned depth = g_strv_length((char **)chain);

    for (unsigned i = 0; named && i < depth; i++) {
        g_autofree char *below =
            i > 0 ? g_strdup_printf("backing=node%u", i - 1) : g_strdup("read-only=on");

        qemu_option(vm, "-blockdev", "driver=file,node-name=file%u,auto-read-only=on,filename=%s",
                    i, chain[i]);
        qemu_option(vm, "-blockdev", "driver=qcow2,node-name=node%u,file=file%u,%s%s", i, i, below,
                    i > 0 && i + 1 < depth ? ",read-only=on" : "");
    }
    if (!named)
        qemu_option(vm, "-drive", "if=none,id=d0,format=qcow2,file=%s", chain[depth - 1]);
    qemu_option(vm, "-device", "virtio-blk-pci,drive=%s,id=vda", named ? "node3" : "d0");
}

static Relay *attach(Rig *rig, const char *socket)
{
    int fd;
    Relay *relay = relay_start(socket, &fd);

    recorder_call(rig->recorder, SERVICE_PATH, MANAGER_INTERFACE, "AttachVM", "sha{sv}", "web1", fd,
                  0);
    close(fd);
    return relay;
}

typedef struct Awaited {
    Relay *relay;
    const char *last;
} Awaited;

static bool is_said(gpointer data)
{
    const Awaited *a = data;
    g_auto(GStrv) said = said_commands(a->relay);
    guint n = g_strv_length(said);

    return n > 0 && g_str_equal(said[n - 1], a->last);
}

/* QEMU 10.0 may have set the base back to read-only by itself when it is looked at: nothing is sent
 * then. */
static void forget_unneeded(char **listed, char *const *said)
{
    guint n = g_strv_length(listed);

    for (guint i = 0; i < n && g_strv_length((char **)said) < n; i++)
        if (strstr(listed[i], "reopen -r")) {
            g_free(listed[i]);
            memmove(&listed[i], &listed[i + 1], (n - i) * sizeof(char *));
            return;
        }
}

static unsigned commit(Rig *rig, const char *disk, const Case *k)
{
    if (k->ready)
        return recorder_call(rig->recorder, disk, DISK_INTERFACE, "CommitWith", "a{sv}", 2,
                             "active", "b", (int)k->active, "on-ready", "s", k->ready);
    return recorder_call(rig->recorder, disk, DISK_INTERFACE, "CommitWith", "a{sv}", 1, "active",
                         "b", (int)k->active);
}

static unsigned check(Rig *rig, const char *disk, const Case *k)
{
    if (k->ready)
        return recorder_call(rig->recorder, disk, DISK_INTERFACE, "Check", "a{sv}", 2, "active",
                             "b", (int)k->active, "on-ready", "s", k->ready);
    return recorder_call(rig->recorder, disk, DISK_INTERFACE, "Check", "a{sv}", 1, "active", "b",
                         (int)k->active);
}

/* A bitmap in an image between needs the recorder, one in the top does not. */
static void test_commands(gconstpointer data)
{
    const Case *k = data;
    g_autoptr(Rig) rig = rig_new();
    g_autofree char *socket = g_build_filename(rig->dir, "qmp", NULL);
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 4, 16 * IMAGE_MIB);
    g_autoptr(Qemu) vm = qemu_new(QEMU_SYSTEM, NULL, "web1");

    g_free(process_run("qemu-img", "bitmap", "--add", chain[3], "top", NULL));
    g_free(process_run("qemu-img", "bitmap", "--add", chain[1], "between", NULL));
    qemu_option(vm, "-qmp", "unix:%s,server=on,wait=off", socket);
    add_disk(vm, chain, k->named);
    qemu_start(vm);

    g_autoptr(Relay) relay = attach(rig, socket);
    g_autofree char *disk = rig_wait_disk(rig, "web1", "vda");
    g_auto(GStrv) listed = read_commands(rig->recorder, check(rig, disk, k));
    const unsigned from = commit(rig, disk, k);

    (void)recorder_wait(rig->recorder, from, (Sought){.path = disk, .member = "JobFinished"});
    /* The last of them come after that; and should there be more, a question lets them through. */
    wait_until("all commands", is_said, &(Awaited){relay, listed[g_strv_length(listed) - 1]});
    (void)check(rig, disk, k);

    g_auto(GStrv) said = said_commands(relay);
    forget_unneeded(listed, said);
    g_autofree char *wanted = g_strjoinv("\n", listed), *got = g_strjoinv("\n", said);
    g_assert_cmpstr(got, ==, wanted);
}

int main(int argc, char *argv[])
{
    static const Case cases[] = {
        {"pivot", false, true, "pivot"}, {"pivot-of-named-nodes", true, true, "pivot"},
        {"keep", false, true, "keep"},   {"keep-of-named-nodes", true, true, "keep"},
        {"below", false, false, NULL},   {"below-of-named-nodes", true, false, NULL},
    };

    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = g_strdup_printf("/rehearsal/%s", cases[i].name);

        g_test_add_data_func(path, &cases[i], test_commands);
    }
    return g_test_run();
}
