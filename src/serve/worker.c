#include "serve/worker.h"

#include <errno.h>
#include <time.h>

#include "base/log.h"

#define TICK 0.02 /* seconds */

void worker_init(struct worker *w, struct served *served, int n, int waiting)
{
    *w = (struct worker){.served = served, .n = n, .most = waiting};
    w->inbox_end = &w->inbox;
    for (int i = 0; i < n; i++)
        w->most += served[i].scheduler.o.slots;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void worker_fini(struct worker *w)
{
    pthread_cond_destroy(&w->work);
    pthread_mutex_destroy(&w->lock);
}

int worker_submit(struct worker *w, struct reply *r, struct err *e)
{
    int rc = 0;
    pthread_mutex_lock(&w->lock);
    if (w->draining)
        rc = err_code(e, ERR_INTERRUPTED, "the server stops");
    else if (w->open && r->n > w->most - w->open)
        rc = err_code(e, ERR_BUSY, "%d answers are under way or waiting already; try again later",
                      w->open);
    else {
        w->open += r->n;
        r->next = NULL;
        *w->inbox_end = r;
        w->inbox_end = &r->next;
        pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
    return rc;
}

/* Waits for work at most a tick, unless there is some already; takes what is new. */
static struct reply *receive(struct worker *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(TICK * 1e9);
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&w->lock);
    while (!w->inbox && !w->active)
        if (pthread_cond_timedwait(&w->work, &w->lock, &until) == ETIMEDOUT)
            break;
    struct reply *list = w->inbox;
    w->inbox = NULL;
    w->inbox_end = &w->inbox;
    pthread_mutex_unlock(&w->lock);
    return list;
}

static void start(struct worker *w, struct reply *list)
{
    for (struct reply *r = list, *next; r; r = next) {
        next = r->next;
        r->next = w->active;
        w->active = r;
        reply_start(r);
    }
}

static void check_time(struct worker *w, bool stop)
{
    const double now = log_seconds();
    for (struct reply *r = w->active; r; r = r->next) {
        const bool late = r->limits.deadline > 0 && now > r->limits.deadline;
        if ((late || stop) && r->left)
            reply_cancel(r, late);
    }
}

/* Frees the replies that have ended; counts. */
static void reap(struct worker *w)
{
    int gone = 0;
    for (struct reply **at = &w->active; *at;) {
        struct reply *r = *at;
        if (r->left) {
            at = &r->next;
            continue;
        }
        *at = r->next;
        gone += r->n;
        reply_free(r);
    }
    pthread_mutex_lock(&w->lock);
    w->open -= gone;
    for (int i = 0; i < WORKER_COUNTS; i++)
        w->counts[i] = 0;
    for (int i = 0; i < w->n; i++) {
        const struct scheduler *s = &w->served[i].scheduler;
        const uint64_t now[WORKER_COUNTS] = {
            [COUNT_PROMPT_TOKENS] = s->prompt_tokens, [COUNT_SHARED_TOKENS] = s->shared_tokens,
            [COUNT_NEW_TOKENS] = s->new_tokens,       [COUNT_STEPS] = s->steps,
            [COUNT_RUNNING] = (uint64_t)s->running,   [COUNT_WAITING] = (uint64_t)s->waiting,
            [COUNT_SLOTS] = (uint64_t)s->o.slots};
        for (int k = 0; k < WORKER_COUNTS; k++)
            w->counts[k] += now[k];
    }
    pthread_mutex_unlock(&w->lock);
}

void worker_run(struct worker *w, const volatile sig_atomic_t *stop, double grace)
{
    double ticked = 0, until = 0;
    for (;;) {
        start(w, receive(w));
        for (int i = 0; i < w->n; i++)
            if (w->served[i].scheduler.running || w->served[i].scheduler.waiting)
                scheduler_step(&w->served[i].scheduler);
        reap(w);
        const double now = log_seconds();
        if (now - ticked >= TICK) {
            ticked = now;
            check_time(w, until && now > until);
            w->tick(w->tick_ctx);
        }
        if (*stop && !until) {
            until = now + grace;
            pthread_mutex_lock(&w->lock);
            w->draining = true;
            pthread_mutex_unlock(&w->lock);
        }
        if (until && !w->active && !w->inbox)
            return;
    }
}
