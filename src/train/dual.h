/* Dual variables: the weight lambda of a term that is a constraint, value <= 0, rises while the
 * constraint is violated and falls to 0 while it holds: lambda <- max(0, lambda + step * value)
 * (primal-dual unlearning, arXiv 2506.05314).
 */
#ifndef TRAIN_DUAL_H
#define TRAIN_DUAL_H

#include "train/gradient.h"

/* After an optimiser step: updates the dual variables that are due. The value is measured on the
 * step's data, or, with updates per epoch, on the epoch's data again with the weights at its end.
 * Under COMPAT_MICRO_MEAN each micro-batch has updated them already, as in OpenUnlearning. */
int dual_after_step(struct gradient *g, struct err *e);
/* After micro-batch k of the step; res: its losses. */
void dual_after_micro(struct gradient *g, int k, const struct micro_result *res);

#endif
