/* Term weights during a run: schedules of gamma and alpha, the weights of a method's terms, and
 * dual variables, which depend on the data. A schedule gives factors of the weights at each step; a
 * term with factor 0 is inactive in that step: its rows are not read.
 *
 * A dual variable is the weight lambda of a term that is a constraint, value <= 0. It rises while
 * the constraint is violated and falls to 0 while it holds: lambda <- max(0, lambda + step * value)
 * (primal-dual unlearning, arXiv 2506.05314).
 */
#ifndef TRAIN_WEIGHTING_H
#define TRAIN_WEIGHTING_H

#include "train/gradient.h"

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

/* After an optimiser step: updates the dual variables that are due. The value is measured on the
 * step's data, or, with updates per epoch, on the epoch's data again with the weights at its end.
 * Under COMPAT_MICRO_MEAN each micro-batch has updated them already, as in OpenUnlearning. */
int dual_after_step(struct gradient *g, struct err *e);
/* After micro-batch k of the step; res: its losses. */
void dual_after_micro(struct gradient *g, int k, const struct micro_result *res);

#endif
