/* Messages while work runs: notes, warnings and a progress bar, on standard error unless a log
 * takes them. The bar redraws one line on a terminal and prints a plain line every few seconds
 * elsewhere; on a narrow terminal the bar becomes shorter first. Control characters in texts are
 * escaped (base/escape.h). It shows nothing for work that ends within two seconds.
 *
 * The log is the only thing that a run does not hand down: each thread has a current one, which
 * whoever begins a run sets and restores (run_train), so that two runs in two threads, or one
 * within another, do not mix. As a parameter it would be in the signatures of the 550 functions (of
 * 2500 below cli/) from which some warning or progress bar is reached, and in 1200 calls.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct progress;

/* Texts are as they were given, not escaped; they and `p` last for the call. */
struct log {
    void (*line)(void *ctx, bool warning, const char *text);           /* NULL: standard error */
    void (*progress)(void *ctx, const struct progress *p, bool ended); /* NULL: likewise */
    void *ctx;
    bool quiet; /* on standard error: warnings only */
};

/* Makes a copy of it this thread's current log (NULL: no other); returns the one before, to be
 * restored. */
struct log log_swap(const struct log *l);
/* Of the current log. */
void log_set_quiet(bool quiet);
bool log_is_quiet(void);
void log_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

struct progress {
    const char *what; /* borrowed */
    long total, done;
    long skipped;  /* of those done: restored, not computed */
    double tokens; /* for tokens/s; 0: not shown */
    double start, last;
    int width; /* characters of the line drawn last */
};

double log_seconds(void); /* monotonic clock */
void progress_start(struct progress *p, const char *what, long total);
/* `extra` is short text shown after the bar ("loss 1.234"), or NULL. */
void progress_step(struct progress *p, long done, double tokens, const char *extra);
/* The same for restored work; it does not count for the estimated time. */
void progress_skip(struct progress *p, long done);
void progress_end(struct progress *p);

#endif
