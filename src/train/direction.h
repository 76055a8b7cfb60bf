/* The direction that representation methods steer hidden states to: one unit vector for the run.
 */
#ifndef TRAIN_DIRECTION_H
#define TRAIN_DIRECTION_H

#include "data/order.h"
#include "model/model.h"

/* u [n]: entries uniform in [0,1), over their norm (RMU, arXiv 2403.03218). From a stream of its
 * own; under COMPAT_RMU_DRAW from the stream that draws the order's rows, as the peer does: its
 * loader runs a batch ahead, so the vector comes after the draws of the first two micro-batches
 * (and order_draw is told that n numbers are taken there). */
void direction_draw(float *u, int n, unsigned seed, const struct order *o, unsigned compat);
/* v [C]: where the model goes from the prompts to forget to those it refuses (LUNAR, arXiv
 * 2502.07218): the mean, over refused prompts, of the last prompt token's state after a layer, less
 * that over the prompts of the forget examples. Not of length 1. */
int direction_to_refusal(float *v, struct model *m, const struct dataset *refused,
                         const struct dataset *forget, int layer, struct err *e);
/* Scales v [n] to length 1; of a zero vector -1. */
int direction_normalise(float *v, int n);

#endif
