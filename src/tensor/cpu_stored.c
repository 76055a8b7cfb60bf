/* Products with weights in their file's type. A panel of a weight, some rows by some columns, is
 * converted to f32 in the cache and multiplied there; the whole never exists in f32.
 */
#include <cblas.h>

#include "tensor/cpu_few.h"
#include "tensor/cpu_runs.h"

/* Columns of a panel, whole blocks of every type. */
enum { COLS = SIZE(4096, 256) };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Rows of a panel of so many columns; sgemm likes whole vectors. */
static int panel_rows(int cols)
{
    const int rows = STORED_ROOM / cols;
    return rows > 32 ? rows / 32 * 32 : rows;
}

/* to [rows,cols] = w[row .., col ..], whose rows have i elements. */
static void convert(float *to, const struct stored *w, int row, int rows, int col, int cols, int i)
{
    for (int r = 0; r < rows; r++)
        CPU(dequant)(to + (size_t)r * cols, w, (size_t)(row + r) * i + col, (size_t)cols);
}

static void convert_together(float *to, const struct stored *w, int row, int rows, int col,
                             int cols, int i)
{
#pragma omp parallel for schedule(static) if (cpu_worth(rows, cols))
    for (int r = 0; r < rows; r++)
        convert(to + (size_t)r * cols, w, row + r, 1, col, cols, i);
}

/* --- one or two rows, as in generation: straight from the blocks --- */

/* The row of w from its last whole run on, in numbers that stand alone. */
INLINE float tail_product(enum dtype t, const float *x, const uint8_t *w, int i)
{
    float sum = 0;
    for (int k = i / RUN * RUN; k < i; k++)
        sum += x[k] * (t == DT_BF16 ? bf16_load(w + 2 * k) : f16_load(w + 2 * k));
    return sum;
}

/* out[n,outs] = x[n,i] w[outs,i]^T + beta * out; rows of w are `stride` bytes apart. All but x, w,
 * beta and sizes in memory are constants. */
INLINE void runs_kernel(enum dtype t, float *out, size_t ldo, const float *x, const uint8_t *w,
                        const int n, int i, const int outs, float beta)
{
    const size_t bytes = block_bytes(t),
                 stride = (size_t)i / dtype_info[t].block * (size_t)dtype_info[t].bytes;
    vec sum[2][4];
    for (int r = 0; r < n; r++)
        for (int j = 0; j < outs; j++)
            sum[r][j] = (vec){0};
    for (int run = 0; run < i / RUN; run++)
        for (int j = 0; j < outs; j++) {
            const uint8_t *b = w + (size_t)j * stride + (size_t)(run / block_runs(t)) * bytes;
            vec q[VECS];
            __builtin_prefetch(b + (size_t)outs * stride);
            run_vectors(t, q, b, run % block_runs(t));
            for (int r = 0; r < n; r++)
                for (int v = 0; v < VECS; v++)
                    sum[r][j] += q[v] * *(const vec *)(x + (size_t)r * i + run * RUN + v * LANES);
        }
    for (int r = 0; r < n; r++)
        for (int j = 0; j < outs; j++) {
            float *y = out + r * ldo + j, s = vec_sum(sum[r][j]);
            if (i % RUN)
                s += tail_product(t, x + (size_t)r * i, w + (size_t)j * stride, i);
            *y = beta == 0 ? s : s + beta * *y;
        }
}

/* The function of a type: up to four rows of w. */
#define RUNS_OF(t)                                                                                 \
    static void runs_##t(float *out, size_t ldo, const float *x, const uint8_t *w, int n, int i,   \
                         int outs, float beta)                                                     \
    {                                                                                              \
        if (n == 1 && outs == 4)                                                                   \
            runs_kernel(DT_##t, out, ldo, x, w, 1, i, 4, beta);                                    \
        else if (outs == 4)                                                                        \
            runs_kernel(DT_##t, out, ldo, x, w, 2, i, 4, beta);                                    \
        else                                                                                       \
            for (int j = 0; j < outs; j++, out++,                                                  \
                     w += (size_t)(i / dtype_info[DT_##t].block * dtype_info[DT_##t].bytes))       \
                for (int r = 0; r < n; r++)                                                        \
                    runs_kernel(DT_##t, out + r * ldo, ldo, x + (size_t)r * i, w, 1, i, 1, beta);  \
    }
RUNS_OF(BF16)
RUNS_OF(F16)
RUNS_OF(Q8_0)
RUNS_OF(Q4_0)
RUNS_OF(Q4_1)
RUNS_OF(Q5_0)
RUNS_OF(Q5_1)
RUNS_OF(Q4_K)
RUNS_OF(Q5_K)
RUNS_OF(Q6_K)

static void (*const runs_of[DT_COUNT])(float *, size_t, const float *, const uint8_t *, int, int,
                                       int, float) = {
    [DT_BF16] = runs_BF16, [DT_F16] = runs_F16,   [DT_Q8_0] = runs_Q8_0, [DT_Q4_0] = runs_Q4_0,
    [DT_Q4_1] = runs_Q4_1, [DT_Q5_0] = runs_Q5_0, [DT_Q5_1] = runs_Q5_1, [DT_Q4_K] = runs_Q4_K,
    [DT_Q5_K] = runs_Q5_K, [DT_Q6_K] = runs_Q6_K,
};

static void stored_runs(float *out, const float *x, const struct stored *w, int n, int i, int o,
                        float beta)
{
#pragma omp parallel for schedule(static) if (cpu_worth(o, i))
    for (int j = 0; j < o; j += 4)
        runs_of[w->type](out + j, (size_t)o, x, stored_at(w, (size_t)j * i), n, i, least(4, o - j),
                         beta);
}

/* --- panels --- */

static void stored_few(float *out, const float *x, const struct stored *w, int n, int i, int o,
                       float beta)
{
#pragma omp parallel for schedule(static) if (cpu_worth(o, i))
    for (int j = 0; j < o; j += 4) {
        float panel[4 * COLS];
        const int rows = least(4, o - j);
        for (int k = 0; k < i; k += COLS) {
            const int cols = least(COLS, i - k);
            convert(panel, w, j, rows, k, cols, i);
            few_rows(out + j, (size_t)o, x + k, (size_t)i, panel, n, cols, rows, k ? 1 : beta);
        }
    }
}

void CPU(linear_stored)(float *out, const float *x, const struct stored *w, int n, int i, int o,
                        float beta)
{
    if (n <= 0)
        return;
    if (n <= 2 && runs_of[w->type]) {
        stored_runs(out, x, w, n, i, o, beta);
        return;
    }
    if (n <= FEW) {
        stored_few(out, x, w, n, i, o, beta);
        return;
    }
    for (int k = 0, cols; k < i; k += cols) {
        cols = least(COLS, i - k);
        for (int j = 0, rows; j < o; j += rows) {
            rows = least(panel_rows(cols), o - j);
            convert_together(w->room, w, j, rows, k, cols, i);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, rows, cols, 1, x + k, i,
                        w->room, cols, k ? 1 : beta, out + j, o);
        }
    }
}

void CPU(linear_stored_dx)(float *dx, const float *dout, const struct stored *w, int n, int i,
                           int o, float beta)
{
    for (int k = 0, cols; n > 0 && k < i; k += cols) {
        cols = least(COLS, i - k);
        for (int j = 0, rows; j < o; j += rows) {
            rows = least(panel_rows(cols), o - j);
            convert_together(w->room, w, j, rows, k, cols, i);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, cols, rows, 1, dout + j, o,
                        w->room, cols, j ? 1 : beta, dx + k, i);
        }
    }
}

void CPU(embed_stored)(float *out, const struct stored *table, const int *ids, int n, int c,
                       float scale)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        float *y = out + (size_t)r * c;
        CPU(dequant)(y, table, (size_t)ids[r] * c, (size_t)c);
#pragma omp simd
        for (int j = 0; j < c; j++)
            y[j] *= scale;
    }
}
