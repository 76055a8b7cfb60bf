/* How sure a figure is: confidence intervals of means and of rates. */
#ifndef EVAL_INTERVAL_H
#define EVAL_INTERVAL_H

#include <stdint.h>

#include "base/err.h"

struct interval {
    double low, high;
};

/* Percentile bootstrap of the mean (Efron, 1979): `draws` means of n values drawn with replacement
 * by MT19937 seeded with `seed`; the interval is between their (1-level)/2 and (1+level)/2
 * quantiles, linearly interpolated. NaN among the values are left out; without any value the
 * interval is NaN. Fails only for lack of memory. */
int interval_of_mean(const double *v, int n, int draws, double level, uint32_t seed,
                     struct interval *out, struct err *e);

/* Clopper and Pearson's exact interval (Biometrika 26, 1934) of a rate of which k of n were seen;
 * NaN if n = 0. level is two-sided: 0.95 leaves 0.025 at each end. */
struct interval interval_of_rate(int k, int n, double level);

#endif
