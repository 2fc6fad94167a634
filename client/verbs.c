/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "verbs.h"

#include <string.h>

#include "cleanup.h"
#include "memory.h"
#include "near.h"

/* --pivot and --keep-overlay wait, too. */
#define WAITING (OPTION_WAIT | OPTION_PIVOT | OPTION_KEEP)
/* What only commit takes. */
#define CHOICE                                                                                     \
    (OPTION_TOP | OPTION_BASE | OPTION_SHALLOW | OPTION_ON_ERROR | OPTION_SPEED |                  \
     OPTION_BACKING_FILE | OPTION_RELATIVE | OPTION_OVERRIDE | OPTION_DROP_BITMAPS |               \
     OPTION_DEADLINE | OPTION_ON_DEADLINE | OPTION_DRY_RUN | OPTION_DISK)

const Verb verbs[] = {
    {"list", "", "Show VMs, disks and images", 0, OPTION_NAMES, verb_list},
    {"status", "VM[/DISK]", "Show one VM or disk, its chain, its job", 1, 0, verb_status},
    {"commit", "VM[/DISK]", "Commit the images of disks into their bases", 1,
     OPTION_ACTIVE | OPTION_TIMEOUT | WAITING | CHOICE, verb_commit},
    {"wait", "VM[/DISK]", "Wait until the job is ready or has ended", 1, OPTION_TIMEOUT, verb_wait},
    {"pivot", "VM[/DISK]", "End a ready job: the guest continues on the base", 1,
     OPTION_WAIT | OPTION_TIMEOUT, verb_pivot},
    {"abort", "VM[/DISK]", "End a job: the guest stays on the overlay", 1,
     OPTION_WAIT | OPTION_TIMEOUT, verb_abort},
    {"pause", "VM/DISK", "Hold the job", 1, 0, verb_pause},
    {"resume", "VM/DISK", "Let a held job go on", 1, 0, verb_resume},
    {"speed", "VM/DISK BYTES", "Limit the job to BYTES[K|M|G|T] a second", 2, 0, verb_speed},
    {"boot-image", "VM/DISK [DEFAULT]", "Print the image to start the VM from", 1, 0,
     verb_boot_image, .n_optional = 1},
    {"images", "[VM[/DISK]]", "Show what is on record of images", 0, OPTION_NAMES, verb_images,
     .n_optional = 1},
    {"forget", "IMAGE", "Drop what is on record of an image", 1, 0, verb_forget},
    {"attach", "NAME SOCKET", "Let the service use the QMP monitor of a VM", 2, 0, verb_attach},
    {"detach", "VM", "Take that monitor back", 1, 0, verb_detach},
    {"monitor", "", "Print jobs as they become ready and finish", 0, 0, verb_monitor},
    {},
};

static int refuse_verb(const char *word, sd_bus_error *error)
{
    char *names[ELEMENTSOF(verbs)];
    const char *near[NEAR_MAX];
    size_t n = 0;

    for (const Verb *v = verbs; v->name; v++)
        names[n++] = (char *)v->name;
    if (near_names(word, names, n, near) > 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "There is no command \"%s\". Did you mean \"%s\"?", word, near[0]);
    return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                             "There is no command \"%s\". \"vmdiskctl --help\" lists them.", word);
}

static int check_options(const Verb *v, const Options *o, sd_bus_error *error)
{
    unsigned foreign = o->given & ~v->options;

    if (foreign != 0)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "\"%s\" takes no %s. \"vmdiskctl %s --help\" shows what it takes.",
                                 v->name, option_bit_to_string(foreign & -foreign), v->name);
    if ((o->given & (OPTION_PIVOT | OPTION_KEEP)) && !(o->given & OPTION_ACTIVE))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "%s needs --active: only a commit of the active layer becomes "
                                 "ready and has two ways to end.",
                                 o->ending == ENDING_PIVOT ? "--pivot" : "--keep-overlay");
    if ((o->given & OPTION_DRY_RUN) && (o->given & (OPTION_WAIT | OPTION_TIMEOUT)))
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "--dry-run starts nothing that could be waited for: leave out %s.",
                                 o->given & OPTION_WAIT ? "--wait" : "--timeout");
    /* Where waiting has to be asked for, a time for it without it is a slip. */
    if ((o->given & OPTION_TIMEOUT) && (v->options & WAITING) && !(o->given & WAITING))
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "--timeout needs --wait: otherwise nothing is waited for.");
    return 0;
}

int verb_find(char **argv, const Options *options, const Verb **ret, sd_bus_error *error)
{
    const Verb *v = verbs;
    int n = 0;

    if (!argv[0])
        return sd_bus_error_set(error, SD_BUS_ERROR_INVALID_ARGS,
                                "A command is missing. \"vmdiskctl --help\" lists them.");
    while (v->name && strcmp(v->name, argv[0]) != 0)
        v++;
    if (!v->name)
        return refuse_verb(argv[0], error);

    while (argv[1 + n])
        n++;
    if (n < v->n_arguments || n > v->n_arguments + v->n_optional)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS,
                                 "Use \"%s\" as: vmdiskctl %s%s%s", v->name, v->name,
                                 *v->arguments ? " " : "", v->arguments);

    int r = check_options(v, options, error);
    if (r < 0)
        return r;
    *ret = v;
    return 0;
}
