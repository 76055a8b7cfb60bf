/* Linear layers: sgemm, and biases. */
#include <cblas.h>
#include <string.h>

#include "tensor/cpu.h"

/* beta 0 promises not to read what is there, which may be NaN; BLAS leaves that open for gemv. */
static void vector_times(CBLAS_TRANSPOSE trans, float *y, const float *w, const float *x, int i,
                         int o, float beta)
{
    if (beta == 0)
        memset(y, 0, sizeof *y * (size_t)(trans == CblasNoTrans ? o : i));
    cblas_sgemv(CblasRowMajor, trans, o, i, 1, w, i, x, 1, beta, y, 1);
}

void CPU(linear)(float *out, const float *x, const float *w, int n, int i, int o, float beta)
{
    if (n == 1)
        vector_times(CblasNoTrans, out, w, x, i, o, beta);
    else if (n > 1)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, o, i, 1, x, i, w, i, beta, out, o);
}

void CPU(linear_dx)(float *dx, const float *dout, const float *w, int n, int i, int o, float beta)
{
    if (n == 1)
        vector_times(CblasTrans, dx, w, dout, i, o, beta);
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
#pragma omp parallel for schedule(static)
    for (int r = 0; r < n; r++) {
        float *y = out + (size_t)r * o;
#pragma omp simd
        for (int j = 0; j < o; j++)
            y[j] += b[j];
    }
}

void CPU(bias_back)(float *db, const float *dout, int n, int o)
{
#pragma omp parallel
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
