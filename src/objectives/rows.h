/* Shared by terms on logits: sums over one row, and losses of one row (struct logit_row).
 */
#ifndef OBJECTIVES_ROWS_H
#define OBJECTIVES_ROWS_H

#include "train/term.h"

/* KL(softmax(z) || softmax(q)); with dz not NULL also share * d/dz = share * p (log p - log q -
 * KL). */
double row_reverse_kl(const float *z, const float *q, int n, float *dz, double share);
/* log sum_i exp(scale z_i). */
double log_sum_exp(const float *z, int n, double scale);
/* -sum_v q log p, q = softmax of `from`, a constant, with entry k lowered by `by` (INFINITY:
 * excluded). d/dz = p - q. */
double row_soft_target(const struct logit_row *r, const float *from, int k, double by);
/* T^2 KL(softmax(ref / T) || softmax(z / T)), T the temperature. d/dz = T (p_T - q_T). */
double row_kl(const struct logit_row *r, double temperature);

#endif
