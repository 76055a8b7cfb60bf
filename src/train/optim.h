/* The optimiser interface. An optimiser is an elementwise update; optim_apply walks the weight
 * table and restores masked elements (train/mask.h). Its state is `n_states` flat arrays by
 * weight.at, which the loop owns, saves and restores.
 */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include "base/table.h"
#include "model/model.h"

struct optim_step {
    const struct ops *ops;
    const struct weight_table *table;
    device float *w;          /* flat weights, by weight.offset, updated */
    device float **state;     /* [n_states] flat, by weight.at, updated */
    const device float *grad; /* flat, by weight.at */
    float grad_scale;         /* the gradient is grad_scale * grad (clipping) */
    double lr;
    double weight_decay; /* of weights whose table row has `decay` */
    long step;           /* 1-based */
};

enum { OPTIM_STATES = 2 };

/* n consecutive elements of one weight. */
struct optim_span {
    device float *w;                   /* updated */
    device float *state[OPTIM_STATES]; /* updated */
    const device float *grad;
    size_t n;
    double decay; /* of these elements */
};

struct optim {
    ROW_FIELDS;
    const char *paper, *help;
    int n_states;
    void (*step)(const void *params, const struct optim_step *s, const struct optim_span *x);
    /* Second order. True if step `step` starts with a curvature estimate, by which `estimate`
     * updates the state: s->grad is then the gradient, at the same weights, of the token mean over
     * `labels` labels sampled from the model. NULL: never. */
    bool (*wants_estimate)(const void *params, long step);
    void (*estimate)(const void *params, const struct optim_step *s, const struct optim_span *x,
                     double labels);
};

/* For a step that runs on the host: ends the mapping of the span's arrays. */
void optim_unmap(const struct optim_step *s, const struct optim_span *x);
/* One step of all trainable elements. */
void optim_apply(const struct optim *o, const void *params, const struct optim_step *s);
/* One curvature estimate of the trainable weights. */
void optim_estimate(const struct optim *o, const void *params, const struct optim_step *s,
                    double labels);

#endif
