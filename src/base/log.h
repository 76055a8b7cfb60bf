/* Messages on standard error while a command runs: notes, warnings and a progress bar. `quiet`
 * leaves warnings only. The bar redraws one line on a terminal and prints a plain line every
 * few seconds elsewhere; control characters in texts are escaped (base/escape.h). It shows nothing
 * for work that ends within two seconds.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

struct progress;

/* Where notes, warnings and progress go instead of standard error; NULL members: there. Texts are
 * as they were given, not escaped; they and `p` last for the call. */
struct log_sink {
    void (*line)(void *ctx, bool warning, const char *text);
    void (*progress)(void *ctx, const struct progress *p, bool ended);
    void *ctx;
};

/* Returns the one before. */
struct log_sink log_set_sink(struct log_sink s);

void log_set_quiet(bool quiet);
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
