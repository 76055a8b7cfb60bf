/* The optimiser interface. An optimiser moves numbers one by one, whatever weight they are of:
 * optim_apply walks the weight table, and keeps what a mask (train/mask.h) holds. Its state is
 * `n_states` flat arrays by weight.at, which the loop owns, saves and restores.
 */
#ifndef TRAIN_OPTIM_H
#define TRAIN_OPTIM_H

#include "base/table.h"
#include "model/model.h"

struct optim_step {
    const struct ops *ops;
    const struct weight_table *table;
    float *w;          /* flat weights, by weight.offset, updated */
    float **state;     /* [n_states] flat, by weight.at, updated */
    const float *grad; /* flat, by weight.at */
    float grad_scale;  /* the gradient is grad_scale * grad (clipping) */
    double lr;
    double weight_decay; /* on weights whose table row says decay */
    bool decay_last;     /* COMPAT_ADAMW_DECAY_LAST */
    long step;           /* 1-based */
};

enum { OPTIM_STATES = 2 };

/* Numbers of one weight, side by side; n of them. */
struct optim_span {
    float *w;                   /* updated */
    float *state[OPTIM_STATES]; /* updated */
    const float *grad;
    size_t n;
    double decay; /* of these numbers */
};

struct optim {
    ROW_FIELDS;
    const char *paper, *help;
    int n_states;
    void (*step)(const void *params, const struct optim_step *s, const struct optim_span *x);
    /* Second order. Whether step `step` begins with an estimate of the curvature, which `estimate`
     * takes into the state: s->grad is then the gradient, at the same weights, of the token mean
     * over `labels` labels that were drawn from the model's own distribution. NULL: never. */
    bool (*wants_estimate)(const void *params, long step);
    void (*estimate)(const void *params, const struct optim_step *s, const struct optim_span *x,
                     double labels);
};

/* One step of every number that may move. */
void optim_apply(const struct optim *o, const void *params, const struct optim_step *s);
/* One estimate of the curvature of what is trainable. */
void optim_estimate(const struct optim *o, const void *params, const struct optim_step *s,
                    double labels);

#endif
