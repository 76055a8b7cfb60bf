/* Products of few rows, without a copy of the weights. */
#ifndef TENSOR_CPU_FEW_H
#define TENSOR_CPU_FEW_H

#include "tensor/cpu.h"

/* Up to so many rows, as in generation, the time goes into reading the weights, and sgemm, which
 * first copies them, is slower. */
enum { FEW = SIZE(16, 5) };

/* out[n,outs] = x[n,i] w[outs,i]^T + beta * out; n and outs are constants. Rows of out and x are
 * ldo and ldx apart. */
INLINE void few_kernel(float *out, size_t ldo, const float *x, size_t ldx, const float *w,
                       const int n, int i, const int outs, float beta)
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
                sum[r][j] += *(const vec *)(x + r * ldx + l) * *(const vec *)(w + j * ld + l);
    }
    for (; l < i; l++)
        for (int r = 0; r < n; r++)
            for (int j = 0; j < outs; j++)
                rest[r][j] += x[r * ldx + l] * w[j * ld + l];
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
INLINE void few_columns(float *out, size_t ldo, const float *x, size_t ldx, const float *w, int n,
                        int i, const int outs, float beta)
{
    for (; n >= 3; n -= 3, x += 3 * ldx, out += 3 * ldo)
        few_kernel(out, ldo, x, ldx, w, 3, i, outs, beta);
    if (n == 2)
        few_kernel(out, ldo, x, ldx, w, 2, i, outs, beta);
    if (n == 1)
        few_kernel(out, ldo, x, ldx, w, 1, i, outs, beta);
}

/* The same for up to four rows of w. */
static void few_rows(float *out, size_t ldo, const float *x, size_t ldx, const float *w, int n,
                     int i, int outs, float beta)
{
    if (outs == 4)
        few_columns(out, ldo, x, ldx, w, n, i, 4, beta);
    else
        for (int k = 0; k < outs; k++, w += i)
            few_columns(out + k, ldo, x, ldx, w, n, i, 1, beta);
}

#endif
