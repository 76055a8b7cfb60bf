/* The gradient norm attack: a sequence that was trained on has a small gradient. */
#ifndef EVAL_GRADNORM_H
#define EVAL_GRADNORM_H

#include <stdbool.h>

#include "base/err.h"
#include "base/log.h"
#include "base/seq.h"
#include "model/model.h"

/* out[i] = mean over the weight tensors of the L2 norm of d loss / d tensor, where the loss is the
 * mean over seqs[i]'s labels of -log p; a tied head counts once. NaN without labels. `drop_last`
 * leaves the last label out, as OpenUnlearning does. All weights must want gradients, as in a model
 * just opened. It is not changed; the gradient takes as much memory as its weights. `bar` may be
 * NULL. */
int gradnorm_all(double *out, struct model *m, const struct seq *seqs, int n, bool drop_last,
                 struct progress *bar, struct err *e);

#endif
