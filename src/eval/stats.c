#include "eval/stats.h"

#include <math.h>

#include "eval/roc.h"

#define TINY 1e-10 /* keeps divisions finite; part of the published definitions */

int stats_present(double *v, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i]))
            v[count++] = v[i];
    return count;
}

double stats_mean(const double *v, int n)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i])) {
            sum += v[i];
            count++;
        }
    return count ? sum / count : NAN;
}

int stats_harmonic_mean(const double *v, int n, double *out, struct err *e)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        if (v[i] < 0)
            return err_set(e, "harmonic mean of a negative value (%g)", v[i]);
        sum += 1 / fabs(v[i]); /* fabs: also -0 counts as 0 */
    }
    *out = n > 0 ? n / sum : NAN;
    return 0;
}

int stats_auc(const double *zero, int n_zero, const double *one, int n_one, double *out,
              struct err *e)
{
    struct roc r;
    if (roc_init(&r, zero, n_zero, one, n_one, e))
        return -1;
    *out = roc_auc(&r);
    roc_fini(&r);
    return 0;
}

int stats_tpr_at_fpr(const double *zero, int n_zero, const double *one, int n_one, double most,
                     double *out, struct err *e)
{
    struct roc r;
    if (roc_init(&r, zero, n_zero, one, n_one, e))
        return -1;
    *out = roc_tpr(&r, most);
    roc_fini(&r);
    return 0;
}

double stats_relative_difference(double auc, double reference_auc)
{
    return (auc - reference_auc) / (reference_auc + TINY) * 100;
}

double stats_privleak(double auc, double reference_auc)
{
    return stats_relative_difference(1 - auc, 1 - reference_auc);
}

double stats_probability_with_options(double correct, const double *wrong, int n_wrong)
{
    double sum = correct;
    for (int i = 0; i < n_wrong; i++)
        sum += wrong[i];
    return correct / (sum + TINY);
}

double stats_answer_probability(const double *loss, int n, enum truth_mean mean)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += mean == TRUTH_GEOMETRIC ? loss[i] : exp(-loss[i]);
    return mean == TRUTH_GEOMETRIC ? exp(-sum / n) : sum / n;
}

double stats_truth_score(double correct, double wrong, enum truth_kind kind)
{
    if (kind == TRUTH_PROB_MEAN)
        return correct / (correct + wrong + TINY);
    return wrong / (correct + TINY);
}

double stats_truth_value(double score, enum truth_kind kind)
{
    if (isnan(score))
        return NAN;
    switch (kind) {
    case TRUTH_CLOSER_TO_1:
        return fmin(score, 1 / (score + TINY));
    case TRUTH_TRUE_BETTER:
        return fmax(0, 1 - score);
    default:
        return score;
    }
}
