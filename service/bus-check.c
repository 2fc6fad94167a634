/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * org.vmdisk1.Disk.Check: the report on a commit as a dictionary. What has no value has no key.
 */
#include <string.h>

#include "bus.h"
#include "commit-check.h"
#include "commit.h"
#include "errors.h"
#include "log.h"

static int append_texts(sd_bus_message *m, const char *key, const CheckTexts *texts)
{
    int r = sd_bus_message_open_container(m, 'e', "sv");
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "s", key);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'v', "as");
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'a', "s");
    for (size_t i = 0; r >= 0 && i < texts->n; i++)
        r = sd_bus_message_append(m, "s", texts->items[i]);
    if (r < 0)
        return r;
    r = sd_bus_message_close_container(m);
    if (r < 0)
        return r;
    r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_images(sd_bus_message *m, const CommitReport *report)
{
    const Chain *chain = disk_chain(report->disk);

    int r = sd_bus_message_open_container(m, 'e', "sv");
    if (r < 0)
        return r;
    r = sd_bus_message_append(m, "s", "images");
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'v', "aa{sv}");
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(m, 'a', "a{sv}");
    for (size_t i = 0; r >= 0 && i < chain->n; i++)
        r = sd_bus_message_append(m, "a{sv}", 4, "index", "u", (uint32_t)i, "node", "s",
                                  chain->images[i].node, "file", "s", chain->images[i].file,
                                  "becomes", "s", check_becomes_to_string(report->becomes[i]));
    if (r < 0)
        return r;
    r = sd_bus_message_close_container(m);
    if (r < 0)
        return r;
    r = sd_bus_message_close_container(m);
    return r < 0 ? r : sd_bus_message_close_container(m);
}

static int append_number(sd_bus_message *m, const char *key, uint64_t value)
{
    return value > 0 ? sd_bus_message_append(m, "{sv}", key, "t", value) : 0;
}

/* What is known where the options mean images of the chain. */
static int append_plan(sd_bus_message *m, const CommitReport *report)
{
    const Chain *chain = disk_chain(report->disk);
    const ChainImage *top = &chain->images[report->range.top],
                     *base = &chain->images[report->range.base];

    int r = sd_bus_message_append(
        m, "{sv}{sv}{sv}{sv}{sv}{sv}{sv}", "top", "s", top->node, "top-file", "s", top->file,
        "base", "s", base->node, "base-file", "s", base->file, "base-size", "t", base->size,
        "base-read-only", "b", (int)base->read_only, "bytes-to-copy", "t", report->bytes_to_copy);
    if (r < 0)
        return r;
    r = append_number(m, "grows-to", report->grows_to);
    if (r < 0)
        return r;
    r = append_number(m, "room", report->room);
    if (r < 0)
        return r;
    r = append_images(m, report);
    if (r >= 0)
        r = append_texts(m, "bitmaps-kept", &report->bitmaps_kept);
    if (r >= 0)
        r = append_texts(m, "bitmaps-lost", &report->bitmaps_lost);
    return r < 0 ? r : append_texts(m, "other-overlays", &report->other_overlays);
}

static int append_verdict(sd_bus_message *m, const CommitReport *report)
{
    const Commit *job = disk_job(report->disk);

    int r = sd_bus_message_append(
        m, "{sv}{sv}{sv}", "possible", "b", (int)commit_report_is_possible(report), "active", "b",
        (int)report->active, "chain-depth", "u", (uint32_t)disk_chain(report->disk)->n);
    if (r >= 0 && report->refusal.kind != REFUSAL_NONE)
        r = sd_bus_message_append(m, "{sv}{sv}", "error", "s",
                                  refusal_kind_to_string(report->refusal.kind), "message", "s",
                                  report->refusal.text);
    if (r >= 0 && report->left_out)
        r = sd_bus_message_append(m, "{sv}", "left-out", "b", 1);
    if (r >= 0 && report->together.text)
        r = sd_bus_message_append(m, "{sv}", "together", "s", report->together.text);
    if (r >= 0 && job)
        r = sd_bus_message_append(m, "{sv}", "job", "s", commit_id(job));
    if (r >= 0)
        r = append_texts(m, "obstacles", &report->obstacles);
    if (r >= 0)
        r = append_texts(m, "warnings", &report->warnings);
    return r < 0 ? r : append_texts(m, "commands", &report->commands);
}

static int reply_report(sd_bus_message *call, const CommitReport *report)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

    int r = sd_bus_message_new_method_return(call, &reply);
    if (r < 0)
        return r;
    r = sd_bus_message_open_container(reply, 'a', "{sv}");
    if (r < 0)
        return r;
    r = append_verdict(reply, report);
    if (r >= 0 && report->resolved)
        r = append_plan(reply, report);
    if (r < 0)
        return r;
    r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_message_send(reply);
}

static void on_checked(const CommitReport *report, const Refusal *refusal, void *userdata)
{
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = userdata;

    int r = report ? reply_report(call, report) : errors_reply(call, refusal);
    if (r < 0)
        log_line(LOG_WARNING, NULL, "A reply to Check cannot be sent: %s", strerror(-r));
}

int bus_disk_check(sd_bus_message *message, void *userdata, sd_bus_error *error)
{
    Disk *d = userdata;
    CommitOptions options = {};
    Refusal refusal = {REFUSAL_NONE, NULL};

    int r = bus_disk_read_options(message, d, &options, &refusal);
    if (r >= 0 && refusal.kind != REFUSAL_NONE) {
        r = errors_reply(message, &refusal);
    } else if (r >= 0) {
        disk_check(d, &options, bus_caller_uid(bus_of(disk_vm(d)), message), on_checked,
                   sd_bus_message_ref(message));
        r = 1;
    }
    refusal_done(&refusal);
    return r;
}
