/* Dual variables: a term that is a constraint, "at most 0", has the weight lambda, which rises
 * while the constraint is broken and falls to 0 while it holds: lambda <- max(0, lambda + step *
 * value) (primal-dual unlearning, arXiv 2506.05314).
 */
#ifndef TRAIN_DUAL_H
#define TRAIN_DUAL_H

#include "train/gradient.h"

/* After step `step` (0-based): moves the weights that are due. The value is that of the step's
 * data, or that of the epoch's, measured anew with the weights at its end. Under COMPAT_MICRO_MEAN
 * every micro-batch has moved its step's weights already, as the peer does it. */
int dual_after_step(struct gradient *g, struct err *e);
/* After micro-batch k of the step, whose losses these are. */
void dual_after_micro(struct gradient *g, int k, const struct micro_result *res);

#endif
