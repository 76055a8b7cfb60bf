/* The gradient of one optimiser step: passes of the engine over the step's micro-batches, for some
 * or all of the objectives, and the moves in weight space that a wrapper makes between them. What a
 * mask (train/mask.h) holds has no gradient and is not moved.
 */
#ifndef TRAIN_GRADIENT_H
#define TRAIN_GRADIENT_H

#include "base/interrupt.h"
#include "train/engine.h"

struct gradient {
    struct engine *engine;     /* borrowed; the gradient is added up in its grads */
    const struct order *order; /* borrowed */
    int first, n;              /* the step's micro-batches */
    long step;                 /* 0-based */
    bool again;                /* they are those of the step before */
    struct arena kept;         /* for a wrapper: reset when they change */
    struct latent *latent;     /* [n] in `kept`: perturbations of the method's passes; NULL: none */
    unsigned seed;             /* of the run */
    float **copy;              /* borrowed [copies of the wrapper] flat by weight.at */
    const volatile sig_atomic_t *stop; /* set: fail before the next micro-batch; NULL: never */
    bool stopped;                      /* that is why it failed */

    /* What the step's losses were where an objective was first looked at: unweighted, and the
     * weighted sum by micro-batch. */
    double loss[ENGINE_MAX_OBJECTIVES];
    double *micro;  /* borrowed [n] */
    double penalty; /* of the weights, beside the micro-batches */
    unsigned seen;  /* goals looked at */
    long tokens;    /* read in all passes */
};

/* Forgets what an earlier step left. Every `repeats` steps the next n micro-batches come. */
void gradient_start(struct gradient *g, long step, int n, long repeats);
/* Adds the gradient of the token mean under labels that the model draws (engine_sampled); *labels:
 * how many. */
int gradient_add_sampled(struct gradient *g, double *labels, struct err *e);
/* One pass for these goals: their gradient is added. */
int gradient_add(struct gradient *g, unsigned goals, struct err *e);
/* The same on micro-batches of other rows; no loss is noted. *loss is their weighted sum. */
int gradient_add_rows(struct gradient *g, unsigned goals, struct micro *mb, double *loss,
                      struct err *e);
/* The weighted loss of the method, over the step, and the penalty. */
double gradient_loss(const struct gradient *g);
/* L2 norm over the weights that move. */
double gradient_norm(const struct gradient *g);
/* grads -> copy, over what moves; grads *= a; grads += a v, over what moves. */
void gradient_save(const struct gradient *g, float *copy);
void gradient_scale(struct gradient *g, double a);
void gradient_axpy(struct gradient *g, double a, const float *v);

/* Weight space, over what moves; vectors are flat by weight.at. w -> copy, copy -> w, w += a v, w
 * += N(0, sigma^2). */
void weights_save(const struct model *m, float *copy);
void weights_restore(struct model *m, const float *copy);
void weights_shift(struct model *m, double a, const float *v);
void weights_noise(struct model *m, double sigma, struct rng *r);

#endif
