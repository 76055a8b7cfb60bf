#include "train/certified.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { NEWTON_MOST = 100, JACOBI_MOST = 100 };

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static double length(const double *a, int n)
{
    return sqrt(dot(a, a, n));
}

static double logistic(double s)
{
    return s < 0 ? exp(s) / (1 + exp(s)) : 1 / (1 + exp(-s));
}

static int left(const struct head_data *h)
{
    int n = 0;
    for (int i = 0; i < h->n; i++)
        n += !h->gone[i];
    return n;
}

/* g [d] of L, over the rows that are left. */
static void gradient(const struct head_data *h, const double *w, double *g)
{
    const double penalty = h->lambda * left(h);
    for (int k = 0; k < h->d; k++)
        g[k] = penalty * w[k] + h->b[k];
    for (int i = 0; i < h->n; i++) {
        const double *x = h->x + (size_t)i * (size_t)h->d;
        if (h->gone[i])
            continue;
        const double z = logistic(h->y[i] * dot(x, w, h->d)), a = (z - 1) * h->y[i];
        for (int k = 0; k < h->d; k++)
            g[k] += a * x[k];
    }
}

/* m [d,d] = sum over the rows that are left of their weights times x x^T, plus `diagonal`; the
 * weight is z (1 - z) at w, or without w 1. */
static void second_moment(const struct head_data *h, const double *w, double diagonal, double *m)
{
    const size_t d = (size_t)h->d;
    memset(m, 0, d * d * sizeof *m);
    for (int i = 0; i < h->n; i++) {
        const double *x = h->x + (size_t)i * d;
        if (h->gone[i])
            continue;
        const double z = w ? logistic(h->y[i] * dot(x, w, h->d)) : 0;
        const double a = w ? z * (1 - z) : 1;
        for (size_t r = 0; r < d; r++)
            for (size_t c = 0; c <= r; c++)
                m[r * d + c] += a * x[r] * x[c];
    }
    for (size_t r = 0; r < d; r++) {
        m[r * d + r] += diagonal;
        for (size_t c = 0; c < r; c++)
            m[c * d + r] = m[r * d + c];
    }
}

/* v = m^-1 v by Cholesky; m [d,d] is overwritten. */
static int solve(double *m, double *v, int n, struct err *e)
{
    const size_t d = (size_t)n;
    for (size_t r = 0; r < d; r++)
        for (size_t c = 0; c <= r; c++) {
            const double s = m[r * d + c] - dot(m + r * d, m + c * d, (int)c);
            if (c == r && !(s > 0))
                return err_code(e, ERR_NOT_FINITE,
                                "the Hessian is singular at column %zu: lambda "
                                "is too small, or a feature is not finite",
                                r);
            m[r * d + c] = c == r ? sqrt(s) : s / m[c * d + c];
        }
    for (size_t r = 0; r < d; r++)
        v[r] = (v[r] - dot(m + r * d, v, (int)r)) / m[r * d + r];
    for (size_t r = d; r-- > 0;) {
        for (size_t k = r + 1; k < d; k++)
            v[r] -= m[k * d + r] * v[k];
        v[r] /= m[r * d + r];
    }
    return 0;
}

/* A rotation of rows and columns p, q of a symmetric m [d,d] that makes m[p,q] zero. */
static void rotate(double *m, size_t d, size_t p, size_t q)
{
    const double apq = m[p * d + q];
    if (apq == 0)
        return;
    const double t = (m[q * d + q] - m[p * d + p]) / (2 * apq);
    const double tan = (t < 0 ? -1 : 1) / (fabs(t) + sqrt(t * t + 1));
    const double c = 1 / sqrt(tan * tan + 1), s = tan * c;
    for (size_t k = 0; k < d; k++) {
        const double a = m[k * d + p], b = m[k * d + q];
        m[k * d + p] = c * a - s * b;
        m[k * d + q] = s * a + c * b;
    }
    for (size_t k = 0; k < d; k++) {
        const double a = m[p * d + k], b = m[q * d + k];
        m[p * d + k] = c * a - s * b;
        m[q * d + k] = s * a + c * b;
    }
}

/* The largest eigenvalue of a symmetric m [d,d], by Jacobi rotations: an estimate from below, as of
 * power iteration, would not bound anything. m is overwritten. */
static double largest_eigenvalue(double *m, int n)
{
    const size_t d = (size_t)n;
    for (int sweep = 0; sweep < JACOBI_MOST; sweep++) {
        double off = 0, on = 0;
        for (size_t r = 0; r < d; r++)
            for (size_t c = 0; c < d; c++)
                *(r == c ? &on : &off) += m[r * d + c] * m[r * d + c];
        if (off <= 1e-30 * on)
            break;
        for (size_t p = 0; p < d; p++)
            for (size_t q = p + 1; q < d; q++)
                rotate(m, d, p, q);
    }
    double top = 0;
    for (size_t r = 0; r < d; r++)
        top = fmax(top, m[r * d + r]);
    return top;
}

int certified_train(const struct head_data *h, double *w, double *residual, struct err *e)
{
    const size_t d = (size_t)h->d;
    double *m = mem_alloc(d * d, sizeof *m, e), *g = mem_alloc(d, sizeof *g, e);
    int rc = m && g ? 0 : -1;
    double before = INFINITY;
    for (int step = 0; !rc && step < NEWTON_MOST; step++) {
        gradient(h, w, g);
        *residual = length(g, h->d);
        if (!isfinite(*residual))
            rc = err_code(e, ERR_NOT_FINITE, "the head's gradient is not finite");
        if (rc || (step && *residual >= 0.5 * before && *residual < 1e-6))
            break; /* rounding is all that is left */
        before = *residual;
        second_moment(h, w, h->lambda * left(h), m);
        rc = solve(m, g, h->d, e);
        for (size_t k = 0; !rc && k < d; k++)
            w[k] -= g[k];
    }
    free(m);
    free(g);
    return rc;
}

static double bound_of(const struct head_data *h, const double *delta, double spectral)
{
    double sum = 0;
    for (int i = 0; i < h->n; i++) {
        const double a = h->gone[i] ? 0 : dot(h->x + (size_t)i * (size_t)h->d, delta, h->d);
        sum += a * a;
    }
    return 0.25 * spectral * length(delta, h->d) * sqrt(sum);
}

int certified_remove(const struct head_data *h, int row, double *w, double *delta,
                     struct head_removal *r, struct err *e)
{
    const size_t d = (size_t)h->d;
    if (row < 0 || row >= h->n)
        return err_about(e, "rows", "there is no row %d among %d", row, h->n);
    if (h->gone[row])
        return err_about(e, "rows", "row %d is removed already", row);
    if (left(h) == 1)
        return err_about(e, "rows", "row %d is the last", row);
    double *m = mem_alloc(d * d, sizeof *m, e), *g = mem_alloc(d, sizeof *g, e);
    int rc = m && g ? 0 : -1;
    if (!rc) {
        const double *x = h->x + (size_t)row * d;
        const double a = (logistic(h->y[row] * dot(x, w, h->d)) - 1) * h->y[row];
        h->gone[row] = true;
        for (size_t k = 0; k < d; k++)
            delta[k] = a * x[k] + h->lambda * w[k];
        second_moment(h, w, h->lambda * left(h), m);
        rc = solve(m, delta, h->d, e);
    }
    if (!rc) {
        for (size_t k = 0; k < d; k++)
            w[k] += delta[k];
        second_moment(h, NULL, 0, m);
        r->spectral = sqrt(largest_eigenvalue(m, h->d));
        r->bound = bound_of(h, delta, r->spectral);
        gradient(h, w, g);
        r->residual = length(g, h->d);
    }
    free(m);
    free(g);
    return rc;
}

double certified_epsilon(double bounds, double sigma, double delta)
{
    return sqrt(2 * log(1.5 / delta)) * bounds / sigma;
}
