#include "eval/stats.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/mem.h"

#define TINY 1e-10 /* keeps divisions finite; part of the published definitions */

struct scored {
    double value;
    bool one;
};

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

static int compare_scored(const void *a, const void *b)
{
    double x = ((const struct scored *)a)->value, y = ((const struct scored *)b)->value;
    return (x > y) - (x < y);
}

static int collect(struct scored *to, const double *v, int n, bool one)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i]))
            to[count++] = (struct scored){v[i], one};
    return count;
}

/* Both samples without what is missing, sorted together; how many of each. */
static struct scored *merge(const double *zero, int n_zero, const double *one, int n_one,
                            int count[2], struct err *e)
{
    struct scored *all = mem_alloc((size_t)n_zero + (size_t)n_one, sizeof *all, e);
    if (!all)
        return NULL;
    count[0] = collect(all, zero, n_zero, false);
    count[1] = collect(all + count[0], one, n_one, true);
    if (count[0] + count[1])
        qsort(all, (size_t)(count[0] + count[1]), sizeof *all, compare_scored);
    return all;
}

int stats_auc(const double *zero, int n_zero, const double *one, int n_one, double *out,
              struct err *e)
{
    int count[2];
    struct scored *all = merge(zero, n_zero, one, n_one, count, e);
    if (!all)
        return -1;
    double wins = 0, below = 0; /* zeros passed so far */
    for (int i = 0, n = count[0] + count[1]; i < n;) {
        double tied[2] = {0, 0};
        int j = i;
        for (; j < n && all[j].value == all[i].value; j++)
            tied[all[j].one]++;
        wins += tied[1] * (below + tied[0] / 2);
        below += tied[0];
        i = j;
    }
    *out = count[0] && count[1] ? wins / ((double)count[0] * count[1]) : NAN;
    free(all);
    return 0;
}

int stats_tpr_at_fpr(const double *zero, int n_zero, const double *one, int n_one, double most,
                     double *out, struct err *e)
{
    int count[2], passed[2] = {0, 0}, ones = 0;
    struct scored *all = merge(zero, n_zero, one, n_one, count, e);
    if (!all)
        return -1;
    for (int i = count[0] + count[1] - 1; i >= 0; i--) {
        passed[all[i].one]++;
        if (passed[0] > most * count[0])
            break;
        if (!i || all[i - 1].value != all[i].value) /* tied values pass together */
            ones = passed[1];
    }
    *out = count[0] && count[1] ? (double)ones / count[1] : NAN;
    free(all);
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
