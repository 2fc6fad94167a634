/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "commit-options.h"

#include <errno.h>
#include <string.h>

static bool copy_string(const char *s, char **ret)
{
    *ret = s ? strdup(s) : NULL;
    return *ret || !s;
}

int commit_options_copy(const CommitOptions *options, CommitOptions *ret)
{
    CommitOptions copy = *options;
    bool top = copy_string(options->top, &copy.top);
    bool base = copy_string(options->base, &copy.base);
    bool backing_file = copy_string(options->backing_file, &copy.backing_file);

    if (!top || !base || !backing_file) {
        commit_options_done(&copy);
        return -ENOMEM;
    }
    *ret = copy;
    return 0;
}

void commit_options_done(CommitOptions *options)
{
    free(options->top);
    free(options->base);
    free(options->backing_file);
    *options = (CommitOptions){};
}
