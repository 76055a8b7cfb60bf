/* Statistics over rows, all in f64: means, areas under curves, confidence intervals, tests. */
#ifndef EVAL_STATS_H
#define EVAL_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

/* Statistics over rows: means, the harmonic mean of model utility, ROC AUC, PrivLeak, normalised
 * probabilities and truth ratios. All in f64. NaN is a missing value: functions of one row return
 * it, functions of many rows skip it, unless stated otherwise. Formulas: spec metrics.md sections
 * 1 and 5.
 */

/* Moves the values that are not NaN to the front, in order; returns their number. */
int stats_present(double *v, int n);
/* Mean of the values that are not NaN; NaN if there are none. */
double stats_mean(const double *v, int n);

/* n / sum(1/v): 0 if any value is 0, NaN if any is NaN or n is 0; a negative value is an error. */
int stats_harmonic_mean(const double *v, int n, double *out, struct err *e);

/* P(one > zero) + P(one = zero)/2 over all pairs; NaN if a sample is empty. Fails only for
 * memory. */
int stats_auc(const double *zero, int n_zero, const double *one, int n_one, double *out,
              struct err *e);

/* Share of `one` above the lowest threshold that at most a share `most` of `zero` exceeds: the
 * true positive rate at a bounded false positive rate (arXiv 2112.03570), 0.01 by custom. NaN if a
 * sample is empty. Fails only for memory. */
int stats_tpr_at_fpr(const double *zero, int n_zero, const double *one, int n_one, double most,
                     double *out, struct err *e);

/* Percent by which 1 - AUC, or the AUC itself, lies above that of the retrained model (MUSE, arXiv
 * 2407.06460). Without a retrained model the reference AUC is 0.5. */
double stats_privleak(double auc, double reference_auc);
double stats_relative_difference(double auc, double reference_auc);

/* Probabilities as natural logarithms, so that none underflows: after gradient ascent a mean loss
 * of 50 nats and more is common. `tiny` computes probabilities and adds 1e-10 to denominators, as
 * OpenUnlearning does (COMPAT_TRUTH_TINY): results then go to 0 where probabilities are below that.
 */

/* The correct answer's share of the probability of all answers. NaN if all are 0. */
double stats_share(double correct, const double *wrong, int n_wrong, bool tiny);

/* Truth ratio (TOFU, arXiv 2401.06121). Losses are per-token means of one answer; several correct
 * or wrong answers are combined by their geometric (mean of losses; the default) or arithmetic
 * mean. */
enum truth_mean { TRUTH_GEOMETRIC, TRUTH_ARITHMETIC };

enum truth_kind {
    TRUTH_CLOSER_TO_1, /* forget set: wrong answers as likely as the correct one */
    TRUTH_TRUE_BETTER, /* utility sets: the correct one more likely */
    TRUTH_PROB_MEAN    /* the correct answer's share of both */
};

/* Logarithm of the answers' mean probability, from their losses. */
double stats_answer_logp(const double *loss, int n, enum truth_mean mean);
/* The logarithm of the mean of exp(v); NaN counts as missing. */
double stats_log_mean_exp(const double *v, int n);
/* The score of a row: wrong/correct, or the share. */
double stats_truth_score(double correct, double wrong, enum truth_kind kind, bool tiny);
/* A row's term of the mean over the set, in [0,1]. */
double stats_truth_value(double score, enum truth_kind kind, bool tiny);

/* Receiver operating characteristic of two samples: how many values of each are at each rank of
 * their common order. AUC and TPR are computed from these counts, so that bootstrap samples need no
 * sorting.
 */

struct roc_place {
    int zero, one;
};

struct roc {
    int n, n_zero, n_one; /* distinct values; values of each sample, NaN left out */
    struct roc_place *at; /* owned [n], by ascending value */
    int *place;           /* owned [n_zero + n_one]: rank of each value, those of zero first */
};

int roc_init(struct roc *r, const double *zero, int n_zero, const double *one, int n_one,
             struct err *e);
/* Bootstrap: counts values of each sample drawn with replacement, as many as it has. */
void roc_draw(struct roc *r, struct rng *rng);
void roc_fini(struct roc *r);

/* As stats_auc and stats_tpr_at_fpr; NaN if a sample is empty. */
double roc_auc(const struct roc *r);
double roc_tpr(const struct roc *r, double most);

/* Confidence intervals of means, rates and AUCs. */

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

/* The two-sample Kolmogorov-Smirnov test, two-sided, as scipy.stats.ks_2samp computes it: exact up
 * to 10,000 values a sample. TOFU's forget quality is its p-value between the truth ratios of the
 * unlearned and of the retrained model (arXiv 2401.06121). Source of the formulas: spec metrics.md
 * section 4.
 */

struct ks {
    double d; /* largest distance of the two empirical distribution functions, in [0,1] */
    double p; /* probability of a distance at least as large under one common law; down to 1e-300 */
};

/* Values need not be sorted and may be tied. d and p are NaN if a sample is empty or holds a NaN.
 * Fails only for lack of memory. */
/* The smallest p that samples of these sizes can have: no value of one lies among the other's. NaN
 * if a sample is empty. */
double ks_least_p(int na, int nb);
int ks_two_sample(const double *a, int na, const double *b, int nb, struct ks *out, struct err *e);

#endif
