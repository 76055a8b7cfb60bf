/* The thread that computes: it takes replies from an inbox, which other threads fill, steps the
 * schedulers of the models in turn, and ends what takes too long. It is the caller's thread, as
 * that is the one whose OpenMP team is warm.
 */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "serve/reply.h"
#include "serve/served.h"

enum worker_count { /* since the start */
                    COUNT_PROMPT_TOKENS,
                    COUNT_SHARED_TOKENS,
                    COUNT_NEW_TOKENS,
                    COUNT_STEPS,
                    COUNT_RUNNING, /* now */
                    COUNT_WAITING, /* now */
                    COUNT_SLOTS,
                    WORKER_COUNTS
};

struct worker {
    struct served *served; /* borrowed [n] */
    int n, most;           /* most answers that may be under way, running or waiting */
    pthread_mutex_t lock;  /* of what follows, and of the sinks' users */
    pthread_cond_t work;
    struct reply *inbox, **inbox_end;
    int open;      /* answers under way */
    bool draining; /* nothing is taken any more */
    uint64_t counts[WORKER_COUNTS];
    struct reply *active; /* the thread's own */
    /* Called some 50 times a second, without the lock. */
    void (*tick)(void *ctx);
    void *tick_ctx;
};

void worker_init(struct worker *w, struct served *served, int n, int waiting);
void worker_fini(struct worker *w);
/* From any thread. ERR_BUSY: too many wait, or the worker stops; the reply stays the caller's. */
int worker_submit(struct worker *w, struct reply *r, struct err *e);
/* Runs until *stop is set, then until what is under way has ended, at most `grace` seconds. */
void worker_run(struct worker *w, const volatile sig_atomic_t *stop, double grace);

#endif
