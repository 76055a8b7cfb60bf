/* Operations row by row: embedding, gather and scatter, rotary positions. */
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
