/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Commits while images are more than a file with a format: filters above and between them,
 * encryption, external data files, the overlay of -snapshot. What a node was set up with is the
 * same after the job.
 */
#include "scene.h"

#include <string.h>

#include "wait.h"

#define DEPTH 4

/* A disk of four images and filters. %0 to %3 stand for the files, the base first. */
typedef struct Layout {
    const char *name;
    const char *root;        /* node of the device, before and after; NULL: the active image */
    const char *options[16]; /* ended by NULL */
    bool below_refused;
} Layout;

#define GROUP "-object", "throttle-group,id=group,x-iops-total=100000,x-bps-write=1000000000"
#define FILE_0 "file.driver=file,file.filename=%0"
#define BASE "-blockdev", "qcow2,node-name=base,read-only=on," FILE_0
#define LOWER_ON(below)                                                                            \
    "-blockdev", "qcow2,node-name=lower,read-only=on,backing=" below ",file.driver=file,"          \
                 "file.filename=%1"
#define LOWER LOWER_ON("base")
#define MIDDLE                                                                                     \
    "-blockdev", "qcow2,node-name=middle,read-only=on,backing=lower,file.driver=file,"             \
                 "file.filename=%2"
/* What copies on read has to write. */
#define MIDDLE_WRITABLE                                                                            \
    "-blockdev", "qcow2,node-name=middle,backing=lower,file.driver=file,file.filename=%2"
#define TOP_ON(below)                                                                              \
    "-blockdev", "qcow2,node-name=top,detect-zeroes=unmap,discard=unmap,backing=" below            \
                 ",file.driver=file,file.filename=%3"

static const Layout layouts[] = {
    {"throttle-on-top",
     "limit",
     {GROUP, BASE, LOWER, MIDDLE, TOP_ON("middle"), "-blockdev",
      "throttle,node-name=limit,throttle-group=group,file=top"}},
    {"copy-on-read-on-top",
     "copier",
     {BASE, LOWER, MIDDLE, TOP_ON("middle"), "-blockdev",
      "copy-on-read,node-name=copier,file=top"}},
    {"two-filters-on-top",
     "copier",
     {GROUP, BASE, LOWER, MIDDLE, TOP_ON("middle"), "-blockdev",
      "throttle,node-name=limit,throttle-group=group,file=top", "-blockdev",
      "copy-on-read,node-name=copier,file=limit"}},
    {"throttle-between",
     NULL,
     {GROUP, BASE, LOWER, MIDDLE, "-blockdev",
      "throttle,node-name=limit,throttle-group=group,read-only=on,file=middle", TOP_ON("limit")},
     .below_refused = true},
    {"throttle-above-base",
     NULL,
     {GROUP, BASE, "-blockdev",
      "throttle,node-name=limit,throttle-group=group,read-only=on,file=base", LOWER_ON("limit"),
      MIDDLE, TOP_ON("middle")}},
    {"copy-on-read-between",
     NULL,
     {BASE, LOWER, MIDDLE_WRITABLE, "-blockdev", "copy-on-read,node-name=copier,file=middle",
      TOP_ON("copier")},
     .below_refused = true},
};

/* SceneOptions has no room for it. */
static const Layout *layout;

static char *fill_in(const Scene *s, const char *option)
{
    char *filled = g_strdup(option);

    for (unsigned i = 0; i < s->depth; i++) {
        g_autofree char *before = filled;
        const char place[] = {'%', (char)('0' + i), '\0'};
        g_auto(GStrv) parts = g_strsplit(before, place, -1);

        filled = g_strjoinv(s->chain[i], parts);
    }
    return filled;
}

static void add_device(const Scene *s, const char *root)
{
    qemu_option(s->vm, "-device", "virtio-blk-pci,drive=%s,id=vda,bootindex=1,write-cache=off",
                root);
}

static void add_layout(const Scene *s)
{
    for (unsigned i = 0; layout->options[i]; i++)
        g_ptr_array_add(qemu_arguments(s->vm), fill_in(s, layout->options[i]));
    add_device(s, layout->root ? layout->root : "top");
}

/* What a node is set up with, as QEMU tells it; NULL where there is none of that name. */
static char *describe_node(Scene *s, const char *name)
{
    static const char *const keys[] = {"drv", "detect_zeroes", "cache", "bps", "bps_wr", "iops",
                                       "ro",  "encrypted",     "bps_rd"};
    json_object *nodes =
        qmp_client_command(qemu_monitor(s->vm), "query-named-block-nodes", "{'flat': true}");
    g_autoptr(GString) text = g_string_new(NULL);
    bool found = false;

    for (size_t i = 0; i < json_object_array_length(nodes) && !found; i++) {
        json_object *node = json_object_array_get_idx(nodes, i);

        found = strcmp(qmp_text(node, "node-name"), name) == 0;
        for (unsigned k = 0; found && k < G_N_ELEMENTS(keys); k++)
            g_string_append_printf(text, "%s %s\n", keys[k],
                                   json_object_to_json_string(qmp_member(node, keys[k])));
    }
    json_object_put(nodes);
    return found ? g_string_free(g_steal_pointer(&text), FALSE) : NULL;
}

static char *describe_group(Scene *s)
{
    json_object *limits = qmp_client_command(qemu_monitor(s->vm), "qom-get",
                                             "{'path': '/objects/group', 'property': 'limits'}");
    char *text = g_strdup(json_object_to_json_string(limits));

    json_object_put(limits);
    return text;
}

static bool has_group(void)
{
    return strcmp(layout->options[0], "-object") == 0;
}

/* Node of the device. The caller frees it. */
static char *root_node(Scene *s)
{
    json_object *drives = qmp_client_command(qemu_monitor(s->vm), "query-block", NULL);
    char *name = NULL;

    for (size_t i = 0; i < json_object_array_length(drives) && !name; i++) {
        json_object *drive = json_object_array_get_idx(drives, i), *qdev;

        if (json_object_object_get_ex(drive, "qdev", &qdev) &&
            strstr(json_object_get_string(qdev), "/vda/"))
            name = g_strdup(qmp_text(qmp_member(drive, "inserted"), "node-name"));
    }
    json_object_put(drives);
    return name;
}

static const char *const watched[] = {"limit", "copier", "top", "middle", "lower", "base"};

typedef struct Setup {
    char *nodes[G_N_ELEMENTS(watched)];
    char *group;
} Setup;

static void setup_read(Scene *s, Setup *setup)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++)
        setup->nodes[i] = describe_node(s, watched[i]);
    setup->group = has_group() ? describe_group(s) : NULL;
}

static void setup_done(Setup *setup)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++)
        g_free(setup->nodes[i]);
    g_free(setup->group);
}

static bool is_left(const char *node, unsigned depth)
{
    const bool on_top = layout->root && (strcmp(node, "limit") == 0 || strcmp(node, "copier") == 0);

    return on_top || strcmp(node, "base") == 0 || depth == DEPTH ||
           (depth == 2 && strcmp(node, "top") == 0);
}

/* What the disk still has is set up as before, but for a base that it is on now; what it has no
 * more is gone. */
static void check_setup(Scene *s, const Setup *before, unsigned depth)
{
    Setup after;

    setup_read(s, &after);
    g_assert_cmpstr(after.group, ==, before->group);
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++)
        if (!is_left(watched[i], depth))
            g_assert_null(after.nodes[i]);
        else if (depth > 1 || strcmp(watched[i], "base") != 0)
            g_assert_cmpstr(after.nodes[i], ==, before->nodes[i]);
    setup_done(&after);
}

static bool nobody_left(gpointer scene)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(watched); i++) {
        g_autofree char *node = is_left(watched[i], 2) ? NULL : describe_node(scene, watched[i]);

        if (node)
            return false;
    }
    return true;
}

static void check_root(Scene *s, const char *expected)
{
    g_autofree char *root = root_node(s);

    g_assert_cmpstr(root, ==, layout->root ? layout->root : expected);
}

static Scene *start(const Layout *l)
{
    layout = l;
    return scene_new(
        &(SceneOptions){.depth = DEPTH, .prepare = scene_mark_images, .add_disk = add_layout});
}

static void check_end(Scene *s, unsigned active)
{
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, scene_file(s, active), "qcow2");
    scene_check_marks(s, active, 1, s->depth - 1);
    image_check_clean(scene_file(s, active));
}

static void test_pivot(gconstpointer data)
{
    g_autoptr(Scene) s = start(data);
    Setup before;
    unsigned from;

    setup_read(s, &before);
    from = scene_commit_until_ready(s);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qemu_wait_no_jobs(s->vm);
    scene_wait_depth(s, 1);
    check_root(s, "base");
    check_setup(s, &before, 1);
    setup_done(&before);
    check_end(s, 0);
}

static void test_keep(gconstpointer data)
{
    g_autoptr(Scene) s = start(data);
    Setup before;
    unsigned from;

    setup_read(s, &before);
    from = scene_commit_until_ready(s);
    scene_abort(s);
    scene_wait_finished(s, from, "kept");
    qemu_wait_no_jobs(s->vm);
    scene_wait_depth(s, DEPTH);
    check_root(s, "top");
    check_setup(s, &before, DEPTH);
    setup_done(&before);
    check_end(s, DEPTH - 1);
}

/* QEMU would leave the name of a merged image in the one above the filter. */
static void check_refused(Scene *s)
{
    const char *text = recorder_refused(s->recorder, SERVICE_ERROR("NotSupported"), s->disk,
                                        DISK_INTERFACE, "Commit", "b", 0);

    if (!strstr(text, "filter") || !strstr(text, "vda"))
        g_error("The text does not tell why: %s", text);
    g_assert_cmpuint(qemu_count_jobs(s->vm), ==, 0);
}

static void test_below(gconstpointer data)
{
    g_autoptr(Scene) s = start(data);
    g_autofree char *recorded = NULL;
    Setup before;
    unsigned from;

    setup_read(s, &before);
    if (layout->below_refused) {
        check_refused(s);
        check_setup(s, &before, DEPTH);
        setup_done(&before);
        check_end(s, DEPTH - 1);
        return;
    }
    from = scene_commit(s, false);
    scene_wait_finished(s, from, "completed");
    scene_wait_depth(s, 2);
    wait_until("the images below are closed", nobody_left, s);
    check_root(s, "top");
    check_setup(s, &before, 2);
    recorded = image_backing_file(scene_top(s));
    g_assert_cmpstr(recorded, ==, scene_base(s));
    setup_done(&before);
    check_end(s, DEPTH - 1);
    scene_check_marks(s, 0, 1, DEPTH - 2);
}

/* Nodes that a commit below has put out of use do not keep the base busy for ever. */
static void test_snapshot_after_both(void)
{
    g_autoptr(Scene) s =
        scene_new(&(SceneOptions){.depth = DEPTH, .blockdev = true, .prepare = scene_mark_images});
    g_autofree char *overlay =
        image_overlay(s->rig->dir, "overlay", scene_base(s), "qcow2", SCENE_SIZE);
    unsigned from = scene_commit(s, false);

    scene_wait_finished(s, from, "completed");
    from = scene_commit_until_ready(s);
    scene_pivot(s);
    scene_wait_finished(s, from, "completed");
    qmp_client_do(qemu_monitor(s->vm), "blockdev-add",
                  "{'driver': 'qcow2', 'node-name': 'overlay', 'backing': null, 'file': {'driver': "
                  "'file', 'filename': '%s'}}",
                  overlay);
    qmp_client_do(qemu_monitor(s->vm), "blockdev-snapshot",
                  "{'node': 'node0', 'overlay': 'overlay'}");
    scene_wait_depth(s, 2);
    guest_wait_more(s->guest, 0, 50);
    qemu_kill(s->vm);
    guest_check_nothing_lost(s->guest, 0, overlay, "qcow2");
}

/* A node of a storage daemon that nobody uses, with a filter on it: the filter is its root after a
 * pivot as before, and the next commit starts from there. */
static void test_lone_filter(void)
{
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 2, 4 * IMAGE_MIB);
    g_autofree char *overlay = image_overlay(rig->dir, "overlay", chain[0], "qcow2", 0);
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_STORAGE_DAEMON, NULL);
    Scene s = {.rig = rig, .recorder = rig->recorder, .vm = vm};
    g_autofree char *name = NULL;
    unsigned from;

    image_fill(chain[1], "qcow2", 0x61, 0, IMAGE_MIB);
    image_fill(overlay, "qcow2", 0x62, IMAGE_MIB, IMAGE_MIB);
    qemu_option(vm, "--object", "throttle-group,id=group");
    qemu_option(vm, "--blockdev",
                "qcow2,node-name=base,read-only=on,file.driver=file,file.filename=%s", chain[0]);
    qemu_option(vm, "--blockdev",
                "qcow2,node-name=top,backing=base,file.driver=file,file.filename=%s", chain[1]);
    qemu_option(vm, "--blockdev", "throttle,node-name=limit,throttle-group=group,file=top");
    qemu_start(vm);
    name = g_strdup_printf("qemu-%d", qemu_pid(vm));
    s.disk = rig_wait_disk(rig, name, "limit");
    from = scene_commit_until_ready(&s);
    scene_pivot(&s);
    scene_wait_finished(&s, from, "completed");
    scene_wait_depth(&s, 1);

    qmp_client_do(qemu_monitor(vm), "blockdev-add",
                  "{'driver': 'qcow2', 'node-name': 'overlay', 'backing': null, 'file': {'driver': "
                  "'file', 'filename': '%s'}}",
                  overlay);
    qmp_client_do(qemu_monitor(vm), "blockdev-snapshot", "{'node': 'base', 'overlay': 'overlay'}");
    scene_wait_depth(&s, 2);
    from = scene_commit_until_ready(&s);
    scene_pivot(&s);
    scene_wait_finished(&s, from, "completed");
    scene_wait_depth(&s, 1);
    qemu_quit(vm);
    image_check_filled(chain[0], "qcow2", 0x61, 0, IMAGE_MIB);
    image_check_filled(chain[0], "qcow2", 0x62, IMAGE_MIB, IMAGE_MIB);
    g_free(s.disk);
}

/* The images that a commit puts out of use are top nodes, too, until they are closed: no disks, and
 * not on record as what stands on the base. */
static void test_lone_below(gconstpointer data)
{
    const bool named = strcmp(data, "named") == 0;
    g_autoptr(Rig) rig = rig_new();
    g_auto(GStrv) chain = image_chain(rig->dir, "image", "qcow2", 5, 4 * IMAGE_MIB);
    g_autoptr(Qemu) vm = rig_qemu(rig, QEMU_STORAGE_DAEMON, NULL);
    Scene s = {.rig = rig, .recorder = rig->recorder, .vm = vm};
    g_autofree char *name = NULL;
    unsigned from, ready;

    for (unsigned i = named ? 0 : 4; i < 5; i++) {
        g_autofree char *backing =
            named && i > 0 ? g_strdup_printf(",backing=node%u", i - 1) : g_strdup("");

        qemu_option(vm, "--blockdev",
                    "qcow2,node-name=node%u,read-only=%s,file.driver=file,file.filename=%s%s", i,
                    i < 4 ? "on" : "off", chain[i], backing);
    }
    qemu_start(vm);
    name = g_strdup_printf("qemu-%d", qemu_pid(vm));
    s.disk = rig_wait_disk(rig, name, "node4");
    from = scene_commit(&s, false);
    scene_wait_finished(&s, from, "completed");
    scene_wait_depth(&s, 2);
    ready = scene_commit_until_ready(&s);
    scene_pivot(&s);
    scene_wait_finished(&s, ready, "completed");
    g_assert_cmpuint(recorder_count(rig->recorder, from,
                                    (Sought){.member = "InterfacesAdded", .part = DISK_INTERFACE}),
                     ==, 0);
    g_free(s.disk);
}

int main(int argc, char *argv[])
{
    static const struct {
        const char *name;
        GTestDataFunc test;
    } ways[] = {{"pivot", test_pivot}, {"keep", test_keep}, {"below", test_below}};

    g_test_init(&argc, &argv, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++)
        for (unsigned w = 0; w < G_N_ELEMENTS(ways); w++) {
            g_autofree char *path = g_strdup_printf("/nodes/%s/%s", layouts[i].name, ways[w].name);

            g_test_add_data_func(path, &layouts[i], ways[w].test);
        }
    g_test_add_func("/nodes/snapshot-after-both", test_snapshot_after_both);
    g_test_add_func("/nodes/filter-on-lone-node", test_lone_filter);
    g_test_add_data_func("/nodes/below-lone-node/named", "named", test_lone_below);
    g_test_add_data_func("/nodes/below-lone-node/generated", "generated", test_lone_below);
    return g_test_run();
}
