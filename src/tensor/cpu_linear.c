/* Linear layers: sgemm, except for few rows; and biases. */
#include <cblas.h>

#include "tensor/cpu_few.h"

static void linear_few(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
#pragma omp parallel for schedule(static) if (cpu_worth(o, i))
    for (int j = 0; j < o; j += 4) {
        const float *wj = w + (size_t)j * i;
        few_rows(out + j, (size_t)o, x, (size_t)i, wj, n, i, o - j < 4 ? o - j : 4, beta);
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
