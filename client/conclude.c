/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conclude.h"

#include <errno.h>
#include <string.h>

#include "describe.h"
#include "exit-code.h"
#include "memory.h"
#include "names.h"
#include "output.h"

/* Errors after which the published state says whether somebody else was faster. */
static bool is_overtaken(const sd_bus_error *error)
{
    return client_error_is_absence(error) ||
           sd_bus_error_has_names(error, ERROR_NO_JOB, ERROR_NOT_READY, ERROR_DISCONNECTED,
                                  ERROR_NO_SUCH_VM, ERROR_NO_SUCH_DISK);
}

/* The call has failed with r. 0: the job ends, or has ended; 1: the call has to be made again; r,
 * or another negative errno with the error set: it failed for good. */
static int handle_failure(Watch *w, int r, sd_bus_error *error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error why = SD_BUS_ERROR_NULL;
    /* Without an answer nobody knows whether the call has taken effect. */
    bool unanswered = client_error_is_absence(error);

    if (!is_overtaken(error))
        return r;

    int k = watch_recheck(w, &why);
    if (k < 0) {
        sd_bus_error_free(error);
        sd_bus_error_move(error, &why);
        return k;
    }
    if (watch_outcome(w)->result || (unanswered && watch_is_ending(w)))
        return 0;
    return unanswered ? 1 : r;
}

int conclude(Client *c, Watch *w, const char *method, sd_bus_error *error)
{
    const Outcome *outcome = watch_outcome(w);
    int r;

    do {
        sd_bus_error_free(error);
        r = client_call(c, watch_target(w)->disk->path, INTERFACE_DISK, method,
                        /* ret_reply= */ NULL, error, /* types= */ NULL);
        if (r < 0 && !outcome->result)
            r = handle_failure(w, r, error);
    } while (r > 0 && !outcome->result);
    if (r < 0 && !outcome->result)
        return r;

    sd_bus_error_free(error);
    return watch_wait(w, WATCH_FINISHED, error);
}

void conclude_print_json(const Client *c, const Target *target, const char *job, const char *type,
                         const Outcome *outcome)
{
    json_object *object = need(json_object_new_object());

    json_put(object, "vm", json_text(target->vm->name, /* empty_is_null= */ false));
    json_put(object, "disk", json_text(target->disk->name, /* empty_is_null= */ false));
    json_put(object, "job", json_text(job, /* empty_is_null= */ true));
    json_put(object, "type", json_text(type, /* empty_is_null= */ true));
    json_put(object, "result", json_text(outcome->result, /* empty_is_null= */ false));
    json_put(object, "error", json_text(outcome->error, /* empty_is_null= */ true));
    json_put(object, "message", json_text(outcome->message, /* empty_is_null= */ true));
    json_print(object, c->options.json);
}

unsigned conclude_result_bit(const char *result)
{
    static const struct {
        const char *result;
        ResultBit bit;
    } table[] = {
        {"completed", RESULT_COMPLETED},
        {"kept", RESULT_KEPT},
        {"cancelled", RESULT_CANCELLED},
    };

    for (size_t i = 0; i < ELEMENTSOF(table); i++)
        if (strcmp(table[i].result, result) == 0)
            return table[i].bit;
    return 0;
}

bool conclude_talks(const Client *c)
{
    return c->options.json == JSON_OFF && !c->options.quiet;
}

/* An end that is well in itself, but which somebody else has chosen, is said to be that. meaning: a
 * sentence about the disk, or NULL. */
static void print_result(FILE *stream, const Target *target, const Outcome *outcome,
                         const char *meaning, bool good)
{
    Look look = look_of(stream);
    _cleanup_(freep) char *result = text_for_people(outcome->result, look);
    _cleanup_(freep) char *message = text_for_people(outcome->message, look);
    bool other = !good && conclude_result_bit(outcome->result) & (RESULT_COMPLETED | RESULT_KEPT);

    fprintf(stream, "%s: %s%s", target->label, result,
            other ? ", which is not what was asked for" : "");
    if (meaning)
        fprintf(stream, ". %s%s%s\n", meaning, *message ? " " : "", message);
    else
        fprintf(stream, "%s%s\n", *message ? ": " : ".", message);
}

static int report(const Client *c, const Target *target, const char *job, const char *type,
                  const Outcome *outcome, const char *meaning, unsigned expected)
{
    bool good = conclude_result_bit(outcome->result) & expected;

    if (!good || conclude_talks(c))
        print_result(good ? stdout : stderr, target, outcome, meaning, good);
    if (c->options.json != JSON_OFF)
        conclude_print_json(c, target, job, type, outcome);
    return good ? EXIT_DONE : EXIT_FAILED;
}

int conclude_report(const Client *c, const Watch *w, unsigned expected)
{
    const Job *job = watch_job(w);
    const Outcome *outcome = watch_outcome(w);
    const char *meaning = describe_result(outcome->result, watch_has_two_phases(w));

    return report(c, watch_target(w), job->id, job->type, outcome, meaning, expected);
}

int conclude_report_last(const Client *c, const Target *target, unsigned expected)
{
    const LastJob *last = &target->disk->last_job;
    Outcome outcome = {
        .result = last->result ? last->result : "lost",
        .error = last->error ? last->error : "",
        .message = last->message ? last->message : "",
    };

    return report(c, target, last->id, last->type, &outcome, /* meaning= */ NULL, expected);
}

char *conclude_command(const Client *c, const char *verb, const Target *target)
{
    const Vm *vm = target->vm;

    if (!target->disk || model_is_grouped(vm, target->disk))
        return client_command(c, verb, vm->name, vm->path);
    return client_command(c, verb, target->name, target->disk->path);
}

void conclude_print_ways(const Client *c, const Target *target)
{
    _cleanup_(freep) char *pivot = conclude_command(c, "pivot", target);
    _cleanup_(freep) char *abort = conclude_command(c, "abort", target);

    printf("  %s  the guest continues on the base\n"
           "  %s  the guest stays on the overlay, the base has the copy\n",
           pivot, abort);
}

int conclude_wait(Client *c, Watch *w, sd_bus_error *error)
{
    const Target *target = watch_target(w);
    const Job *job = watch_job(w);

    int r = watch_wait(w, watch_ends_by_itself(w) ? WATCH_FINISHED : WATCH_READY, error);
    if (r < 0)
        return r;
    if (watch_outcome(w)->result)
        return conclude_report(c, w, RESULT_COMPLETED | RESULT_KEPT);

    if (conclude_talks(c)) {
        printf("%s: the job is ready. End it by\n", target->label);
        conclude_print_ways(c, target);
    }
    if (c->options.json != JSON_OFF)
        conclude_print_json(c, target, job->id, job->type, &(Outcome){.result = "ready"});
    return EXIT_DONE;
}

/* How to come back to the job. The caller frees. */
static char *way_back(const Client *c, const Watch *w)
{
    const Target *target = watch_target(w);
    const char *path = target->disk->path;
    _cleanup_(freep) char *wait = client_command(c, "wait", target->name, path);
    _cleanup_(freep) char *pivot = conclude_command(c, "pivot", target);
    _cleanup_(freep) char *abort = conclude_command(c, "abort", target);

    if (watch_is_ending(w))
        return need_format("The job goes on. \"%s\" waits for it.", wait);
    if (watch_ends_by_itself(w))
        return need_format("The job goes on, and %s by itself when it is ready. \"%s\" waits for "
                           "it, \"%s\" ends it before.",
                           describe_on_ready(watch_job(w)->on_ready), wait, abort);
    if (watch_has_two_phases(w))
        return need_format("The job goes on. \"%s\" waits for it, \"%s\" or \"%s\" ends it.", wait,
                           pivot, abort);
    return need_format("The job goes on. \"%s\" waits for it, \"%s\" ends it.", wait, abort);
}

int conclude_leave(const Client *c, const Watch *w, int r, sd_bus_error *error)
{
    _cleanup_(sd_bus_error_free) sd_bus_error complete = SD_BUS_ERROR_NULL;
    _cleanup_(freep) char *back = way_back(c, w);
    const char *label = watch_target(w)->label;
    bool to_ready = watch_has_two_phases(w) && !watch_is_ready(w) && !watch_ends_by_itself(w);

    if (r == -EINTR)
        sd_bus_error_set(&complete, error->name, back);
    else if (r == -ETIMEDOUT && c->expired)
        sd_bus_error_setf(&complete, error->name, "%s: the job did not %s within %g s. %s", label,
                          to_ready ? "become ready" : "end", (double)c->options.timeout_usec / 1e6,
                          back);
    else
        sd_bus_error_setf(&complete, error->name, "%s %s", error->message, back);

    sd_bus_error_free(error);
    sd_bus_error_move(error, &complete);
    return r;
}
