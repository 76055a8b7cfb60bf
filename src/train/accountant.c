#include "train/accountant.h"

#include <math.h>

/* log(exp(a) + sign exp(b)). */
static double log_add(double a, double b, int sign)
{
    if (isinf(b) && b < 0)
        return a;
    if (isinf(a) && a < 0)
        return b;
    const double top = fmax(a, b), low = fmin(a, b);
    return top + log1p(sign * exp(low - top));
}

/* log erfc(x), also where erfc underflows: by its asymptotic series. */
static double log_erfc(double x)
{
    const double y = 1 / (2 * x * x);
    return x < 20 ? log(erfc(x))
                  : -x * x - log(x) - 0.5 * log(M_PI) +
                        log1p(-y * (1 - 3 * y * (1 - 5 * y * (1 - 7 * y))));
}

/* log A, A = E_{x ~ N(0, sigma^2)} (1 - q + q exp((2 x - 1) / 2 sigma^2))^alpha: a binomial sum. */
static double log_a_whole(double q, double sigma, int alpha)
{
    double sum = -INFINITY;
    for (int i = 0; i <= alpha; i++) {
        const double choose = lgamma(alpha + 1.0) - lgamma(i + 1.0) - lgamma(alpha - i + 1.0);
        const double term = choose + i * log(q) + (alpha - i) * log1p(-q) +
                            (double)i * (i - 1) / (2 * sigma * sigma);
        sum = log_add(sum, term, 1);
    }
    return sum;
}

/* For any alpha (section 3.3): the binomial series on both sides of z0, where its two parts are
 * equal, each weighted by the tail of the Gaussian there. */
static double log_a_any(double q, double sigma, double alpha)
{
    const double z0 = sigma * sigma * log(1 / q - 1) + 0.5, s2 = 2 * sigma * sigma;
    const double wide = sqrt(2) * sigma;
    double below = -INFINITY, above = -INFINITY, log_choose = 0;
    int sign = 1;
    for (int i = 0;; i++) {
        const double j = alpha - i;
        const double b = log_choose + i * log(q) + j * log1p(-q) + (double)i * (i - 1) / s2 +
                         log(0.5) + log_erfc((i - z0) / wide);
        const double a = log_choose + j * log(q) + i * log1p(-q) + j * (j - 1) / s2 + log(0.5) +
                         log_erfc((z0 - j) / wide);
        below = log_add(below, b, sign);
        above = log_add(above, a, sign);
        if (fmax(a, b) < -30)
            break;
        sign = j < 0 ? -sign : sign;
        log_choose += log(fabs(j)) - log(i + 1.0);
    }
    return log_add(below, above, 1);
}

double rdp_of_step(double q, double sigma, double alpha)
{
    if (q <= 0)
        return 0;
    if (sigma <= 0)
        return INFINITY;
    if (q >= 1)
        return alpha / (2 * sigma * sigma);
    const double log_a =
        alpha == floor(alpha) ? log_a_whole(q, sigma, (int)alpha) : log_a_any(q, sigma, alpha);
    return log_a / (alpha - 1);
}

enum { TENTHS = 99, FIRST_WHOLE = 12, LAST_WHOLE = 63 };

static double order_of(int k)
{
    return k < TENTHS ? 1 + (k + 1) / 10.0 : FIRST_WHOLE + k - TENTHS;
}

struct privacy privacy_of(double q, double sigma, long steps, double delta)
{
    enum { N = TENTHS + LAST_WHOLE - FIRST_WHOLE + 1 };
    struct privacy p = {.epsilon = INFINITY, .classic = INFINITY};
    for (int k = 0; k < N; k++) {
        const double a = order_of(k), rdp = (double)steps * rdp_of_step(q, sigma, a);
        const double epsilon = rdp - (log(delta) + log(a)) / (a - 1) + log((a - 1) / a);
        p.classic = fmin(p.classic, rdp - log(delta) / (a - 1));
        if (epsilon < p.epsilon) {
            p.epsilon = epsilon;
            p.order = a;
            p.edge = k == 0 || k + 1 == N;
        }
    }
    p.epsilon = fmax(p.epsilon, 0);
    return p;
}
