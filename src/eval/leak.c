#include <math.h>

#include "eval/robustness.h"

double leak_at_k(int n, int c, int k)
{
    double none = 1; /* C(n-c, k) / C(n, k), as a product */
    if (n - c < k)
        return 1;
    for (int i = n - c + 1; i <= n; i++)
        none *= 1 - (double)k / i;
    return 1 - none;
}

double leak_expected_max(const double *sorted, int n, int k)
{
    /* the i-th smallest is the largest of C(i-1, k-1) of C(n, k) draws; from the largest down */
    double sum = 0, weight = (double)k / n;
    for (int i = n; i >= k; i--) {
        sum += weight * sorted[i - 1];
        weight *= i > 1 ? (double)(i - k) / (i - 1) : 0;
    }
    return sum;
}

double leak_dkw(int n, double alpha)
{
    return sqrt(log(1 / alpha) / (2.0 * n));
}

/* F_n(x): share of scores <= x. */
static double cdf(const double *sorted, int n, double x)
{
    int lo = 0, hi = n;
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if (sorted[mid] <= x)
            lo = mid + 1;
        else
            hi = mid;
    }
    return (double)lo / n;
}

static double at(int i, int grid)
{
    return (double)i / (grid - 1);
}

/* One minus the integral of F_n + shift, within [0,1], over [0,1]. */
static double one_minus_area(const double *sorted, int n, double shift)
{
    double area = 0;
    for (int i = 0; i <= n; i++) {
        const double from = i ? sorted[i - 1] : 0, to = i < n ? sorted[i] : 1;
        area += (to - from) * fmin(fmax((double)i / n + shift, 0), 1);
    }
    return 1 - area;
}

struct interval leak_mean_bounds(const double *sorted, int n, double alpha, int grid)
{
    const double eps = leak_dkw(n, alpha);
    if (!grid)
        return (struct interval){one_minus_area(sorted, n, eps), one_minus_area(sorted, n, -eps)};
    double low = 1, high = 1;
    for (int i = 0; i + 1 < grid; i++) {
        const double h = at(i + 1, grid) - at(i, grid);
        low -= h * fmin(cdf(sorted, n, at(i + 1, grid)) + eps, 1);
        high -= h * fmax(cdf(sorted, n, at(i, grid)) - eps, 0);
    }
    return (struct interval){low, high};
}

/* Largest (or least) squared distance of the ends of a cell to the ends of the mean's interval. */
static double cell_distance(int i, int grid, struct interval mean, bool largest)
{
    double d = largest ? 0 : INFINITY;
    for (int end = 0; end < 2; end++) {
        const double a = at(i + end, grid) - mean.low, b = at(i + end, grid) - mean.high;
        d = largest ? fmax(d, fmax(a * a, b * b)) : fmin(d, fmin(a * a, b * b));
    }
    return d;
}

struct interval leak_variance_bounds(const double *sorted, int n, double alpha)
{
    enum { GRID = 100, CELLS = GRID - 1 };
    const double eps = leak_dkw(n, alpha / 2);
    const struct interval mean = leak_mean_bounds(sorted, n, alpha / 2, GRID);
    double bound[2];
    for (int up = 0; up < 2; up++) {
        /* summation by parts: the distribution function counts where the distance falls */
        double first = cell_distance(0, GRID, mean, up), last = first, sum = 0;
        for (int i = 1; i < CELLS; i++) {
            const double d = cell_distance(i, GRID, mean, up);
            const double sign = (last - d > 0) == up ? 1 : -1;
            sum += (cdf(sorted, n, at(i, GRID)) + sign * eps) * (last - d);
            last = d;
        }
        const double f0 = cdf(sorted, n, 0);
        bound[up] = sum + last - first * (up ? fmax(f0 - eps, 0) : fmin(f0 + eps, 1));
    }
    return (struct interval){fmax(bound[0], 0), bound[1]};
}
