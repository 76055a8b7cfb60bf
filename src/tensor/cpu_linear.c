/* Linear layers: sgemm, except for few rows; and biases. */
#include <cblas.h>

#include "base/sizes.h"
#include "tensor/cpu.h"

/* Up to so many rows, as in generation, the time goes into reading the weights, and sgemm, which
 * first copies them, is slower. */
enum { FEW = SIZE(16, 5) };

/* out[n,outs] = x[n,i] w[outs,i]^T + beta * out; n and outs are constants. */
INLINE void few_kernel(float *out, size_t ldo, const float *x, const float *w, const int n, int i,
                       const int outs, float beta)
{
    vec sum[3][4] = {0};
    float rest[3][4] = {0};
    const size_t ld = (size_t)i;
    int l = 0;

    for (; l + LANES <= i; l += LANES) {
        for (int j = 0; j < outs; j++)
            __builtin_prefetch(w + (j + outs) * ld + l); /* the next rows, while these are reused */
        for (int r = 0; r < n; r++)
            for (int j = 0; j < outs; j++)
                sum[r][j] += *(const vec *)(x + r * ld + l) * *(const vec *)(w + j * ld + l);
    }
    for (; l < i; l++)
        for (int r = 0; r < n; r++)
            for (int j = 0; j < outs; j++)
                rest[r][j] += x[r * ld + l] * w[j * ld + l];
    for (int r = 0; r < n; r++) {
        for (int j = 0; j < outs; j++) {
            float *y = out + r * ldo + j, s = rest[r][j];
            for (int k = 0; k < LANES; k++)
                s += sum[r][j][k];
            *y = beta == 0 ? s : s + beta * *y;
        }
    }
}

/* All rows against `outs` rows of w, three at a time. */
INLINE void few_rows(float *out, size_t ldo, const float *x, const float *w, int n, int i,
                     const int outs, float beta)
{
    const size_t ld = (size_t)i;

    for (; n >= 3; n -= 3, x += 3 * ld, out += 3 * ldo)
        few_kernel(out, ldo, x, w, 3, i, outs, beta);
    if (n == 2)
        few_kernel(out, ldo, x, w, 2, i, outs, beta);
    if (n == 1)
        few_kernel(out, ldo, x, w, 1, i, outs, beta);
}

static void linear_few(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
#pragma omp parallel for schedule(static) if (cpu_worth(o, i))
    for (int j = 0; j < o; j += 4) {
        const float *wj = w + (size_t)j * i;
        if (j + 4 <= o)
            few_rows(out + j, (size_t)o, x, wj, n, i, 4, beta);
        else
            for (int k = j; k < o; k++, wj += i)
                few_rows(out + k, (size_t)o, x, wj, n, i, 1, beta);
    }
}

/* BLAS promises not to read the output where beta is 0. */
void CPU(linear)(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
    if (n > 0 && n <= FEW)
        linear_few(out, x, w, n, i, o, beta);
    else if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, o, i, 1, x, i, w, i, beta, out, o);
}

void CPU(linear_dx)(float *dx, const float *dout, const float *w, int n, int i, int o, float beta)
{
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, i, o, 1, dout, o, w, i, beta, dx,
                    i);
}

void CPU(linear_dw)(float *dw, const float *dout, const float *x, int n, int i, int o)
{
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, o, i, n, 1, dout, o, x, i, 1, dw, i);
}

void CPU(bias)(float *out, const float *b, int n, int o)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, o))
    for (int r = 0; r < n; r++) {
        float *y = out + (size_t)r * o;
#pragma omp simd
        for (int j = 0; j < o; j++)
            y[j] += b[j];
    }
}

void CPU(bias_back)(float *db, const float *dout, int n, int o)
{
#pragma omp parallel if (cpu_worth(n, o))
    {
        int first, end;
        cpu_columns(o, &first, &end);
        for (int r = 0; r < n; r++) {
            const float *dy = dout + (size_t)r * o;
#pragma omp simd
            for (int j = first; j < end; j++)
                db[j] += dy[j];
        }
    }
}
