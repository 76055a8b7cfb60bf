/* Weights that move with the run: what gamma and alpha, the weights of a method's terms, are
 * multiplied by at each step. A term whose factor is 0 is not there in that step: its rows are not
 * read. Weights that follow the data instead are dual variables (train/dual.h).
 */
#ifndef TRAIN_WEIGHTING_H
#define TRAIN_WEIGHTING_H

#include "train/engine.h"

/* Where in the run a step is. */
struct moment {
    long step, total;  /* the step, from 0, and how many the schedule has */
    int epoch, epochs; /* the same of epochs */
    bool turn;         /* the epoch is one of order.turns */
};

struct weighting {
    const char *name, *paper;
    const char *formula; /* of the two weights, plain text */
    bool takes_turns; /* the order has epochs of the forget term's data, which it alone looks at */
    /* Of the terms for what is to be forgotten, and of those for what is to be retained. */
    void (*factors)(const struct moment *at, double *forget, double *retain);
};

struct weighting_options {
    const char *term_weights;
    int64_t msteps; /* epochs of the forget term where terms take turns */
};

extern const struct param weighting_params[];
extern const struct weighting weightings[]; /* ends with a NULL name */

/* The row that the options choose, NULL for constant weights; the turns that an order then has. */
const struct weighting *weighting_of(const struct weighting_options *o);
int weighting_turns(const struct weighting_options *o);
/* Sets the factors of the engine's objectives. */
void weighting_apply(const struct weighting *w, const struct moment *at, struct engine *g);

#endif
