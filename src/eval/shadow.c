/* Membership inference from shadow models: LiRA, U-LiRA and RMIA. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sort.h"
#include "eval/robustness.h"

double lira_phi(double p)
{
    p = fmin(fmax(p, 1e-12), 1 - 1e-12);
    return log(p) - log1p(-p);
}

static double median_of(const double *v, int n, double *scratch)
{
    memcpy(scratch, v, (size_t)n * sizeof *v);
    sort_doubles(scratch, (size_t)n);
    return n % 2 ? scratch[n / 2] : (scratch[n / 2 - 1] + scratch[n / 2]) / 2;
}

/* Population standard deviation. */
static double deviation_of(const double *v, int n)
{
    const double mean = stats_mean(v, n);
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (v[i] - mean) * (v[i] - mean);
    return sqrt(sum / n);
}

/* ln N(x; mean, sd) but for the constant. */
static double log_normal(double x, double mean, double sd)
{
    const double z = (x - mean) / sd;
    return -z * z / 2 - log(sd);
}

int lira_scores(const double *observed, const double *in, const double *out, int rows, int shadows,
                enum lira_kind kind, bool pooled, double *score, struct err *e)
{
    double *scratch = mem_alloc((size_t)shadows, sizeof *scratch, e);
    if (!scratch)
        return -1;
    const double all_in = deviation_of(in, rows * shadows),
                 all_out = deviation_of(out, rows * shadows);
    for (int i = 0; i < rows; i++) {
        const double *a = in + (size_t)i * (size_t)shadows, *b = out + (size_t)i * (size_t)shadows;
        const double sd_in = pooled ? all_in : deviation_of(a, shadows);
        const double sd_out = pooled ? all_out : deviation_of(b, shadows);
        const bool median = kind == LIRA_RATIO_MEDIAN;
        const double mean_in = median ? median_of(a, shadows, scratch) : stats_mean(a, shadows);
        const double mean_out = median ? median_of(b, shadows, scratch) : stats_mean(b, shadows);
        if (kind == LIRA_OFFLINE)
            score[i] = erfc(-(observed[i] - mean_out) / sd_out / sqrt(2)) / 2;
        else
            score[i] =
                log_normal(observed[i], mean_in, sd_in) - log_normal(observed[i], mean_out, sd_out);
    }
    free(scratch);
    return 0;
}

/* The average probability of a row under models that may, or may not, have been trained on it. */
static double mean_probability(const double *refs, const unsigned char *trained, int n, double a)
{
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (a < 0 || !trained || !trained[i]) {
            sum += refs[i];
            count++;
        }
    if (!count)
        return NAN;
    return a < 0 ? sum / count : (1 + a) / 2 * sum / count + (1 - a) / 2;
}

int rmia_scores(const double *p, const double *refs, const unsigned char *trained, int rows,
                const double *pop, const double *pop_refs, int n_pop, int n_refs, double a,
                double gamma, double *score, struct err *e)
{
    double *ratio = mem_alloc((size_t)n_pop, sizeof *ratio, e);
    if (!ratio)
        return -1;
    const size_t refs_a_row = (size_t)n_refs;
    for (int z = 0; z < n_pop; z++)
        ratio[z] = pop[z] / mean_probability(pop_refs + (size_t)z * refs_a_row, NULL, n_refs, a);
    for (int i = 0; i < rows; i++) {
        const size_t at = (size_t)i * refs_a_row;
        const double own = p[i] / mean_probability(refs + at, trained + at, n_refs, a);
        int above = 0;
        for (int z = 0; z < n_pop; z++)
            above += own / ratio[z] > gamma;
        score[i] = isnan(own) ? NAN : (double)above / n_pop;
    }
    free(ratio);
    return 0;
}
