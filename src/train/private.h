/* Differentially private gradients (DP-SGD, arXiv 1607.00133): the gradient of each example's own
 * loss, the token mean of its NLL, over all trainable weights together, is cut to the length C:
 *
 *     g = (sum_i f_i g_i + sigma C n) / B,   f_i = min(1, C / (|g_i| + 1e-6)),   n ~ N(0, I)
 *
 * B is the expected number of examples, not the actual. Lengths come from a first pass without a
 * gradient of any weight: of a matrix with inputs x and output gradients dy of one sequence,
 * |dy^T x|^2 = sum_tt' (x_t.x_t') (dy_t.dy_t') (ghost norms, arXiv 1510.01799, 2009.03106). A
 * second pass adds up the weighted examples. Only of weights that are vectors is there a gradient
 * for each example.
 */
#ifndef TRAIN_PRIVATE_H
#define TRAIN_PRIVATE_H

#include "train/gradient.h"

/* An error if the model, or its adapters, have weights whose lengths are not known this way:
 * experts, adapters with dropout or on fused weights, a mask. */
int private_check(const struct model *m, struct err *e);
/* norm [n] = |g_i|, loss [n]: of these sequences, each with a label. */
int private_norms(struct engine *g, const struct seq *seqs, int n, double *norm, double *loss,
                  struct err *e);
/* Adds sum_i factor[i] g_i to the engine's gradient. */
int private_add(struct engine *g, const struct seq *seqs, int n, const double *factor,
                struct err *e);
/* How a run's steps are made private. */
struct private_rule {
    double sigma, clip, expected;
};

/* The gradient of a step, of the first objective's role; records its loss. A step without rows has
 * noise, too. */
int private_gradient(const struct private_rule *rule, struct gradient *g, struct err *e);
/* min(1, C / (norm + 1e-6)). */
double private_factor(double norm, double clip);
/* The engine's gradient = (itself + sigma C n) / expected over the trainable weights, with the
 * noise of this seed and step. */
void private_finish(struct engine *g, double sigma, double clip, double expected, unsigned seed,
                    long step);

#endif
