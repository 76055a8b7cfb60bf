/* The gradient of one optimiser step: passes of the engine over the step's micro-batches, for some
 * or all of the objectives, and a wrapper's changes of the weights between them. Masked elements
 * (train/mask.h) have gradient 0 and are not changed.
 */
#ifndef TRAIN_GRADIENT_H
#define TRAIN_GRADIENT_H

#include "base/err.h"
#include "train/engine.h"

struct gradient {
    struct engine *engine;     /* borrowed; the gradient is added up in its grads */
    const struct order *order; /* borrowed */
    int first, n;              /* the step's micro-batches */
    long step;                 /* 0-based */
    bool again;                /* the same micro-batches as in the previous step */
    struct arena kept;         /* wrapper's memory: reset with new micro-batches */
    struct latent *latent;     /* [n] in `kept`: perturbations of the method's passes; NULL: none */
    unsigned seed;             /* of the run */
    device float **copy;       /* borrowed [copies of the wrapper] flat by weight.at */
    const volatile sig_atomic_t *stop; /* when set: fail before the next micro-batch; may be NULL */
    bool stopped;                      /* it failed because `stop` was set */

    /* The step's losses, of the first pass that computed each objective: unweighted, and the
     * weighted sum by micro-batch. */
    double loss[ENGINE_MAX_OBJECTIVES];
    double *micro;  /* borrowed [n] */
    double penalty; /* of the weights, in addition to the micro-batches' losses */
    unsigned seen;  /* goals whose loss is recorded */
    long tokens;    /* processed in all passes */
    /* What the passes of an abandoned step changed, as it was at the mark. */
    struct engine_tokens marked_tokens;
    double marked_weight[ENGINE_MAX_OBJECTIVES];
    double masked; /* sum of the squares of masked elements, which the last pass zeroed */
    int passes;
};

/* Resets for a step. The next n micro-batches are taken every `repeats` steps. */
void gradient_start(struct gradient *g, long step, int n, long repeats);
/* Adds the gradient of the token mean under sampled labels (engine_sampled); *labels: how many. */
int gradient_add_sampled(struct gradient *g, double *labels, struct err *e);
/* One pass for these goals; adds their gradient. */
int gradient_add(struct gradient *g, unsigned goals, struct err *e);
/* The same on other rows; records no loss. *loss: the weighted sum. */
int gradient_add_rows(struct gradient *g, unsigned goals, struct micro *mb, double *loss,
                      struct err *e);
/* The weighted loss of the method, over the step, and the penalty. */
double gradient_loss(const struct gradient *g);
/* L2 norm over the trainable weights. */
double gradient_norm(const struct gradient *g);
/* The same over all weights that have a gradient: what is clipped. */
double gradient_norm_all(const struct gradient *g);
/* Token counts and term weights: marked, and as they were at the mark. */
void gradient_mark(struct gradient *g);
void gradient_undo(struct gradient *g);
/* grads -> copy; grads *= a; grads += a v: over the trainable weights. */
void gradient_save(const struct gradient *g, device float *copy);
void gradient_scale(struct gradient *g, double a);
void gradient_axpy(struct gradient *g, double a, const device float *v);

/* Trainable weights; vectors are flat by weight.at. w -> copy, copy -> w, the same but for masked
 * elements, w += a v, w += N(0, sigma^2). What a shift or an inner attack did to masked elements is
 * undone by weights_restore. */
void weights_save(const struct model *m, device float *copy);
void weights_restore(struct model *m, const device float *copy);
void weights_put(struct model *m, const device float *copy);
void weights_shift(struct model *m, double a, const device float *v);
void weights_noise(struct model *m, double sigma, struct rng *r);

#endif
