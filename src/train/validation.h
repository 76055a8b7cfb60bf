/* Validation metrics during training, and early-stopping thresholds on them (gradient ascent does
 * not converge). They are measured every N steps, or, if only thresholds are given, after each
 * epoch. Validation does not change the numbers of the run.
 */
#ifndef TRAIN_VALIDATION_H
#define TRAIN_VALIDATION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/param.h"

/* Of the forget data, except the second: mean NLL per label, extraction likelihood and memorisation
 * accuracy. */
enum validation_metric {
    VALIDATION_FORGET_NLL,
    VALIDATION_RETAIN_NLL,
    VALIDATION_EL,
    VALIDATION_MA,
    VALIDATION_COUNT
};

struct validation_options {
    int64_t eval_every, eval_rows;
    double stop_nll, stop_el, stop_ma; /* 0: none */
};

extern const struct param validation_params[];

struct validation {
    const struct validation_options *o; /* borrowed */
    /* Computes the metrics that the options need, NaN for all others. */
    int (*measure)(void *ctx, double metrics[VALIDATION_COUNT], struct err *e);
    void *ctx;
};

struct validation_result {
    double metrics[VALIDATION_COUNT];
    char stop[160]; /* reason for early stopping; empty: none */
};

/* The options ask for validation or early stopping. */
bool validation_wanted(const struct validation_options *o);
/* Validation is due after `done` steps, the last `n` of which are new; epoch: one ended in them. */
bool validation_is_due(const struct validation_options *o, long done, long n, bool epoch);
int validation_measure(const struct validation *w, struct validation_result *r, struct err *e);
/* A line about it: "validation 20/200: forget_nll 2.31, retain_nll 0.98", after step 20. */
void validation_note(const struct validation_result *r, long step, long steps);
/* {"forget_nll", "retain_nll", "el", "ma"}, without those that were not measured. */
json_t *validation_json(const struct validation_result *r);

#endif
