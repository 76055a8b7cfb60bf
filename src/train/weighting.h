/* Schedules of the term weights: factors of gamma and alpha, the weights of a method's terms, at
 * each step. A term with factor 0 is inactive in that step: its rows are not read. Weights that
 * depend on the data are dual variables (train/dual.h).
 */
#ifndef TRAIN_WEIGHTING_H
#define TRAIN_WEIGHTING_H

#include "train/engine.h"

/* Position of a step in the run. */
struct moment {
    long step, total;  /* the step, from 0, and the number of steps */
    int epoch, epochs; /* the epoch, from 0, and the number of epochs */
    bool turn;         /* the epoch is one of order.turns */
};

struct weighting {
    const char *name, *paper;
    const char *formula; /* of the two weights, plain text */
    bool takes_turns;    /* the order has separate epochs for the forget term */
    /* The factors of the forget terms and of the retain terms. */
    void (*factors)(const struct moment *at, double *forget, double *retain);
};

struct weighting_options {
    const char *term_weights;
    int64_t msteps; /* number of forget epochs with alternating terms */
};

extern const struct param weighting_params[];
extern const struct weighting weightings[]; /* ends with a NULL name */

/* The chosen schedule, NULL for constant weights; the forget epochs that the order needs then. */
const struct weighting *weighting_of(const struct weighting_options *o);
int weighting_turns(const struct weighting_options *o);
/* Sets the factors of the engine's objectives. */
void weighting_apply(const struct weighting *w, const struct moment *at, struct engine *g);

#endif
