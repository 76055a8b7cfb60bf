/* Constants of a run that some terms need, computed before the first step: steering directions of
 * representation methods, and KGA's gap.
 */
#ifndef TRAIN_HELPERS_H
#define TRAIN_HELPERS_H

#include "data/order.h"
#include "model/model.h"

/* u [n]: entries uniform in [0,1), divided by their norm (RMU, arXiv 2403.03218). Drawn from a
 * separate random stream; with `after` from the stream that draws that order's rows, as in
 * OpenUnlearning: its loader prefetches a batch, so the vector follows the draws of the first two
 * micro-batches (order_draw skips the n numbers there). */
void direction_draw(float *u, int n, unsigned seed, const struct order *after);
/* v [C]: the refusal direction (LUNAR, arXiv 2502.07218): the mean hidden state, after a layer, of
 * the last prompt token over prompts that the model refuses, minus the same mean over the prompts
 * of the forget examples. Not normalised. */
int direction_to_refusal(float *v, struct model *m, const struct dataset *refused,
                         const struct dataset *forget, int layer, struct err *e);
/* Scales v [n] to length 1; fails on a zero vector. */
int direction_normalise(float *v, int n);

/* The mean over all scored rows of the set of KL(p_from || p_to), in nats per label, in f64.
 * Knowledge gap alignment (arXiv 2305.06535) takes it from the target model to one that learnt new
 * data, over these. */
int gap_measure(double *gap, struct model *from, struct model *to, const struct dataset *set,
                struct err *e);

#endif
