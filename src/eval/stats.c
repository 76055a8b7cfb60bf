#include "eval/stats.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

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

struct value {
    double value;
    int i; /* its index among all */
};

static int compare_values(const void *a, const void *b)
{
    double x = ((const struct value *)a)->value, y = ((const struct value *)b)->value;
    return (x > y) - (x < y);
}

static int collect(struct value *to, int first, const double *v, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(v[i])) {
            to[first + count] = (struct value){v[i], first + count};
            count++;
        }
    return count;
}

static void count(struct roc *r, int i)
{
    if (i < r->n_zero)
        r->at[r->place[i]].zero++;
    else
        r->at[r->place[i]].one++;
}

int roc_init(struct roc *r, const double *zero, int n_zero, const double *one, int n_one,
             struct err *e)
{
    size_t most = (size_t)n_zero + (size_t)n_one;
    struct value *all = mem_alloc(most, sizeof *all, e);
    *r = (struct roc){.at = mem_alloc(most, sizeof *r->at, e),
                      .place = mem_alloc(most, sizeof *r->place, e)};
    if (!all || !r->at || !r->place) {
        free(all);
        roc_fini(r);
        return -1;
    }
    r->n_zero = collect(all, 0, zero, n_zero);
    r->n_one = collect(all, r->n_zero, one, n_one);
    int n = r->n_zero + r->n_one;
    if (n)
        qsort(all, (size_t)n, sizeof *all, compare_values);
    for (int i = 0; i < n; i++) {
        r->n += !i || all[i].value != all[i - 1].value;
        r->place[all[i].i] = r->n - 1;
    }
    for (int i = 0; i < n; i++)
        count(r, i);
    free(all);
    return 0;
}

void roc_draw(struct roc *r, struct rng *rng)
{
    memset(r->at, 0, (size_t)r->n * sizeof *r->at);
    for (int i = 0; i < r->n_zero; i++)
        count(r, (int)((uint64_t)rng_u32(rng) * (uint64_t)r->n_zero >> 32));
    for (int i = 0; i < r->n_one; i++)
        count(r, r->n_zero + (int)((uint64_t)rng_u32(rng) * (uint64_t)r->n_one >> 32));
}

void roc_fini(struct roc *r)
{
    free(r->at);
    free(r->place);
    *r = (struct roc){0};
}

double roc_auc(const struct roc *r)
{
    double wins = 0, below = 0; /* zeros passed so far */
    for (int i = 0; i < r->n; i++) {
        wins += r->at[i].one * (below + r->at[i].zero / 2.0);
        below += r->at[i].zero;
    }
    return r->n_zero && r->n_one ? wins / ((double)r->n_zero * r->n_one) : NAN;
}

double roc_tpr(const struct roc *r, double most)
{
    int zeros = 0, ones = 0;
    for (int i = r->n - 1; i >= 0 && zeros + r->at[i].zero <= most * r->n_zero; i--) {
        zeros += r->at[i].zero;
        ones += r->at[i].one;
    }
    return r->n_zero && r->n_one ? (double)ones / r->n_one : NAN;
}
