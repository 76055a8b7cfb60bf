/* Products of few rows, without a copy of the weights. */
#ifndef TENSOR_CPU_FEW_H
#define TENSOR_CPU_FEW_H

#include "tensor/cpu.h"

/* Up to so many rows, as in generation, sgemm, which first copies all weights, is slower; with
 * AVX-512, which holds more sums, longer. */
enum { FEW = SIZE(LANES == 16 ? 64 : 16, 5) };

/* Rows of x at once: with four of w their sums, and w, stay in registers. */
enum { FEW_ROWS = LANES == 16 ? 6 : 3 };

/* out[n,outs] = x[n,i] w[outs,i]^T + beta * out; n and outs are constants. Rows of out and x are
 * ldo and ldx apart. */
INLINE void few_kernel(float *out, size_t ldo, const float *x, size_t ldx, const float *w,
                       const int n, int i, const int outs, float beta)
{
    vec sum[FEW_ROWS][4];
    float rest[FEW_ROWS][4];
    const size_t ld = (size_t)i;
    int l = 0;

    for (int r = 0; r < n; r++)
        for (int j = 0; j < 4; j++) {
            sum[r][j] = (vec){0};
            rest[r][j] = 0;
        }
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
        const quad s = outs == 4 ? vec_sums(sum[r]) : (quad){vec_sum(sum[r][0])};
        for (int j = 0; j < outs; j++) {
            float *y = out + r * ldo + j;
            *y = rest[r][j] + s[j] + (beta == 0 ? 0 : beta * *y);
        }
    }
}

/* All rows against `outs` rows of w. */
INLINE void few_columns(float *out, size_t ldo, const float *x, size_t ldx, const float *w, int n,
                        int i, const int outs, float beta)
{
    for (; n >= FEW_ROWS; n -= FEW_ROWS, x += FEW_ROWS * ldx, out += FEW_ROWS * ldo)
        few_kernel(out, ldo, x, ldx, w, FEW_ROWS, i, outs, beta);
    if (FEW_ROWS > 3 && n >= 3) {
        few_kernel(out, ldo, x, ldx, w, 3, i, outs, beta);
        n -= 3, x += 3 * ldx, out += 3 * ldo;
    }
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
