/* The privacy that DP-SGD gives: Renyi differential privacy of the Gaussian mechanism on Poisson
 * samples (arXiv 1908.10530), under addition or removal of one example, converted to (epsilon,
 * delta). An upper bound: privacy loss distributions give 7 to 20 % less.
 */
#ifndef TRAIN_ACCOUNTANT_H
#define TRAIN_ACCOUNTANT_H

#include <stdbool.h>

/* Of one step at an order alpha > 1: each example enters with probability q in [0,1], noise sigma
 * times the clipping norm. */
double rdp_of_step(double q, double sigma, double alpha);

struct privacy {
    double epsilon, order; /* the least over the orders 1.1, 1.2 .. 10.9, 12, 13 .. 63 */
    double classic;        /* by the older conversion, rdp - log(delta) / (alpha - 1): larger */
    bool edge;             /* the best order is the first or the last: a wider list gives less */
};

struct privacy privacy_of(double q, double sigma, long steps, double delta);

#endif
