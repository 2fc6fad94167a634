/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * list shows everything the service publishes as a tree: VMs, their disks, the images of each
 * chain.
 */
#include "verbs.h"

#include <assert.h>

#include "describe.h"
#include "exit-code.h"
#include "memory.h"
#include "model.h"
#include "output.h"
#include "table.h"
#include "target.h"

enum {
    COLUMN_NAME,
    COLUMN_STATE,
    COLUMN_SIZE,
    COLUMN_FORMAT,
    COLUMN_IMAGE,
    COLUMN_MAX_,
};

/* What is drawn before a name: for a member of a list, and below it for its own members. */
typedef struct Branch {
    const char *middle, *last;
    const char *below_middle, *below_last;
} Branch;

static const Branch *branch_of(Look look)
{
    static const Branch drawn = {"├─", "└─", "│ ", "  "};
    static const Branch typed = {"|-", "`-", "| ", "  "};

    return look.utf8 ? &drawn : &typed;
}

static void add_image(Table *t, const Disk *d, size_t i, const char *indent, Look look)
{
    const Branch *b = branch_of(look);
    const Image *image = &d->chain[i];

    table_add(
        t, TINT_NONE,
        need_format("%s%s%u", indent, i + 1 < d->n_chain ? b->middle : b->last, image->index));
    table_add(t, TINT_NONE, NULL);
    table_add(t, TINT_NONE, size_for_people(image->size));
    table_add(t, TINT_NONE, text_for_people(image->format ? image->format : "", look));
    table_add(t, TINT_FAINT, text_for_people(image->file ? image->file : "", look));
}

static void add_disk(Table *t, const Disk *d, bool last, Look look)
{
    const Branch *b = branch_of(look);
    const char *below = last ? b->below_last : b->below_middle;
    _cleanup_(freep) char *name = text_for_people(d->name, look);

    table_add(t, TINT_STRONG, need_format("%s%s", last ? b->last : b->middle, name));
    if (d->job.id)
        table_add(t, describe_tint(d->job.state), describe_job(&d->job, look));
    else
        table_add(t, TINT_NONE, d->read_only ? need(strdup("read-only")) : NULL);
    table_add(t, TINT_NONE, d->n_chain > 0 ? size_for_people(d->size) : NULL);
    table_add(t, TINT_NONE, text_for_people(d->format ? d->format : "", look));
    table_add(t, TINT_NONE, d->n_chain > 0 ? NULL : need(strdup("(no medium)")));
    for (size_t i = 0; i < d->n_chain; i++)
        add_image(t, d, i, below, look);
}

static void add_vm(Table *t, const Vm *vm, Look look)
{
    table_add(t, TINT_STRONG, text_for_people(vm->name, look));
    table_add(t, TINT_NONE, text_for_people(vm->state ? vm->state : "", look));
    for (int i = COLUMN_SIZE; i < COLUMN_MAX_; i++)
        table_add(t, TINT_NONE, NULL);
    for (size_t i = 0; i < vm->n_disks; i++)
        add_disk(t, &vm->disks[i], i + 1 == vm->n_disks, look);
}

static void print_tree(const Model *m)
{
    static const char *const titles[] = {"NAME", "STATE", "SIZE", "FORMAT", "IMAGE"};
    static_assert(ELEMENTSOF(titles) == COLUMN_MAX_, "each column has a title");

    _cleanup_(table_freep) Table *t = table_new(COLUMN_MAX_, COLUMN_SIZE);
    Look look = look_of(stdout);

    for (size_t i = 0; i < COLUMN_MAX_; i++)
        table_add(t, TINT_FAINT, need(strdup(titles[i])));
    for (size_t i = 0; i < m->n_vms; i++)
        add_vm(t, &m->vms[i], look);
    table_print(t, stdout, look);
}

static void print_disk_warnings(const Vm *vm, const Disk *d)
{
    for (size_t i = 0; d->warnings && d->warnings[i]; i++) {
        _cleanup_(freep) char *name = target_disk_name(vm, d);
        _cleanup_(freep) char *text = need_format("%s: %s", name, d->warnings[i]);
        _cleanup_(freep) char *shown = text_for_people(text, look_of(stderr));

        fprintf(stderr, "%s\n", shown);
    }
}

/* Below the tree: in its columns there is no room for sentences. */
static void print_warnings(const Model *m)
{
    for (const Vm *vm = m->vms; vm < m->vms + m->n_vms; vm++)
        for (size_t i = 0; i < vm->n_disks; i++)
            print_disk_warnings(vm, &vm->disks[i]);
}

/* For shell completion: one VM/DISK a line. */
static void print_names(const Model *m)
{
    for (const Vm *vm = m->vms; vm < m->vms + m->n_vms; vm++)
        for (size_t i = 0; i < vm->n_disks; i++) {
            _cleanup_(freep) char *name = target_disk_name(vm, &vm->disks[i]);
            _cleanup_(freep) char *line = text_for_people(name, (Look){.utf8 = true});

            puts(line);
        }
}

static void print_json(const Model *m, JsonMode mode)
{
    json_object *array = need(json_object_new_array());

    for (size_t i = 0; i < m->n_vms; i++)
        json_append(array, model_vm_to_json(&m->vms[i]));
    json_print(array, mode);
}

int verb_list(Client *c, char **arguments, sd_bus_error *error)
{
    _cleanup_(model_freep) Model *m = NULL;

    int r = model_read(c, &m, error);
    if (r < 0)
        return r;

    if (c->options.given & OPTION_NAMES)
        print_names(m);
    else if (c->options.json != JSON_OFF)
        print_json(m, c->options.json);
    else if (m->n_vms > 0) {
        print_tree(m);
        fflush(stdout);
        print_warnings(m);
    } else if (!c->options.quiet)
        puts(
            "No VM is attached. One whose QEMU has the service's monitor on its command line comes "
            "by itself (vmdiskd(8) says how); \"vmdiskctl attach\" brings one that listens.");
    return EXIT_DONE;
}
