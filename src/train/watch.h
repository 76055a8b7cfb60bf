/* Figures of the model that are measured while it trains, and bounds on them at which the run ends:
 * gradient ascent never comes to rest by itself. They are measured after every so many steps, or
 * where only bounds are given, after each epoch. Measuring changes nothing in what the run
 * computes.
 */
#ifndef TRAIN_WATCH_H
#define TRAIN_WATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/param.h"

/* All but the second are of the forget data: mean NLL of a row's labels, extraction likelihood and
 * memorisation accuracy. */
enum figure { FIGURE_FORGET_NLL, FIGURE_RETAIN_NLL, FIGURE_EL, FIGURE_MA, FIGURE_COUNT };

struct watch_options {
    int64_t eval_every, eval_rows;
    double stop_nll, stop_el, stop_ma; /* 0: none */
};

extern const struct param watch_params[];

struct watch {
    const struct watch_options *o; /* borrowed */
    /* Fills in the figures that the options ask for, NaN for all others. */
    int (*measure)(void *ctx, double figures[FIGURE_COUNT], struct err *e);
    void *ctx;
};

struct look {
    double figures[FIGURE_COUNT];
    char stop[160]; /* why the run ends here; empty: it goes on */
};

/* Something is to be measured or to be bounded. */
bool watch_wanted(const struct watch_options *o);
/* A look is due after `done` steps, the last `n` of which are new; epoch: one has ended in them. */
bool watch_is_due(const struct watch_options *o, long done, long n, bool epoch);
int watch_look(const struct watch *w, struct look *l, struct err *e);
/* {"forget_nll", "retain_nll", "el", "ma"}, those that were measured. */
json_t *look_json(const struct look *l);

#endif
