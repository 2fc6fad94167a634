/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "exit-code.h"

#include <string.h>
#include <systemd/sd-bus.h>

#include "cleanup.h"
#include "names.h"

static const struct {
    const char *error;
    ExitCode code;
} table[] = {
    {SD_BUS_ERROR_INVALID_ARGS, EXIT_USAGE},
    {SD_BUS_ERROR_ACCESS_DENIED, EXIT_DENIED},
    {SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED, EXIT_DENIED},
    {ERROR_NO_SUCH_VM, EXIT_NOT_FOUND},
    {ERROR_NO_SUCH_DISK, EXIT_NOT_FOUND},
    {ERROR_NO_SUCH_IMAGE, EXIT_NOT_FOUND},
    {ERROR_NO_JOB, EXIT_NOT_FOUND},
    {SD_BUS_ERROR_SERVICE_UNKNOWN, EXIT_NOT_FOUND},
    {SD_BUS_ERROR_NAME_HAS_NO_OWNER, EXIT_NOT_FOUND},
    {SD_BUS_ERROR_FILE_NOT_FOUND, EXIT_NOT_FOUND},
    {ERROR_JOB_EXISTS, EXIT_BUSY},
    {ERROR_MONITOR_BUSY, EXIT_BUSY},
    {ERROR_IMAGE_IN_USE, EXIT_BUSY},
    {ERROR_NOT_READY, EXIT_BUSY},
    /* Waiting does not help. */
    {ERROR_STALE_IMAGE, EXIT_FAILED},
    {ERROR_TIMED_OUT, EXIT_TIMED_OUT},
    {SD_BUS_ERROR_TIMEOUT, EXIT_TIMED_OUT},
    {ERROR_INTERRUPTED, EXIT_INTERRUPTED},
};

ExitCode exit_code_from_error(const char *name)
{
    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (strcmp(table[i].error, name) == 0)
            return table[i].code;
    return EXIT_FAILED;
}
