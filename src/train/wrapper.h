/* The wrapper interface: a wrapper computes the gradient of a step otherwise than by one pass (at
 * perturbed weights, against an inner attack), or averages the weights. Every method can be
 * wrapped.
 *
 * A wrapper's memory is `n_copies` flat arrays by weight.at, which the loop owns; the first
 * `n_states` of them are saved in checkpoints. Its random streams are seeded by the step's number,
 * so that a resumed run draws the same numbers.
 */
#ifndef TRAIN_WRAPPER_H
#define TRAIN_WRAPPER_H

#include "base/table.h"
#include "train/gradient.h"

/* A loss that a wrapper uses in addition to the method's. */
struct extra {
    const char *term;
    enum role role;
};

#define WRAPPER_MAX_EXTRAS 4

struct wrapper {
    ROW_FIELDS;
    const char *paper, *help, *formula;
    struct extra extra[WRAPPER_MAX_EXTRAS];          /* objective k has the goal GOAL_WRAPPER + k */
    double (*weight)(const void *params, int extra); /* 0: not used. NULL: 1 each */
    unsigned moves; /* goals, besides the method's, whose gradient updates weights */
    int n_copies, n_states;
    /* Steps made on the same micro-batches; NULL: one. */
    long (*repeats)(const void *params);
    /* Computes the gradient of the step into the engine's zeroed grads. NULL: one pass. */
    int (*gradient)(const void *params, struct gradient *g, struct err *e);
    /* Called when the optimiser has made `steps` steps; NULL: nothing. */
    void (*follow)(const void *params, struct model *m, device float **copy, long steps);
    /* The weights of the finished run; NULL: those of the last step. */
    void (*finish)(const void *params, struct model *m, device float **copy, long steps);
};

#endif
