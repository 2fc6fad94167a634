/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "describe.h"

#include <string.h>

#include "memory.h"

Tint describe_tint(const char *job_state)
{
    if (!job_state || strcmp(job_state, "none") == 0)
        return TINT_NONE;
    return strcmp(job_state, "ready") == 0 ? TINT_GOOD : TINT_ATTENTION;
}

unsigned describe_percent(uint64_t offset, uint64_t length)
{
    if (length == 0)
        return 0;
    return offset >= length ? 100 : (unsigned)((double)offset * 100 / (double)length);
}

char *describe_job(const Job *job, Look look)
{
    const char *type = job->type ? job->type : "job";
    const char *state = job->state ? job->state : "";
    _cleanup_(freep) char *text = need_format("%s %s", type, state);
    _cleanup_(freep) char *shown = text_for_people(text, look);

    /* Copying is the one thing of which a percentage says something. */
    if (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0)
        return need_format("%s %u%%", shown, describe_percent(job->offset, job->length));
    return TAKE_PTR(shown);
}

const char *describe_on_ready(const char *on_ready)
{
    if (on_ready && strcmp(on_ready, "pivot") == 0)
        return "pivots";
    if (on_ready && strcmp(on_ready, "keep") == 0)
        return "keeps the overlay";
    return NULL;
}

const char *describe_result(const char *result, bool two_phases)
{
    static const struct {
        const char *result, *one_phase, *two_phases;
    } table[] = {
        {"completed", "The images below the active layer are merged into the base.",
         "The guest continues on the base. The overlay is out of use: start the VM from the base "
         "from now on."},
        {"kept", "The base has the copy, the guest stays on the overlay.",
         "The base has the copy, the guest stays on the overlay."},
        {"cancelled", "The chain is as it was, the base is partly written.",
         "The chain is as it was, the base is partly written."},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (strcmp(table[i].result, result) == 0)
            return two_phases ? table[i].two_phases : table[i].one_phase;
    return NULL;
}
