#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/escape.h"

#define QUICK        2.0 /* seconds of work that show no bar */
#define REDRAW_EVERY 0.1
#define LINE_EVERY   5.0

enum { BAR = 20, SHORT_BAR = 4, LINE = 256 };

static _Thread_local struct log current;
/* Characters of the bar on the terminal's current line; 0: none. */
static _Thread_local int drawn;

bool log_is_quiet(void)
{
    return current.quiet;
}

void log_set_quiet(bool quiet)
{
    current.quiet = quiet;
}

struct log log_swap(const struct log *l)
{
    const struct log before = current;
    current = l ? *l : before;
    return before;
}

static void clear_bar(void)
{
    if (drawn)
        fprintf(stderr, "\r%*s\r", drawn, "");
    drawn = 0;
}

static void print_line(bool warning, const char *fmt, va_list ap)
{
    char *text;
    if (!current.line)
        clear_bar();
    if (vasprintf(&text, fmt, ap) < 0)
        return;
    if (current.line) {
        current.line(current.ctx, warning, text);
    } else {
        fputs(warning ? "warning: " : "", stderr);
        escape_line(stderr, text);
        fputc('\n', stderr);
    }
    free(text);
}

void log_note(const char *fmt, ...)
{
    if (current.quiet && !current.line)
        return;
    va_list ap;
    va_start(ap, fmt);
    print_line(false, fmt, ap);
    va_end(ap);
}

void log_warn(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(true, fmt, ap);
    va_end(ap);
}

double log_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Appends to a line of LINE bytes; what does not fit is cut off. */
static int __attribute__((format(printf, 3, 4))) put(char *line, int at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + at, (size_t)(LINE - at), fmt, ap);
    va_end(ap);
    return n < 0 ? at : at + n < LINE ? at + n : LINE - 1;
}

static int put_time(char *line, int at, const char *what, double seconds)
{
    long s = (long)(seconds + 0.5);
    if (s >= 3600)
        return put(line, at, "  %s %ld:%02ld:%02ld", what, s / 3600, s / 60 % 60, s % 60);
    return put(line, at, "  %s %ld:%02ld", what, s / 60, s % 60);
}

/* "train  [#####...............]  25%  50/200  1234 tokens/s  ETA 1:23  loss 1.234" */
struct layout {
    int bar;   /* characters of the bar */
    bool rate; /* shows tokens per second */
};

static int compose(const struct progress *p, const struct layout *l, double now, bool ended,
                   const char *extra, char *line)
{
    double took = now - p->start;
    long worked = p->done - p->skipped;
    int at = put(line, 0, "%s", p->what);
    if (p->total > 0) {
        double part = (double)p->done / (double)p->total;
        part = part < 0 ? 0 : part > 1 ? 1 : part;
        int full = (int)(part * l->bar);
        at = put(line, at, "  [%.*s%.*s]  %2.0f%%  %ld/%ld", full, "####################",
                 l->bar - full, "....................", 100 * part, p->done, p->total);
    } else {
        at = put(line, at, "  %ld", p->done);
    }
    if (l->rate && p->tokens > 0 && took > 0)
        at = put(line, at, "  %.0f tokens/s", p->tokens / took);
    if (ended)
        at = put_time(line, at, "in", took);
    else if (worked > 0 && p->total > p->done)
        at = put_time(line, at, "ETA", took * (double)(p->total - p->done) / (double)worked);
    return extra && *extra ? put(line, at, "  %s", extra) : at;
}

static int terminal_width(void)
{
    struct winsize w;
    return !ioctl(STDERR_FILENO, TIOCGWINSZ, &w) && w.ws_col > 1 ? w.ws_col : 80;
}

static void draw(struct progress *p, double now, bool ended, const char *extra)
{
    char line[LINE];
    struct layout l = {BAR, true};
    int n = compose(p, &l, now, ended, extra, line);
    p->last = now;
    if (!isatty(STDERR_FILENO)) {
        fprintf(stderr, "%s\n", line);
        p->width = n;
        return;
    }
    /* A line as wide as the terminal would wrap, and could not be redrawn. */
    int most = terminal_width() - 1;
    if (n > most) {
        l.bar = BAR - (n - most) > SHORT_BAR ? BAR - (n - most) : SHORT_BAR;
        n = compose(p, &l, now, ended, extra, line);
    }
    if (n > most) {
        l.rate = false;
        n = compose(p, &l, now, ended, extra, line);
    }
    n = n < most ? n : most;
    fprintf(stderr, "\r%.*s%*s%s", n, line, drawn > n ? drawn - n : 0, "", ended ? "\n" : "");
    fflush(stderr);
    p->width = n;
    drawn = ended ? 0 : n;
}

void progress_start(struct progress *p, const char *what, long total)
{
    double now = log_seconds();
    *p = (struct progress){.what = what, .total = total, .start = now, .last = now - LINE_EVERY};
}

void progress_step(struct progress *p, long done, double tokens, const char *extra)
{
    double now = log_seconds();
    p->done = done;
    p->tokens = tokens;
    if (current.progress) {
        current.progress(current.ctx, p, false);
        return;
    }
    if (current.quiet || now - p->start < QUICK || done == p->total)
        return; /* progress_end draws the last state */
    if (now - p->last >= (isatty(STDERR_FILENO) ? REDRAW_EVERY : LINE_EVERY))
        draw(p, now, false, extra);
}

void progress_skip(struct progress *p, long done)
{
    p->skipped += done - p->done;
    p->done = done;
}

void progress_end(struct progress *p)
{
    double now = log_seconds();
    if (current.progress) {
        current.progress(current.ctx, p, true);
        return;
    }
    if (p->width || (!current.quiet && p->done && now - p->start >= QUICK))
        draw(p, now, true, NULL);
    p->width = 0;
}
