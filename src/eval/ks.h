/* The two-sample Kolmogorov-Smirnov test, two-sided, as scipy.stats.ks_2samp computes it: exact up
 * to 10,000 values a sample. TOFU's forget quality is its p-value between the truth ratios of the
 * unlearned and of the retrained model (arXiv 2401.06121). Source of the formulas: spec metrics.md
 * section 4.
 */
#ifndef EVAL_KS_H
#define EVAL_KS_H

#include "base/err.h"

struct ks {
    double d; /* largest distance of the two empirical distribution functions, in [0,1] */
    double p; /* probability of a distance at least as large under one common law; down to 1e-300 */
};

/* Values need not be sorted and may be tied. d and p are NaN if a sample is empty or holds a NaN.
 * Fails only for lack of memory. */
int ks_two_sample(const double *a, int na, const double *b, int nb, struct ks *out, struct err *e);

#endif
