/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "group.h"

#include <errno.h>
#include <string.h>

#include "commit-call.h"
#include "conclude.h"
#include "describe.h"
#include "exit-code.h"
#include "group-watch.h"
#include "memory.h"
#include "names.h"
#include "output.h"

/* What they have in common, "mixed" for nothing. */
static const char *common_result(const GroupMember *members, size_t n)
{
    const char *result = n > 0 ? members[0].result : "none";

    for (size_t i = 1; i < n; i++)
        if (strcmp(members[i].result, result) != 0)
            return "mixed";
    return result;
}

/* members: those that have a result. */
static void print_json(const Client *c, const Target *target, const char *result,
                       const GroupMember *members, size_t n)
{
    json_object *object = need(json_object_new_object());
    json_object *disks = need(json_object_new_array());

    for (size_t i = 0; i < n; i++) {
        json_object *disk = need(json_object_new_object());

        json_put(disk, "disk", json_text(members[i].name, /* empty_is_null= */ false));
        json_put(disk, "result", json_text(members[i].result, /* empty_is_null= */ false));
        json_put(disk, "message", json_text(members[i].message, /* empty_is_null= */ true));
        json_append(disks, disk);
    }
    json_put(object, "vm", json_text(target->vm->name, /* empty_is_null= */ false));
    json_put(object, "result", json_text(result, /* empty_is_null= */ false));
    json_put(object, "disks", disks);
    json_print(object, c->options.json);
}

/* Something is under way, or ready: no disk has a result yet. */
static int report_state(const Client *c, const Target *target, const char *word)
{
    if (c->options.json != JSON_OFF)
        print_json(c, target, word, /* members= */ NULL, 0);
    return EXIT_DONE;
}

static void print_member(const Target *target, const GroupMember *member, bool two_phases,
                         bool good)
{
    FILE *stream = good ? stdout : stderr;
    Look look = look_of(stream);
    _cleanup_(freep) char *name = text_for_people(member->name, look);
    _cleanup_(freep) char *result = text_for_people(member->result, look);
    _cleanup_(freep) char *message = text_for_people(member->message, look);
    const char *meaning = describe_result(member->result, two_phases);

    fprintf(stream, "%s/%s: %s", target->label, name, result);
    if (meaning)
        fprintf(stream, ". %s%s%s\n", meaning, *message ? " " : "", message);
    else
        fprintf(stream, "%s%s\n", *message ? ": " : ".", message);
}

static int report(const Client *c, const GroupWatch *w, unsigned expected)
{
    size_t n;
    const GroupMember *members = group_watch_members(w, &n);
    const Target *target = group_watch_target(w);
    bool all_good = n > 0;

    for (size_t i = 0; i < n; i++) {
        bool good = conclude_result_bit(members[i].result) & expected;

        all_good = all_good && good;
        if (!good || conclude_talks(c))
            print_member(target, &members[i], group_watch_has_two_phases(w), good);
    }
    if (c->options.json != JSON_OFF)
        print_json(c, target, common_result(members, n), members, n);
    return all_good ? EXIT_DONE : EXIT_FAILED;
}

/* The jobs go on without us: completes the error by how to come back to them. */
static int leave(const Client *c, const GroupWatch *w, int r, sd_bus_error *error)
{
    const Target *target = group_watch_target(w);
    _cleanup_(sd_bus_error_free) sd_bus_error complete = SD_BUS_ERROR_NULL;
    _cleanup_(freep) char *wait = client_command(c, "wait", target->name, target->vm->path);
    _cleanup_(freep) char *abort = client_command(c, "abort", target->name, target->vm->path);
    const char *end = describe_on_ready(group_watch_on_ready(w));
    _cleanup_(freep) char *choice =
        end ? need_format(", and each %s by itself when all are ready", end) : need(strdup(""));
    _cleanup_(freep) char *back = need_format(
        "The jobs go on%s. \"%s\" waits for them, \"%s\" ends them.", choice, wait, abort);

    if (r == -EINTR)
        sd_bus_error_set(&complete, error->name, back);
    else if (r == -ETIMEDOUT && c->expired)
        sd_bus_error_setf(&complete, error->name, "%s: the jobs were not through within %g s. %s",
                          target->label, (double)c->options.timeout_usec / 1e6, back);
    else
        sd_bus_error_setf(&complete, error->name, "%s %s", error->message, back);
    sd_bus_error_free(error);
    sd_bus_error_move(error, &complete);
    return r;
}

/* Until somebody has to decide, or nobody has any more. */
static int see_through(Client *c, GroupWatch *w, unsigned expected, sd_bus_error *error)
{
    const Target *target = group_watch_target(w);
    bool by_itself = c->options.ending != ENDING_OPEN || group_watch_on_ready(w);

    int r = group_watch_wait(w, by_itself ? WATCH_FINISHED : WATCH_READY, error);
    if (r < 0)
        return leave(c, w, r, error);
    if (group_watch_is_finished(w))
        return report(c, w, expected);

    if (conclude_talks(c)) {
        printf("%s: all jobs are ready. End them by\n", target->label);
        conclude_print_ways(c, target);
    }
    return report_state(c, target, "ready");
}

static unsigned expected_of(const Client *c)
{
    switch (c->options.ending) {
    case ENDING_OPEN:
        return RESULT_COMPLETED | RESULT_KEPT;
    case ENDING_PIVOT:
        return RESULT_COMPLETED;
    case ENDING_KEEP:
        return RESULT_KEPT;
    }
    return 0;
}

static int start_and_wait(Client *c, const Target *target, sd_bus_error *error)
{
    _cleanup_(group_watch_freep) GroupWatch *w = NULL;

    int r = group_watch_new(c, target, &w, error);
    if (r < 0)
        return r;
    r = commit_call(c, target, /* ret_reply= */ NULL, error);
    if (r < 0)
        return r;
    r = group_watch_follow(w, error);
    return r < 0 ? leave(c, w, r, error) : see_through(c, w, expected_of(c), error);
}

static int start_only(Client *c, const Target *target, sd_bus_error *error)
{
    int r = commit_call(c, target, /* ret_reply= */ NULL, error);
    if (r < 0)
        return r;
    if (conclude_talks(c)) {
        _cleanup_(freep) char *wait = client_command(c, "wait", target->name, target->vm->path);

        printf("%s: the jobs have started. \"%s\" waits for them.\n", target->label, wait);
    }
    return report_state(c, target, "started");
}

int group_commit(Client *c, const Target *target, sd_bus_error *error)
{
    bool waits = (c->options.given & OPTION_WAIT) || c->options.ending != ENDING_OPEN;

    return waits ? start_and_wait(c, target, error) : start_only(c, target, error);
}

int group_end(Client *c, const Target *target, const char *method, unsigned expected,
              sd_bus_error *error)
{
    _cleanup_(group_watch_freep) GroupWatch *w = NULL;
    bool waits = c->options.given & OPTION_WAIT;

    /* The jobs are looked at before: they may be gone when the answer is there. */
    int r = waits ? group_watch_new(c, target, &w, error) : 0;
    if (r >= 0 && waits)
        r = group_watch_follow(w, error);
    if (r < 0)
        return r;
    r = client_call(c, target->vm->path, INTERFACE_VM, method, /* ret_reply= */ NULL, error,
                    /* types= */ NULL);
    if (r < 0)
        return r;
    if (!waits) {
        _cleanup_(freep) char *wait = client_command(c, "wait", target->name, target->vm->path);

        if (conclude_talks(c))
            printf("%s: the jobs end. \"%s\" waits for that.\n", target->label, wait);
        return report_state(c, target, "accepted");
    }
    r = group_watch_wait(w, WATCH_FINISHED, error);
    return r < 0 ? leave(c, w, r, error) : report(c, w, expected);
}

int group_wait(Client *c, const Target *target, sd_bus_error *error)
{
    _cleanup_(group_watch_freep) GroupWatch *w = NULL;
    size_t n;

    int r = group_watch_new(c, target, &w, error);
    if (r < 0)
        return r;
    r = group_watch_follow(w, error);
    if (r < 0)
        return r;
    (void)group_watch_members(w, &n);
    if (n == 0)
        return sd_bus_error_setf(error, ERROR_NO_JOB,
                                 "No disks of %s are committed together. The job of one "
                                 "disk is named VM/DISK; \"vmdiskctl status\" shows which run.",
                                 target->label);
    return see_through(c, w, RESULT_COMPLETED | RESULT_KEPT, error);
}
