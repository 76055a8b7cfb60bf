/* A model's norms: RMSNorm or LayerNorm, as its configuration says, wherever it has one. */
#ifndef MODEL_NORM_H
#define MODEL_NORM_H

#include "base/arena.h"
#include "model/model.h"

/* What the backward keeps of a norm, a number a row of each; mean is NULL for RMSNorm. */
struct norm_stats {
    device float *rstd, *mean;
};

/* Numbers of all stats together for `rows` rows, and the taking of them. */
size_t norm_floats(const struct model_config *c, size_t rows);
int norm_stats_init(struct norm_stats *s, const struct model *m, size_t rows, struct arena *a,
                    struct err *e);

/* The normalised x, in `out`; x itself, untouched, if the model lacks this norm. x is `count`
 * numbers; a row is as long as the norm's weight, so that the norms of q and k take a head by
 * itself or all heads together. */
const device float *norm_forward(const struct model *m, enum slot slot, int layer,
                                 device float *out, const struct norm_stats *s,
                                 const device float *x, size_t count);
/* dx += ..., and the gradients of weight and bias where they are wanted; dx += dy without norm. */
void norm_backward(const struct model *m, enum slot slot, int layer, device float *grads,
                   device float *dx, const device float *dy, const struct norm_stats *s,
                   const device float *x, size_t count);

#endif
