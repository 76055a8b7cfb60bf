/* Norms of gradients that are never made. The gradient of a matrix is dW = dy^T x, for n tokens,
 * and |dW|^2 = sum over tokens s, t of (dy dy^T)[s,t] (x x^T)[s,t]
 * ("ghost clipping", arXiv 2110.05679, section 4), which costs n^2 (in + out) instead of n in out,
 * and no memory for dW. Where the sequence is so long that this is more, dW is made after all, for
 * one matrix at a time.
 *
 * A struct grad_norms in model.norms takes the place of those gradients of matrices of layers that
 * nobody wants (weight.wants_grad).
 */
#ifndef MODEL_GRAD_NORMS_H
#define MODEL_GRAD_NORMS_H

#include "model/model.h"

struct grad_norms {
    double *square; /* [table.n] borrowed: |dW|^2 is added here */
    float *room;    /* borrowed: grad_norms_room floats */
};

/* Floats of room for sequences of n tokens. */
size_t grad_norms_room(const struct model *m, int n);
/* Adds that of rows of a weight, which no two calls of one backward share. */
void grad_norms_add(const struct model *m, int weight, const float *dy, const float *x, int n,
                    int in, int out);

#endif
