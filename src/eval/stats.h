/* Statistics over rows: means, the harmonic mean of model utility, ROC AUC, PrivLeak, normalised
 * probabilities and truth ratios. All in f64. NaN is a missing value: functions of one row return
 * it, functions of many rows skip it, unless stated otherwise. Formulas: spec metrics.md sections
 * 1 and 5.
 */
#ifndef EVAL_STATS_H
#define EVAL_STATS_H

#include <stdbool.h>

#include "base/err.h"

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

#endif
