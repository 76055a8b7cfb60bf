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

/* --- dx of few rows: w is read in place, as sgemm would first copy all of it --- */

enum { TILE_VECS = LANES == 16 ? 4 : 3, TILE = TILE_VECS * LANES };

/* Rows l .. l + k of w, and those columns of dout. */
struct dx_part {
    float *dx;
    const float *dout, *w;
    size_t in, out;
    int k;
};

/* Rows r.. of `rows` rows and columns j.. of vecs * LANES; both are constants. */
INLINE void dx_tile(const struct dx_part *p, int r, int j, const int rows, const int vecs,
                    float beta)
{
    vec sum[FEW_ROWS][TILE_VECS];
    const float *dy = p->dout + (size_t)r * p->out, *w = p->w + j;
    float *dx = p->dx + (size_t)r * p->in + j;
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vecs; v++)
            sum[i][v] = (vec){0};
    for (int l = 0; l < p->k; l++, w += p->in)
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < vecs; v++)
                sum[i][v] += dy[(size_t)i * p->out + (size_t)l] * *(const vec *)(w + v * LANES);
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < vecs; v++) {
            vec *y = (vec *)(dx + (size_t)i * p->in + v * LANES);
            if (beta != 0)
                sum[i][v] += beta * *y;
            *y = sum[i][v];
        }
}

/* The columns from j on that fill no vector. */
static void dx_rest(const struct dx_part *p, int r, int rows, int j, float beta)
{
    for (int i = r; i < r + rows; i++)
        for (size_t x = (size_t)j; x < p->in; x++) {
            float sum = 0, *y = p->dx + (size_t)i * p->in + x;
            for (int l = 0; l < p->k; l++)
                sum += p->dout[(size_t)i * p->out + (size_t)l] * p->w[(size_t)l * p->in + x];
            *y = sum + (beta == 0 ? 0 : beta * *y);
        }
}

/* At most TILE columns from j on of `rows` rows, a constant. */
INLINE void dx_strip(const struct dx_part *p, int r, int j, const int rows, float beta)
{
    const int end = (int)p->in - j < TILE ? (int)p->in : j + TILE;
    if (j + TILE == end)
        dx_tile(p, r, j, rows, TILE_VECS, beta);
    else {
        for (; j + LANES <= end; j += LANES)
            dx_tile(p, r, j, rows, 1, beta);
        dx_rest(p, r, rows, j, beta);
    }
}

static void dx_columns(const struct dx_part *p, int n, int j, float beta)
{
    int r = 0;
    for (; r + FEW_ROWS <= n; r += FEW_ROWS)
        dx_strip(p, r, j, FEW_ROWS, beta);
    for (; r + 3 <= n; r += 3)
        dx_strip(p, r, j, 3, beta);
    for (; r < n; r++)
        dx_strip(p, r, j, 1, beta);
}

/* So many rows of w at a time, whose tiles stay in the second cache for all rows of dout. */
enum { DX_ROWS = SIZE(256, 3) };

static void linear_dx_few(float *dx, const float *dout, const float *w, int n, int i, int o,
                          float beta)
{
#pragma omp parallel if (cpu_worth(o, i))
    for (int l = 0; l < o; l += DX_ROWS) {
        const struct dx_part p = {.dx = dx,
                                  .dout = dout + l,
                                  .w = w + (size_t)l * (size_t)i,
                                  .in = (size_t)i,
                                  .out = (size_t)o,
                                  .k = o - l < DX_ROWS ? o - l : DX_ROWS};
#pragma omp for schedule(static) nowait
        for (int j = 0; j < i; j += TILE)
            dx_columns(&p, n, j, l ? 1 : beta);
    }
}

void CPU(linear_dx)(float *dx, const float *dout, const float *w, int n, int i, int o, float beta)
{
    if (n > 0 && n <= FEW)
        linear_dx_few(dx, dout, w, n, i, o, beta);
    else if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, i, o, 1, dout, o, w, i, beta, dx,
                    i);
}

void CPU(linear_dw)(float *dw, const float *dout, const float *x, int n, int i, int o, float beta)
{
    if (n > 0)
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, o, i, n, 1, dout, o, x, i, beta, dw,
                    i);
    else if (beta == 0)
        CPU(fill)(dw, 0, (size_t)o * (size_t)i);
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
