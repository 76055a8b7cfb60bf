/* Gradient norm attack on membership: a training sequence has a small gradient.
 *
 * The gradient of a layer's matrix is dW = dy^T x, for n tokens, and
 *     |dW|^2 = sum over tokens s, t of (dy dy^T)[s,t] (x x^T)[s,t]
 * ("ghost clipping", arXiv 2110.05679, section 4), which costs n^2 (in + out) instead of n in out,
 * and no memory for dW. A linear tap accumulates it. For sequences so long that this costs more, dW
 * is computed, one matrix at a time.
 */
#ifndef EVAL_GRADNORM_H
#define EVAL_GRADNORM_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/seq.h"
#include "model/model.h"

/* All weights must require gradients, as in a model just opened. Gradients of embedding, head,
 * norms and biases are computed; of the layers' matrices only the norms. Until gradnorm_fini the
 * model must not be used for anything else. */
struct gradnorm {
    struct model *m; /* borrowed */
    float *grads;    /* owned, by weight.at */
    double *square;  /* owned [table.n] |dW|^2 of a layer's matrix */
    float *room;     /* in the arena: token products, or dW */
    struct arena a;
    bool drop_last; /* the last label is ignored, as in OpenUnlearning */
};

int gradnorm_init(struct gradnorm *g, struct model *m, bool drop_last, struct err *e);
/* *out = mean over the weight tensors of the L2 norm of d loss / d tensor, where the loss is the
 * mean over the sequence's labels of -log p; a tied head counts once. NaN without labels. */
int gradnorm_of(struct gradnorm *g, const struct seq *s, double *out, struct err *e);
void gradnorm_fini(struct gradnorm *g);

#endif
