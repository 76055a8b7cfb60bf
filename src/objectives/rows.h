/* What terms on logits share: a loss that is a sum over rows, each row on its own.
 */
#ifndef OBJECTIVES_ROWS_H
#define OBJECTIVES_ROWS_H

#include "train/term.h"

/* One row. dz is the memory of z: read an entry before writing it. */
struct logit_row {
    int n, label;                      /* V, and the label or LABEL_NONE */
    int at, of;                        /* which of its sequence's rows, and how many these are */
    const float *z, *ref;              /* [V]; ref NULL without a reference */
    const float *helper[HELPER_COUNT]; /* [V]; NULL where the term does not ask for it */
    float *dz;                         /* [V] */
    double share;                      /* 1 / the number of rows of the mean */
};

/* Writes dz and returns the row's loss, both with the share in them. */
typedef double row_loss(const void *params, const struct logit_row *r);

/* Adds up the rows' losses, in their order whatever the number of threads. */
int rows_add(struct view *v, row_loss *f, const void *params, double *loss, struct err *e);

/* KL(softmax(z) || softmax(q)); with dz not NULL also share * d/dz = share * p (log p - log q -
 * KL). */
double row_reverse_kl(const float *z, const float *q, int n, float *dz, double share);
/* log sum_i exp(scale z_i). */
double log_sum_exp(const float *z, int n, double scale);
/* -sum_v q log p, q = softmax of `from`, a constant, with entry k lowered by `by` (INFINITY: left
 * out), taken as a constant. d/dz = p - q. */
double row_soft_target(const struct logit_row *r, const float *from, int k, double by);
/* weight T^2 KL(softmax(ref / T) || softmax(z / T)), T the temperature. d/dz = weight T (p_T -
 * q_T).
 */
double row_kl(const struct logit_row *r, double temperature, double weight);

#endif
