/* RMSNorm and LayerNorm, row by row. */
#include <math.h>

#include "tensor/cpu.h"

void CPU(rmsnorm)(float *out, float *rstd, const float *x, const float *w, int n, int c, float eps,
                  float w_offset)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        const float *xr = x + (size_t)r * c;
        float *y = out + (size_t)r * c, sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < c; j++)
            sum += xr[j] * xr[j];
        float s = 1.0f / sqrtf(sum / (float)c + eps);
        rstd[r] = s;
#pragma omp simd
        for (int j = 0; j < c; j++)
            y[j] = xr[j] * s * (w[j] + w_offset);
    }
}

/* With h = x rstd and g = dout (w + offset): dx = rstd (g - h mean(g h)), dw = sum over rows of
 * dout h. */
static void rmsnorm_row_back(float *dx, const float *dout, const float *x, const float *w, float s,
                             int c, float w_offset)
{
    float sum = 0;

#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < c; j++)
        sum += dout[j] * (w[j] + w_offset) * x[j];
    float mean = sum * s * s / (float)c;
#pragma omp simd
    for (int j = 0; j < c; j++)
        dx[j] += s * (dout[j] * (w[j] + w_offset) - x[j] * mean);
}

static void rmsnorm_dw(float *dw, const float *dout, const float *x, const float *rstd, int n,
                       int c)
{
#pragma omp parallel if (cpu_worth(n, c))
    {
        int first, end;
        cpu_columns(c, &first, &end);
        for (int r = 0; r < n; r++) {
            const float *dy = dout + (size_t)r * c, *xr = x + (size_t)r * c, s = rstd[r];
#pragma omp simd
            for (int j = first; j < end; j++)
                dw[j] += dy[j] * xr[j] * s;
        }
    }
}

void CPU(rmsnorm_back)(float *dx, float *dw, const float *dout, const float *x, const float *w,
                       const float *rstd, int n, int c, float w_offset)
{
    if (dw)
        rmsnorm_dw(dw, dout, x, rstd, n, c);
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        size_t at = (size_t)r * c;
        rmsnorm_row_back(dx + at, dout + at, x + at, w, rstd[r], c, w_offset);
    }
}

/* Two passes: the variance about a mean that is known loses no digits. */
void CPU(layernorm)(float *out, float *mean, float *rstd, const float *x, const float *w,
                    const float *b, int n, int c, float eps)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        const float *xr = x + (size_t)r * c;
        float *y = out + (size_t)r * c, sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < c; j++)
            sum += xr[j];
        const float m = sum / (float)c;
#pragma omp simd reduction(+ : square)
        for (int j = 0; j < c; j++)
            square += (xr[j] - m) * (xr[j] - m);
        const float s = 1.0f / sqrtf(square / (float)c + eps);
        mean[r] = m;
        rstd[r] = s;
#pragma omp simd
        for (int j = 0; j < c; j++)
            y[j] = (xr[j] - m) * s * w[j] + b[j];
    }
}

/* With h = (x - mean) rstd and g = dout w: dx = rstd (g - mean(g) - h mean(g h)). */
static void layernorm_row_back(float *dx, const float *dout, const float *x, const float *w,
                               float m, float s, int c)
{
    float g_sum = 0, gh_sum = 0;

#pragma omp simd reduction(+ : g_sum, gh_sum)
    for (int j = 0; j < c; j++) {
        float g = dout[j] * w[j];
        g_sum += g;
        gh_sum += g * (x[j] - m);
    }
    const float g_mean = g_sum / (float)c, gh_mean = gh_sum * s * s / (float)c;
#pragma omp simd
    for (int j = 0; j < c; j++)
        dx[j] += s * (dout[j] * w[j] - g_mean - (x[j] - m) * gh_mean);
}

static void layernorm_dw(float *dw, const float *dout, const float *x, const float *mean,
                         const float *rstd, int n, int c)
{
#pragma omp parallel if (cpu_worth(n, c))
    {
        int first, end;
        cpu_columns(c, &first, &end);
        for (int r = 0; r < n; r++) {
            const float *dy = dout + (size_t)r * c, *xr = x + (size_t)r * c;
            const float m = mean[r], s = rstd[r];
#pragma omp simd
            for (int j = first; j < end; j++)
                dw[j] += dy[j] * (xr[j] - m) * s;
        }
    }
}

void CPU(layernorm_back)(float *dx, float *dw, float *db, const float *dout, const float *x,
                         const float *w, const float *mean, const float *rstd, int n, int c)
{
    if (dw)
        layernorm_dw(dw, dout, x, mean, rstd, n, c);
    if (db)
        CPU(bias_back)(db, dout, n, c);
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        size_t at = (size_t)r * c;
        layernorm_row_back(dx + at, dout + at, x + at, w, mean[r], rstd[r], c);
    }
}
