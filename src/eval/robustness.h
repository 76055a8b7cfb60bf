/* Statistics of attacks, as pure functions: what many sampled answers leak, what relearning brings
 * back, how robust a metric is, membership from shadow models, and the aggregate scores that papers
 * quote. All in f64; formulas: spec attacks.md sections 3, 4 and 8.
 */
#ifndef EVAL_ROBUSTNESS_H
#define EVAL_ROBUSTNESS_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "eval/stats.h"

/* --- Sampling: n answers to one prompt, each with a score in [0,1] --- */

/* leak@k (arXiv 2511.04934): the probability that at least one of k answers, drawn without
 * replacement from n of which c leak, leaks. Unbiased. 0 <= c <= n, 1 <= k <= n. */
double leak_at_k(int n, int c, int k);
/* Expected maximum of k of the n scores, drawn without replacement; `sorted` ascending. Unbiased.
 */
double leak_expected_max(const double *sorted, int n, int k);

/* Distribution-free bounds, each one-sided at level alpha (arXiv 2410.03523), from the
 * Dvoretzky-Kiefer-Wolfowitz inequality: the true P(score <= x) lies above F_n(x) - leak_dkw(n,
 * alpha) for all x at once. */
double leak_dkw(int n, double alpha);
/* Bounds on the mean score (Anderson, 1969). grid = 0: the exact integral; else a Riemann sum at
 * that many points, as the package conbo computes it (100 there), which is wider. */
struct interval leak_mean_bounds(const double *sorted, int n, double alpha, int grid);
/* Bounds on the variance, which hold together at level alpha, on conbo's grid of 100 points. */
struct interval leak_variance_bounds(const double *sorted, int n, double alpha);

/* --- Relearning: a metric over steps, higher = more is known --- */

/* Summary of a curve m at ascending steps[n], n >= 2, steps[0] = 0; target: the metric of the model
 * before unlearning; control [n]: the retrained model's curve, NULL: none. NaN: undefined (target =
 * m[0]), or never reached. */
enum { CURVE_LEVELS = 3 }; /* 10, 50 and 90 % */

struct curve {
    double start, end, best, area; /* area: the mean over steps, by trapezoids */
    double recovery_end, recovery_best, recovery_area; /* of (m - m[0]) / (target - m[0]) */
    double steps_to[CURVE_LEVELS];
    double excess_area, excess_end, excess_best; /* over the control */
    double recovery_control_area;                /* of (control - m[0]) / (target - m[0]) */
};

double curve_recovery(double m, double start, double target);
void curve_summary(struct curve *c, const double *steps, const double *m, int n, double target,
                   const double *control);

/* A new object of the fields, steps_to_10 and so on; null for what is undefined. */
json_t *curve_json(const struct curve *c);

/* Robustness of a metric: one-sided (arXiv 2506.12618) and two-sided (arXiv 2605.24614). before,
 * after: of relearning; u: unlearned, r: retrained. NaN: 0/0 of the one-sided forms. */
double robust_relearn_one_sided(double u_before, double u_after, double r_before, double r_after);
double robust_relearn(double u_before, double u_after, double r_before, double r_after);
double robust_quantise_one_sided(double before, double after);
double robust_quantise(double before, double after);
/* Harmonic mean of two; 0 if either is not positive. */
double robust_aggregate(double r, double q);

/* --- Membership from shadow models --- */

/* ln(p/(1-p)), p limited to [1e-12, 1 - 1e-12] (arXiv 2112.03570). */
double lira_phi(double p);

enum lira_kind { LIRA_RATIO, LIRA_RATIO_MEDIAN, LIRA_OFFLINE };

/* U-LiRA (arXiv 2403.01218): log-likelihood ratio of each row's observed phi [rows] under Gaussians
 * of the shadow models in[rows * shadows] (trained with the row, then unlearned) and out[rows *
 * shadows] (never trained on it), by mean or median; offline: the normal distribution function
 * under `out` alone. pooled: one standard deviation for all rows, for few shadows. Fails only for
 * lack of memory. */
int lira_scores(const double *observed, const double *in, const double *out, int rows, int shadows,
                enum lira_kind kind, bool pooled, double *score, struct err *e);

/* RMIA (arXiv 2312.03262): for each row the share of population rows z with ratio(row)/ratio(z) >
 * gamma, where ratio is p/mean p of the references. p[rows], refs[rows * n_refs]; trained[rows *
 * n_refs]: whether the reference was trained on the row; offline with a >= 0: the mean over
 * references that were not, times (1+a)/2, plus (1-a)/2; a < 0: online, the mean over all. Rows all
 * of whose references were trained on them score NaN. */
int rmia_scores(const double *p, const double *refs, const unsigned char *trained, int rows,
                const double *pop, const double *pop_refs, int n_pop, int n_refs, double a,
                double gamma, double *score, struct err *e);

/* --- Canaries (arXiv 1802.08232): a secret's loss among those of n >= 1 alternatives --- */

/* log2(n + 1) - log2(rank of the secret's), in bits: at most log2(n + 1). */
double exposure_of_rank(const double *loss, int n, double own);
/* -log2 of the share of all alternatives whose loss is lower, by a skew-normal distribution with
 * the moments of the given ones; NaN if these are equal. */
double exposure_estimate(const double *loss, int n, double own);

/* --- Aggregates (arXiv 2605.24614, after arXiv 2506.12618) --- */

/* n / sum(1 / (v + 1e-12)). */
double aggregate_hm(const double *v, int n);

#endif
