/* Validation metrics during training, and early-stopping thresholds on them (gradient ascent does
 * not converge). They are measured every N steps, or, if only thresholds are given, after each
 * epoch. Validation does not change the numbers of the run.
 */
#ifndef TRAIN_WATCH_H
#define TRAIN_WATCH_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/param.h"

/* Of the forget data, except the second: mean NLL per label, extraction likelihood and memorisation
 * accuracy. */
enum figure { FIGURE_FORGET_NLL, FIGURE_RETAIN_NLL, FIGURE_EL, FIGURE_MA, FIGURE_COUNT };

struct watch_options {
    int64_t eval_every, eval_rows;
    double stop_nll, stop_el, stop_ma; /* 0: none */
};

extern const struct param watch_params[];

struct watch {
    const struct watch_options *o; /* borrowed */
    /* Computes the metrics that the options need, NaN for all others. */
    int (*measure)(void *ctx, double figures[FIGURE_COUNT], struct err *e);
    void *ctx;
};

struct look {
    double figures[FIGURE_COUNT];
    char stop[160]; /* reason for early stopping; empty: none */
};

/* The options ask for validation or early stopping. */
bool watch_wanted(const struct watch_options *o);
/* Validation is due after `done` steps, the last `n` of which are new; epoch: one ended in them. */
bool watch_is_due(const struct watch_options *o, long done, long n, bool epoch);
int watch_look(const struct watch *w, struct look *l, struct err *e);
/* {"forget_nll", "retain_nll", "el", "ma"}, without those that were not measured. */
json_t *look_json(const struct look *l);

#endif
