/* Products with weights in their file's type. A panel of a weight, some rows by some columns, is
 * converted to f32 in the cache and multiplied there; the whole never exists in f32.
 */
#include <cblas.h>

#include "tensor/cpu_few.h"

/* Columns of a panel, whole blocks of every type; its numbers where sgemm multiplies it. */
enum { COLS = SIZE(4096, 256), PANEL = SIZE(1 << 17, 4 * 256) };

static int least(int a, int b)
{
    return a < b ? a : b;
}

/* Rows of a panel of so many columns; sgemm likes whole vectors. */
static int panel_rows(int cols)
{
    const int rows = PANEL / cols;
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
    float panel[PANEL];
    if (n <= FEW) {
        stored_few(out, x, w, n, i, o, beta);
        return;
    }
    for (int k = 0, cols; k < i; k += cols) {
        cols = least(COLS, i - k);
        for (int j = 0, rows; j < o; j += rows) {
            rows = least(panel_rows(cols), o - j);
            convert_together(panel, w, j, rows, k, cols, i);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, rows, cols, 1, x + k, i, panel,
                        cols, k ? 1 : beta, out + j, o);
        }
    }
}

void CPU(linear_stored_dx)(float *dx, const float *dout, const struct stored *w, int n, int i,
                           int o, float beta)
{
    float panel[PANEL];
    for (int k = 0, cols; n > 0 && k < i; k += cols) {
        cols = least(COLS, i - k);
        for (int j = 0, rows; j < o; j += rows) {
            rows = least(panel_rows(cols), o - j);
            convert_together(panel, w, j, rows, k, cols, i);
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, cols, rows, 1, dout + j, o,
                        panel, cols, j ? 1 : beta, dx + k, i);
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
