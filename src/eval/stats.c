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

double stats_share(double correct, const double *wrong, int n_wrong, bool tiny)
{
    double sum = tiny ? exp(correct) : 1;
    for (int i = 0; i < n_wrong; i++)
        sum += exp(tiny ? wrong[i] : wrong[i] - correct);
    return tiny ? exp(correct) / (sum + TINY) : 1 / sum;
}

double stats_log_mean_exp(const double *v, int n)
{
    double top = -INFINITY, sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, v[i]); /* skips NaN */
    for (int i = 0; i < n; i++)
        if (!isnan(v[i])) {
            sum += exp(v[i] - top);
            count++;
        }
    if (!count)
        return NAN;
    return isinf(top) ? top : top + log(sum / count);
}

double stats_answer_logp(const double *loss, int n, enum truth_mean mean)
{
    double sum = 0, least = INFINITY;
    for (int i = 0; i < n; i++) {
        sum += loss[i];
        least = fmin(least, loss[i]);
    }
    if (mean == TRUTH_GEOMETRIC || isnan(sum) || isinf(least))
        return -sum / n;
    sum = 0;
    for (int i = 0; i < n; i++)
        sum += exp(least - loss[i]);
    return log(sum / n) - least;
}

double stats_truth_score(double correct, double wrong, enum truth_kind kind, bool tiny)
{
    if (kind == TRUTH_PROB_MEAN)
        return stats_share(correct, &wrong, 1, tiny);
    return tiny ? exp(wrong) / (exp(correct) + TINY) : exp(wrong - correct);
}

double stats_truth_value(double score, enum truth_kind kind, bool tiny)
{
    if (isnan(score))
        return NAN;
    switch (kind) {
    case TRUTH_CLOSER_TO_1:
        return fmin(score, 1 / (tiny ? score + TINY : score));
    case TRUTH_TRUE_BETTER:
        return fmax(0, 1 - score);
    default:
        return score;
    }
}
