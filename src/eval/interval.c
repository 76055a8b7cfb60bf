#include "eval/stats.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sort.h"
#include "base/rng.h"

/* The quantile of sorted values, linearly interpolated. */
static double quantile(const double *v, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? v[i] + (at - i) * (v[i + 1] - v[i]) : v[n - 1];
}

/* w NULL: all ones. */
static double draw_ratio(const double *v, const double *w, int n, struct rng *r)
{
    double sum = 0, by = 0;
    for (int i = 0; i < n; i++) {
        uint64_t k = (uint64_t)rng_u32(r) * (uint64_t)n >> 32;
        sum += v[k];
        by += w ? w[k] : 1;
    }
    return sum / by;
}

int interval_of_ratio(const double *v, const double *w, int n, int draws, double level,
                      uint32_t seed, struct interval *out, struct err *e)
{
    *out = (struct interval){NAN, NAN};
    double *there = mem_alloc(2 * (size_t)n, sizeof *there, e);
    double *ratios = there ? mem_alloc((size_t)draws, sizeof *ratios, e) : NULL;
    int count = 0;
    for (int i = 0; ratios && i < n; i++)
        if (!isnan(v[i])) {
            there[n + count] = w ? w[i] : 1;
            there[count++] = v[i];
        }
    if (ratios && count && draws > 0) {
        struct rng r;
        rng_seed(&r, seed);
        for (int i = 0; i < draws; i++)
            ratios[i] = draw_ratio(there, w ? there + n : NULL, count, &r);
        sort_doubles(ratios, (size_t)draws);
        *out = (struct interval){quantile(ratios, draws, (1 - level) / 2),
                                 quantile(ratios, draws, (1 + level) / 2)};
    }
    free(there);
    free(ratios);
    return ratios ? 0 : -1;
}

int interval_of_mean(const double *v, int n, int draws, double level, uint32_t seed,
                     struct interval *out, struct err *e)
{
    return interval_of_ratio(v, NULL, n, draws, level, seed, out, e);
}

static double auc_of(const struct roc *r, double unused)
{
    (void)unused;
    return roc_auc(r);
}

/* Bootstrap interval of `figure` over samples of both sides. */
static int interval_of_roc(const double *zero, int n_zero, const double *one, int n_one,
                           double (*figure)(const struct roc *, double), double most, int draws,
                           double level, uint32_t seed, struct interval *out, struct err *e)
{
    struct roc r;
    *out = (struct interval){NAN, NAN};
    if (roc_init(&r, zero, n_zero, one, n_one, e))
        return -1;
    double *v = mem_alloc((size_t)draws, sizeof *v, e);
    if (v && r.n_zero && r.n_one && draws > 0) {
        struct rng rng;
        rng_seed(&rng, seed);
        for (int i = 0; i < draws; i++) {
            roc_draw(&r, &rng);
            v[i] = figure(&r, most);
        }
        sort_doubles(v, (size_t)draws);
        *out = (struct interval){quantile(v, draws, (1 - level) / 2),
                                 quantile(v, draws, (1 + level) / 2)};
    }
    free(v);
    roc_fini(&r);
    return v ? 0 : -1;
}

int interval_of_auc(const double *zero, int n_zero, const double *one, int n_one, int draws,
                    double level, uint32_t seed, struct interval *out, struct err *e)
{
    return interval_of_roc(zero, n_zero, one, n_one, auc_of, 0, draws, level, seed, out, e);
}

int interval_of_tpr(const double *zero, int n_zero, const double *one, int n_one, double most,
                    int draws, double level, uint32_t seed, struct interval *out, struct err *e)
{
    return interval_of_roc(zero, n_zero, one, n_one, roc_tpr, most, draws, level, seed, out, e);
}

/* The continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), evaluated
 * from the front by Lentz's method. */
static double beta_fraction(double x, double a, double b)
{
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double f = d;
    for (int m = 1; m < 10000; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        double before = f;
        for (int i = 0; i < 2; i++) {
            double term = i ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            f *= c * d;
        }
        if (fabs(f - before) <= 1e-16 * fabs(f))
            break;
    }
    return f;
}

/* P(X <= x) for X ~ Beta(a,b). */
static double beta_cdf(double x, double a, double b)
{
    if (x <= 0 || x >= 1)
        return x >= 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(x, a, b) / a;
    return 1 - front * beta_fraction(1 - x, b, a) / b;
}

static double beta_quantile(double q, double a, double b)
{
    double low = 0, high = 1;
    for (int i = 0; i < 200 && high - low > 1e-16 * high; i++) {
        double x = (low + high) / 2;
        if (beta_cdf(x, a, b) < q)
            low = x;
        else
            high = x;
    }
    return (low + high) / 2;
}

struct interval interval_of_rate(int k, int n, double level)
{
    double tail = (1 - level) / 2;
    if (n <= 0)
        return (struct interval){NAN, NAN};
    return (struct interval){k > 0 ? beta_quantile(tail, k, n - k + 1) : 0,
                             k < n ? beta_quantile(1 - tail, k + 1, n - k) : 1};
}
