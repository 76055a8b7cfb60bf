/* The interface of what stands between a method and its optimiser: a wrapper makes the gradient of
 * a step in another way than by one pass (at perturbed weights, against an inner attack), or
 * follows the weights (averages). Every method can be wrapped.
 *
 * A wrapper's memory is `n_copies` flat arrays by weight.at, which the loop owns; the first
 * `n_states` of them are part of a checkpoint. What it draws comes from streams that the step's
 * number seeds, so that a resumed run draws the same.
 */
#ifndef TRAIN_WRAPPER_H
#define TRAIN_WRAPPER_H

#include "base/table.h"
#include "train/gradient.h"

/* A loss that a wrapper looks at beside the method's. */
struct extra {
    const char *term;
    enum role role;
};

#define WRAPPER_MAX_EXTRAS 4

struct wrapper {
    ROW_FIELDS;
    const char *paper, *help, *formula;
    struct extra extra[WRAPPER_MAX_EXTRAS];          /* objective k has the goal GOAL_WRAPPER + k */
    double (*weight)(const void *params, int extra); /* 0: not looked at. NULL: 1 each */
    unsigned moves; /* goals beside the method's whose gradient moves weights */
    int n_copies, n_states;
    /* Steps made on the same micro-batches, before the next ones come; NULL: one. */
    long (*repeats)(const void *params);
    /* The gradient of the step, into the engine's grads, which are zero. NULL: one pass. */
    int (*gradient)(const void *params, struct gradient *g, struct err *e);
    /* Once the optimiser has made `steps` steps; NULL: nothing. */
    void (*follow)(const void *params, struct model *m, float **copy, long steps);
    /* The weights of the finished run; NULL: those of the last step. */
    void (*finish)(const void *params, struct model *m, float **copy, long steps);
};

#endif
