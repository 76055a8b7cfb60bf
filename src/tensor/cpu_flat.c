/* Operations on flat arrays, element by element, in pieces that threads share. */
#include <math.h>
#include <stdbool.h>

#include "base/rng.h"
#include "base/sizes.h"
#include "tensor/cpu.h"

void CPU(add)(float *y, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++)
            y[i] += x[i];
    }
}

void CPU(axpy)(float *y, float a, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++)
            y[i] += a * x[i];
    }
}

void CPU(scale)(float *y, float a, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++)
            y[i] *= a;
    }
}

void CPU(add_squares)(float *sum, double a, const float *x, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++)
            sum[i] += (float)(a * (double)x[i] * (double)x[i]);
    }
}

/* Always the same parts, added in order: the sum does not depend on the number of threads. */
double CPU(dot)(const float *x, const float *y, size_t n)
{
    enum { PARTS = SIZE(64, 5) };
    double part[PARTS], sum = 0;
    size_t len = (n + PARTS - 1) / PARTS;

#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < PARTS; p++) {
        size_t first = p * len < n ? p * len : n, end = first + len < n ? first + len : n;
        double s = 0;
#pragma omp simd reduction(+ : s)
        for (size_t i = first; i < end; i++)
            s += (double)x[i] * y[i];
        part[p] = s;
    }
    for (int p = 0; p < PARTS; p++)
        sum += part[p];
    return sum;
}

int CPU(all_finite)(const float *x, size_t n)
{
    int bad = 0;

#pragma omp parallel for schedule(static) reduction(| : bad) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd reduction(| : bad)
        for (size_t i = p; i < end; i++)
            bad |= !(fabsf(x[i]) < INFINITY);
    }
    return !bad;
}

void CPU(dropout)(float *out, const float *x, size_t n, const struct dropout *d)
{
    const uint64_t drop = (uint64_t)(d->share * 4294967296.0);
    const float keep = (float)(1 / (1 - d->share));
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t i = 0; i < n; i++)
        out[i] = rng_at(d->key, d->first + i) >> 32 < drop ? 0 : x[i] * keep;
}

void CPU(adamw)(float *w, float *m, float *v, const float *g, size_t n, float gscale,
                const struct adamw *o)
{
    /* The scalars are computed in double and rounded once, as PyTorch does. */
    const float keep = (float)(1 - o->lr * o->decay);
    const float b1 = (float)(1 - o->beta1), b2 = (float)(1 - o->beta2), v_keep = (float)o->beta2;
    const float step = (float)(o->lr / (1 - pow(o->beta1, o->step)));
    const float root = (float)sqrt(1 - pow(o->beta2, o->step)), eps = (float)o->eps;

#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t i = p; i < end; i++) {
            float d = gscale * g[i];
            float mi = m[i] + b1 * (d - m[i]);
            float vi = v[i] * v_keep + b2 * d * d;
            m[i] = mi;
            v[i] = vi;
            w[i] = w[i] * keep - step * (mi / (sqrtf(vi) / root + eps));
        }
    }
}
