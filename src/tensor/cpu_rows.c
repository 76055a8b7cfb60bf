/* Operations row by row: embedding, picking rows, RMSNorm, rotary positions. */
#include <math.h>
#include <string.h>

#include "tensor/cpu.h"

void CPU(embed)(float *out, const float *table, const int *ids, int n, int c, float scale)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        float *y = out + (size_t)r * c;
        const float *x = table + (size_t)ids[r] * c;
#pragma omp simd
        for (int j = 0; j < c; j++)
            y[j] = scale * x[j];
    }
}

/* An id may occur in many rows: split by column. */
void CPU(embed_back)(float *dtable, const float *dout, const int *ids, int n, int c, float scale)
{
#pragma omp parallel if (cpu_worth(n, c))
    {
        int first, end;
        cpu_columns(c, &first, &end);
        for (int r = 0; r < n; r++) {
            float *dx = dtable + (size_t)ids[r] * c;
            const float *dy = dout + (size_t)r * c;
#pragma omp simd
            for (int j = first; j < end; j++)
                dx[j] += scale * dy[j];
        }
    }
}

void CPU(gather)(float *out, const float *x, const int *rows, int r, int c)
{
#pragma omp parallel for schedule(static) if (cpu_worth(r, c))
    for (int i = 0; i < r; i++)
        memcpy(out + (size_t)i * c, x + (size_t)rows[i] * c, sizeof *out * (size_t)c);
}

void CPU(scatter_add)(float *dx, const float *dout, const int *rows, int r, int c)
{
#pragma omp parallel for schedule(static) if (cpu_worth(r, c))
    for (int i = 0; i < r; i++) {
        float *y = dx + (size_t)rows[i] * c;
        const float *x = dout + (size_t)i * c;
#pragma omp simd
        for (int j = 0; j < c; j++)
            y[j] += x[j];
    }
}

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

void CPU(rope)(float *x, const float *cs, const float *sn, const int *pos, int n, int heads, int d,
               int rot, int inverse)
{
    const int half = rot / 2;
    const float sign = inverse ? -1 : 1;

#pragma omp parallel for schedule(static) if (cpu_worth(n, heads * d))
    for (int r = 0; r < n; r++) {
        const float *c = cs + (size_t)pos[r] * half, *s = sn + (size_t)pos[r] * half;
        for (int h = 0; h < heads; h++) {
            float *a = x + ((size_t)r * heads + h) * d, *b = a + half;
#pragma omp simd
            for (int i = 0; i < half; i++) {
                float u = a[i], v = b[i], si = sign * s[i];
                a[i] = u * c[i] - v * si;
                b[i] = v * c[i] + u * si;
            }
        }
    }
}
