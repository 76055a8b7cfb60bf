/* A table of operations that measures another one: seconds, calls and floating point operations of
 * each kind of operation, for `unlearn bench`. What it counts belongs to the thread that calls it,
 * which must be the only one to call the table.
 *
 * A multiplication and an addition count as two operations; of attention the visible scores only.
 * Operations element by element are timed, and their few operations not counted.
 */
#ifndef TENSOR_TIMED_H
#define TENSOR_TIMED_H

#include "tensor/ops.h"

enum timed_kind {
    TIMED_PRODUCT,     /* x W^T */
    TIMED_INPUT_GRAD,  /* dout W */
    TIMED_WEIGHT_GRAD, /* dout^T x */
    TIMED_ATTENTION,   /* forward */
    TIMED_ATTENTION_GRAD,
    TIMED_NORM,
    TIMED_ACTIVATION,
    TIMED_LOGITS, /* log-probabilities of labels and softmax over the vocabulary, both directions */
    TIMED_OPTIMISER,
    TIMED_VECTOR_NORM, /* dot, sums of squares: norms of gradients */
    TIMED_MEMORY,      /* copies, sums, rows of tables, rotations */
    TIMED_KINDS
};

struct timed {
    double seconds[TIMED_KINDS], flops[TIMED_KINDS];
    long calls[TIMED_KINDS];
};

extern const char *const timed_name[TIMED_KINDS];

/* The table that measures `of`, from zero. It stays until the next call. */
const struct ops *timed_start(const struct ops *of);
/* What was measured since timed_start or the last timed_take. */
struct timed timed_take(void);

#endif
