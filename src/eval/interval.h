/* Confidence intervals of means, rates and AUCs. */
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

/* The same for sum v / sum w, drawing pairs: a mean per token over rows of different lengths. A
 * pair whose v is NaN is left out; all w are above 0. */
int interval_of_ratio(const double *v, const double *w, int n, int draws, double level,
                      uint32_t seed, struct interval *out, struct err *e);

/* The same for stats_auc and stats_tpr_at_fpr: each draw takes n_zero values of `zero`, then n_one
 * of `one`, NaN left out. NaN if a sample is empty. */
int interval_of_auc(const double *zero, int n_zero, const double *one, int n_one, int draws,
                    double level, uint32_t seed, struct interval *out, struct err *e);
int interval_of_tpr(const double *zero, int n_zero, const double *one, int n_one, double most,
                    int draws, double level, uint32_t seed, struct interval *out, struct err *e);

/* Clopper and Pearson's exact interval (Biometrika 26, 1934) of a rate, k successes in n;
 * NaN if n = 0. level is two-sided: 0.95 leaves 0.025 at each end. */
struct interval interval_of_rate(int k, int n, double level);

#endif
