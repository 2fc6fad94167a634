/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "progress.h"

#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

#include "describe.h"
#include "memory.h"
#include "output.h"

/* Columns of the bar alone; what else is on the line takes about as much as the narrowest. */
#define BAR_MIN 10
#define BAR_MAX 40

/* A shorter time says more about the clock than about the job. */
#define MEASURE_USEC 2000000

struct Progress {
    char *label;
    bool quiet, drawn;
    Look look;
    char *state;       /* last shown */
    unsigned tenth;    /* of the last line */
    uint64_t offset;   /* when the state changed */
    uint64_t usec;     /* when that was */
    double per_second; /* bytes since then; 0 as long as that cannot be told */
};

Progress *progress_new(const char *label, bool quiet)
{
    Progress *p = need(calloc(1, sizeof(*p)));

    p->label = need(strdup(label));
    p->quiet = quiet;
    p->look = look_of(stderr);
    return p;
}

void progress_hide(Progress *p)
{
    if (!p->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr); /* what follows may go to stdout, which is the same terminal */
    p->drawn = false;
}

Progress *progress_free(Progress *p)
{
    if (!p)
        return NULL;
    progress_hide(p);
    free(p->label);
    free(p->state);
    free(p);
    return NULL;
}

static uint64_t now_usec(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* The mean since the state last changed: QEMU copies in bursts, above all where a speed is set. */
static void measure(Progress *p, const Job *job, const char *state)
{
    uint64_t now = now_usec();

    if (!p->state || strcmp(p->state, state) != 0 || job->offset < p->offset) {
        free(p->state);
        p->state = need(strdup(state));
        p->offset = job->offset;
        p->usec = now;
    }
    p->per_second = now - p->usec < MEASURE_USEC
                        ? 0
                        : (double)(job->offset - p->offset) * 1e6 / (double)(now - p->usec);
}

/* ", 12.0 MiB/s, 0:48 left", or nothing. The caller frees. */
static char *rate_for_people(const Progress *p, const Job *job)
{
    if (p->per_second < 1 || job->offset >= job->length)
        return need(strdup(""));

    _cleanup_(freep) char *rate = size_for_people((uint64_t)p->per_second);
    double left = (double)(job->length - job->offset) / p->per_second;
    if (left >= 360000) /* 100 hours: nothing that can be foretold */
        return need_format(", %s/s", rate);
    unsigned s = (unsigned)left;
    if (s >= 3600)
        return need_format(", %s/s, %u:%02u:%02u left", rate, s / 3600, s / 60 % 60, s % 60);
    return need_format(", %s/s, %u:%02u left", rate, s / 60, s % 60);
}

static size_t terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

static void draw_bar(const Progress *p, size_t width, unsigned percent)
{
    size_t full = width * percent / 100;

    fputs(p->look.utf8 ? " ▕" : " [", stderr);
    for (size_t i = 0; i < width; i++)
        fputs(i < full ? (p->look.utf8 ? "█" : "#") : (p->look.utf8 ? "░" : "-"), stderr);
    fputs(p->look.utf8 ? "▏" : "]", stderr);
}

/* A line that is longer than the terminal is wide could not be drawn over: what does not fit is
 * left out, the bar first. */
static void draw(Progress *p, const Job *job, const char *state, unsigned percent)
{
    _cleanup_(freep) char *offset = size_for_people(job->offset);
    _cleanup_(freep) char *length = size_for_people(job->length);
    _cleanup_(freep) char *rate = rate_for_people(p, job);
    _cleanup_(freep) char *head = need_format("%s: %s %3u%%", p->label, state, percent);
    _cleanup_(freep) char *tail = need_format(" %s of %s%s", offset, length, rate);
    Tint tint = describe_tint(state);
    size_t room = terminal_width() - 1, used = text_width(head);

    fprintf(stderr, "\r\033[K");
    p->drawn = true;
    if (used > room) {
        fprintf(stderr, "%3u%%", percent);
        return;
    }
    fprintf(stderr, "%s: %s%s%s %3u%%", p->label, tint_begin(p->look, tint), state,
            tint_end(p->look, tint), percent);

    bool with_tail = used + text_width(tail) <= room;
    if (with_tail)
        used += text_width(tail);
    if (used + BAR_MIN + 3 <= room)
        draw_bar(p, room - used - 3 < BAR_MAX ? room - used - 3 : BAR_MAX, percent);
    if (with_tail)
        fputs(tail, stderr);
}

/* A line for a new state, and for each tenth of the way. */
static void write_line(Progress *p, const Job *job, const char *state, unsigned percent)
{
    if (p->state && strcmp(p->state, state) == 0 && percent / 10 <= p->tenth)
        return;

    _cleanup_(freep) char *offset = size_for_people(job->offset);
    _cleanup_(freep) char *length = size_for_people(job->length);
    if (job->length > 0)
        fprintf(stderr, "%s: %s %u%% (%s of %s)\n", p->label, state, percent, offset, length);
    else
        fprintf(stderr, "%s: %s\n", p->label, state);
    p->tenth = percent / 10;
    free(p->state);
    p->state = need(strdup(state));
}

void progress_show(Progress *p, const Job *job)
{
    if (p->quiet)
        return;

    unsigned percent = describe_percent(job->offset, job->length);
    _cleanup_(freep) char *state = text_for_people(job->state ? job->state : "", p->look);

    if (!p->look.terminal) {
        write_line(p, job, state, percent);
        return;
    }
    measure(p, job, state);
    draw(p, job, state, percent);
    fflush(stderr);
}
