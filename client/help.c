/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "help.h"

#include <stdio.h>

#include "verbs.h"

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
         "Options of commit (--wait also of pivot and abort, --timeout also of wait):\n"
         "     --active          Commit the active image, too, in two phases: when the\n"
         "                       job is ready it waits for pivot or abort\n"
         "     --wait            Wait until the job is ready or has ended\n"
         "     --pivot           When it is ready, pivot; wait for the end\n"
         "     --keep-overlay    When it is ready, abort; wait for the end\n"
         "     --timeout=SECS    Wait no longer than that; the job goes on\n"
         "     --top=IMAGE       The uppermost image to commit\n"
         "     --base=IMAGE      The image to commit into\n"
         "     --shallow         Commit into the image just below the top\n"
         "     --on-error=WORD   On an I/O error: report (fail), stop or enospc (pause)\n"
         "     --speed=BYTES     Limit to BYTES[K|M|G|T] a second\n"
         "     --backing-file=NAME  What the image above the top is to record\n"
         "     --relative        Let it record a relative name\n"
         "     --override        Commit although another overlay needs the base\n"
         "     --drop-bitmaps    Commit although dirty bitmaps are lost\n"
         "     --deadline=SECS   The job is to be ready by then\n"
         "     --on-deadline=WORD  Else: keep-waiting, cancel or slow-guest\n"
         "     --disk=NAME       Of a VM only this disk; can be given several times\n"
         "     --dry-run         Only show what would be done, and what is in the way\n"
         "\n"
         "Options:\n"
         "  -h --help            Show this help\n"
         "     --version         Show the version\n"
         "     --user            Ask the service of the user, on the session's bus\n"
         "  -H --host=[USER@]HOST  Ask the service of another host, over ssh\n"
         "     --json=MODE       Print JSON: short, pretty or off\n"
         "     --names           list, images: print names only, one a line\n"
         "     --no-ask-password Do not ask for a password\n"
         "  -q --quiet           Print errors only\n"
         "\n"
         "Exit status:\n"
         "  0 done  1 failed  2 wrong usage  3 denied  4 not found  5 busy or not ready\n"
         "  6 timed out  130 interrupted\n"
         "\n"
         "See vmdiskctl(1).");
}
