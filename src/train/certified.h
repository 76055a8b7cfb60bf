/* Certified removal from a logistic head over frozen features (arXiv 1911.03030): a Newton step
 * takes a row out, and a bound on the gradient that it leaves is paid from a budget that the noise
 * in the objective allows. All f64.
 *
 *     L(w) = sum_i log(1 + exp(-y_i x_i.w)) + lambda n / 2 |w|^2 + b.w,   b ~ N(0, sigma^2 I)
 *
 * over the n rows that are left; b is drawn once and kept secret. The guarantee needs |x_i| <= 1,
 * and holds for rows that are chosen without seeing w.
 */
#ifndef TRAIN_CERTIFIED_H
#define TRAIN_CERTIFIED_H

#include <stdbool.h>

#include "base/err.h"

struct head_data {
    int n, d;
    const double *x; /* borrowed [n,d] */
    const double *y; /* borrowed [n] 1 or -1 */
    const double *b; /* borrowed [d] */
    double lambda;
    bool *gone; /* borrowed [n]: removed rows; changed by certified_remove */
};

/* w [d] = the minimiser over the rows that are left, by Newton steps from w; *residual = the length
 * of the gradient there, which counts in the budget. */
int certified_train(const struct head_data *h, double *w, double *residual, struct err *e);

struct head_removal {
    double bound;    /* 1/4 |X| |delta| |X delta| over the rows that are left, |X| the largest
                      * singular value */
    double residual; /* what is left: |gradient|, at most the sum of the bounds so far */
    double spectral; /* |X| */
};

/* w += (Hessian over the rest)^-1 (gradient of the row's loss + lambda w), written to delta [d],
 * too. Fails on a row that is gone, or that is the last. */
int certified_remove(const struct head_data *h, int row, double *w, double *delta,
                     struct head_removal *r, struct err *e);

/* (epsilon, delta)-certified while the sum of bounds is at most sigma epsilon / c, c = sqrt(2
 * log(1.5 / delta)): the epsilon of that sum. */
double certified_epsilon(double bounds, double sigma, double delta);

#endif
