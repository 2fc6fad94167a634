/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "help.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"

typedef struct Line {
    unsigned bit; /* OptionBit; 0 for what every verb takes */
    const char *text;
} Line;

static const Line of_verbs[] = {
    {OPTION_ACTIVE, "     --active          Commit the active image, too, in two phases: when the\n"
                    "                       job is ready it waits for pivot or abort"},
    {OPTION_WAIT, "     --wait            Wait until the job is ready or has ended"},
    {OPTION_PIVOT, "     --pivot           When it is ready, pivot; wait for the end"},
    {OPTION_KEEP, "     --keep-overlay    When it is ready, abort; wait for the end"},
    {OPTION_TIMEOUT, "     --timeout=SECS    Wait no longer than that; the job goes on"},
    {OPTION_TOP, "     --top=IMAGE       The uppermost image to commit"},
    {OPTION_BASE, "     --base=IMAGE      The image to commit into"},
    {OPTION_SHALLOW, "     --shallow         Commit into the image just below the top"},
    {OPTION_ON_ERROR,
     "     --on-error=WORD   On an I/O error: report (fail), stop or enospc (pause)"},
    {OPTION_SPEED, "     --speed=BYTES     Limit to BYTES[K|M|G|T] a second"},
    {OPTION_BACKING_FILE, "     --backing-file=NAME  What the image above the top is to record"},
    {OPTION_RELATIVE, "     --relative        Let it record a relative name"},
    {OPTION_OVERRIDE, "     --override        Commit although another overlay needs the base"},
    {OPTION_DROP_BITMAPS, "     --drop-bitmaps    Commit although dirty bitmaps are lost"},
    {OPTION_DEADLINE, "     --deadline=SECS   The job is to be ready by then"},
    {OPTION_ON_DEADLINE, "     --on-deadline=WORD  Else: keep-waiting, cancel or slow-guest"},
    {OPTION_DISK, "     --disk=NAME       Of a VM only this disk; can be given several times"},
    {OPTION_DRY_RUN, "     --dry-run         Only show what would be done, and what is in the way"},
};

static const Line common[] = {
    {0, "  -h --help            Show this help"},
    {0, "     --version         Show the version"},
    {0, "     --user            Ask the service of the user, on the session's bus"},
    {0, "  -H --host=[USER@]HOST  Ask the service of another host, over ssh"},
    {0, "     --json=MODE       Print JSON: short, pretty or off"},
    {OPTION_NAMES, "     --names           list, images: print names only, one a line"},
    {0, "     --no-ask-password Do not ask for a password"},
    {0, "  -q --quiet           Print errors only"},
};

/* Those that one of these options is about. */
static void print_lines(const Line *lines, size_t n, unsigned options)
{
    for (size_t i = 0; i < n; i++)
        if (lines[i].bit == 0 || (lines[i].bit & options))
            puts(lines[i].text);
}

void help_print(void)
{
    puts("vmdiskctl [OPTION...] COMMAND ...\n"
         "\n"
         "Commit disk images of running virtual machines.\n"
         "\n"
         "Commands:");
    for (const Verb *v = verbs; v->name; v++)
        printf("  %-10s %-17s %s\n", v->name, v->arguments, v->help);
    puts("\n"
         "A disk is named VM/DISK, as \"vmdiskctl list\" shows, or by its object path.\n"
         "Where a VM alone is named, all its disks are meant.\n"
         "\n"
         "Options of commit (--wait also of pivot and abort, --timeout also of wait):");
    print_lines(of_verbs, ELEMENTSOF(of_verbs), ~0U);
    puts("\nOptions:");
    print_lines(common, ELEMENTSOF(common), ~0U);
    puts("\n"
         "Exit status:\n"
         "  0 done  1 failed  2 wrong usage  3 denied  4 not found  5 busy or not ready\n"
         "  6 timed out  130 interrupted\n"
         "\n"
         "See vmdiskctl(1).");
}

void help_print_verb(const Verb *v)
{
    printf("vmdiskctl [OPTION...] %s%s%s\n\n%s.\n\nOptions:\n", v->name, *v->arguments ? " " : "",
           v->arguments, v->help);
    print_lines(of_verbs, ELEMENTSOF(of_verbs), v->options);
    print_lines(common, ELEMENTSOF(common), v->options);
    puts("\n\"vmdiskctl --help\" lists the other commands. See vmdiskctl(1).");
}
