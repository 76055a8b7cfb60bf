/* Derivatives of a method's loss over rows of data, at the model's current weights: gradient,
 * per-example gradients, Hessian-vector products, diagonals of the Fisher information. For
 * locators, influence functions and wrappers.
 *
 * The loss is the training loss of the engine's objectives with the given goals: means over scored
 * tokens or sequences are taken over all given rows, however these are divided into batches.
 * Vectors are flat by weight.at: `grads` floats of the weight table; those beyond `moving` belong
 * to weights that are not trainable. Masked elements (train/mask.h) have derivative 0.
 */
#ifndef TRAIN_DERIVATIVES_H
#define TRAIN_DERIVATIVES_H

#include "train/gradient.h"

/* Rows of data in fixed batches. */
struct data_rows {
    enum role role;
    const int *row; /* borrowed [n] */
    int n, batch;
};

/* out = the gradient; *loss = the weighted loss. */
int derivative_gradient(struct engine *en, unsigned goals, const struct data_rows *rows,
                        device float *out, double *loss, struct err *e);

/* Calls `use` for each row with the gradient of that row's own loss, valid during the call. */
typedef int use_gradient(void *ctx, int row, double loss, const device float *grad, struct err *e);
int derivative_each(struct engine *en, unsigned goals, const struct data_rows *rows,
                    use_gradient *use, void *ctx, struct err *e);

/* L2 norm over what moves, of a vector by weight.at, or (NULL) of the weights. */
double derivative_norm(const struct model *m, const device float *v);

/* out = H v, H the Hessian of the loss, by central differences of two gradients:
 *   (g(w + r v / |v|) - g(w - r v / |v|)) |v| / 2r.
 * r = 0 chooses DERIVATIVE_STEP |w| over the trainable weights. The error falls as r^2 until
 * rounding, which grows as 1/r, takes over: relative 1e-4 to 2e-3 in f32, least where v is a
 * gradient. The weights are restored exactly. v and out must not overlap. */
#define DERIVATIVE_STEP 5e-5
int derivative_hvp(struct engine *en, unsigned goals, const struct data_rows *rows,
                   const device float *v, double r, device float *out, struct err *e);

/* Diagonal estimates; they differ in definition and scale:
 * FISHER_EMPIRICAL  mean over rows of the squared gradient of the row's loss (SSD, EWC)
 * FISHER_SAMPLED    the squared gradient of a row's sum of -log p(y), y drawn from the model, its
 *                   sum over rows divided by all scored tokens: an unbiased estimate of the
 *                   diagonal of the Gauss-Newton matrix of the token-mean loss, which is the true
 *                   Fisher information (arXiv 2305.14342); the mean of `draws` */
enum fisher { FISHER_EMPIRICAL, FISHER_SAMPLED };
int derivative_fisher(struct engine *en, unsigned goals, const struct data_rows *rows,
                      enum fisher kind, int draws, unsigned seed, device float *out, struct err *e);

#endif
