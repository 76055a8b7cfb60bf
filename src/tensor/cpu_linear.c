/* Linear layers: sgemm, and biases. */
#include <cblas.h>

#include "tensor/cpu.h"

/* BLAS promises not to read the output where beta is 0. */
void CPU(linear)(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
    if (n == 1)
        cblas_sgemv(CblasRowMajor, CblasNoTrans, o, i, 1, w, i, x, 1, beta, out, 1);
    else if (n > 1)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, o, i, 1, x, i, w, i, beta, out, o);
}

void CPU(linear_dx)(float *dx, const float *dout, const float *w, int n, int i, int o, float beta)
{
    if (n == 1)
        cblas_sgemv(CblasRowMajor, CblasTrans, o, i, 1, w, i, dout, 1, beta, dx, 1);
    else if (n > 1)
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
