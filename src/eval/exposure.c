/* Canary exposure (arXiv 1802.08232). */
#include <math.h>

#include "eval/robustness.h"

static const double pi = 3.14159265358979323846;

double exposure_of_rank(const double *loss, int n, double own)
{
    int rank = 1;
    for (int i = 0; i < n; i++)
        rank += loss[i] < own;
    return log2(n + 1) - log2(rank);
}

/* log of the standard normal distribution function; the asymptotic series where erfc underflows. */
static double log_phi(double x)
{
    if (x > -30)
        return log(erfc(-x / sqrt(2)) / 2);
    const double s = 1 / (x * x);
    return -x * x / 2 - log(-x) - log(2 * pi) / 2 + log1p(-s * (1 - 3 * s * (1 - 5 * s)));
}

/* A skew-normal distribution: density 2/scale phi(z) Phi(shape z), z = (x - location)/scale. */
struct skew_normal {
    double location, scale, shape;
};

/* By the method of moments; a skewness beyond what the family has is limited to .99 of it. */
static struct skew_normal fit_moments(const double *v, int n)
{
    const double mean = stats_mean(v, n), most = 0.99 * 0.99527174643115598;
    double m2 = 0, m3 = 0;
    for (int i = 0; i < n; i++) {
        const double d = v[i] - mean;
        m2 += d * d / n;
        m3 += d * d * d / n;
    }
    const double skew = fmax(-most, fmin(most, m3 / pow(m2, 1.5)));
    const double s = pow(fabs(skew), 2.0 / 3), rest = pow((4 - pi) / 2, 2.0 / 3);
    const double delta = copysign(sqrt(pi / 2 * s / (s + rest)), skew);
    const double scale = sqrt(m2 / (1 - 2 * delta * delta / pi));
    return (struct skew_normal){mean - scale * delta * sqrt(2 / pi), scale,
                                delta / sqrt(1 - delta * delta)};
}

static double log_density(double z, double shape)
{
    return log(2) - z * z / 2 - log(2 * pi) / 2 + log_phi(shape * z);
}

/* log of the distribution function, by Simpson's rule on the density relative to its largest value
 * below x, over as far as it matters. */
static double log_distribution(const struct skew_normal *f, double x)
{
    enum { POINTS = 20000 };
    const double z = (x - f->location) / f->scale, least = fmin(z, -1) - 12;
    double top = -INFINITY, sum = 0;
    const double h = (z - least) / POINTS;
    for (int i = 0; i <= POINTS; i++)
        top = fmax(top, log_density(least + i * h, f->shape));
    for (int i = 0; i <= POINTS; i++) {
        const int weight = i == 0 || i == POINTS ? 1 : i % 2 ? 4 : 2;
        sum += weight * exp(log_density(least + i * h, f->shape) - top);
    }
    return top + log(sum * h / 3);
}

double exposure_estimate(const double *loss, int n, double own)
{
    const struct skew_normal f = fit_moments(loss, n);
    return f.scale > 0 ? fmax(0, -log_distribution(&f, own) / log(2)) : NAN;
}
