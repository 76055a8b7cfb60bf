/* Memory and copies, and operations row by row: embedding, gather and scatter, rotary positions.
 * The CPU's device memory is the host's. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/cpu.h"

float *CPU(alloc)(size_t n, struct err *e)
{
    return mem_alloc(n, sizeof(float), e);
}

void CPU(free)(float *x)
{
    free(x);
}

float *CPU(take)(struct arena *a, size_t n, struct err *e)
{
    return arena_take(a, n, sizeof(float), e);
}

const void *CPU(borrow)(const void *host)
{
    return host;
}

float *CPU(map)(float *x, size_t n)
{
    (void)n;
    return x;
}

const float *CPU(map_read)(const float *x, size_t n)
{
    (void)n;
    return x;
}

void CPU(unmap)(const float *x)
{
    (void)x;
}

void CPU(fill)(float *x, float a, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        size_t count = cpu_piece(p, n);
        if (a == 0)
            memset(x + p, 0, count * sizeof *x);
        for (size_t i = p; a != 0 && i < p + count; i++)
            x[i] = a;
    }
}

void CPU(copy)(float *to, const float *from, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE)
        memcpy(to + p, from + p, cpu_piece(p, n) * sizeof *to);
}

void CPU(copy_rows)(float *to, const int *to_row, const float *from, const int *from_row, int n,
                    int c)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int i = 0; i < n; i++)
        memcpy(to + (size_t)(to_row ? to_row[i] : i) * (size_t)c,
               from + (size_t)(from_row ? from_row[i] : i) * (size_t)c, sizeof *to * (size_t)c);
}

/* Bits of a mask from `at` on that are equal: whole words where they can be, else one; masks of
 * rows and neurons consist of them. */
static size_t mask_run(const uint64_t *bits, size_t at, size_t left, bool *set)
{
    const uint64_t word = bits[at / 64];
    *set = word >> at % 64 & 1;
    return at % 64 == 0 && left >= 64 && (word == 0 || word == ~(uint64_t)0) ? 64 : 1;
}

void CPU(copy_masked)(float *to, const float *from, const uint64_t *bits, size_t first, size_t n)
{
    bool set;
    if (!bits)
        CPU(copy)(to, from, n);
    for (size_t k = 0, run; bits && k < n; k += run) {
        run = mask_run(bits, first + k, n - k, &set);
        if (set)
            memcpy(to + k, from + k, run * sizeof *to);
    }
}

double CPU(clear_masked)(float *x, const uint64_t *bits, size_t first, size_t n)
{
    bool set;
    double sum = 0;
    for (size_t k = 0, run; k < n; k += run) {
        run = mask_run(bits, first + k, n - k, &set);
        for (size_t j = k; j < k + run && !set; j++) {
            sum += (double)x[j] * (double)x[j];
            x[j] = 0;
        }
    }
    return sum;
}

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
    CPU(copy_rows)(out, NULL, x, rows, r, c);
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
