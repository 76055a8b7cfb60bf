/* GPTQ (arXiv 2210.17323): rounds a matrix column by column, and moves the columns that are still
 * to come so that the product with the calibration inputs changes least. With H = sum of x x^T,
 * damped, and H^-1 = U^T U, U upper triangular,
 *
 *     e = (w_j - q(w_j)) / U_jj,      w_k -= e U_jk  for k > j
 *
 * in every row w. Columns are taken in blocks, after each of which the later ones are moved at once
 * by one product. The grid has codes 0..2^bits-1; symmetric: scale 2 max|w| / (2^bits - 1), zero
 * point 2^(bits-1). As AutoGPTQ has it, a group's scale is that of its weights when its block
 * began; with `fresh`, a block is a group.
 */
#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/matrix.h"
#include "tensor/quantise.h"

enum { BLOCK_MOST = 128 };

static const double damping = 0.01; /* of the mean of H's diagonal */

struct grid {
    double scale, zero, top;
};

static struct grid make_grid(const struct quantise *q, const double *w, size_t n)
{
    double lo = 0, hi = 0;
    for (size_t i = 0; i < n; i++) {
        lo = fmin(lo, w[i]);
        hi = fmax(hi, w[i]);
    }
    const double top = (double)((1 << q->bits) - 1), most = fmax(hi, -lo);
    if (!q->asymmetric && lo < 0)
        lo = -most;
    if (!q->asymmetric)
        hi = most;
    if (!(hi > lo)) {
        lo = -1;
        hi = 1;
    }
    const double scale = (hi - lo) / top;
    return (struct grid){scale, q->asymmetric ? rint(-lo / scale) : (top + 1) / 2, top};
}

static double on_grid(const struct grid *g, double w)
{
    const double code = fmin(fmax(rint(w / g->scale) + g->zero, 0), g->top);
    return g->scale * (code - g->zero);
}

/* The matrix with its columns in the order in which they are rounded. */
struct rounding {
    const struct quantise *q;
    size_t rows, cols, block;
    double *w, *u;   /* owned [rows,cols], [cols,cols] (u borrowed) */
    double *error;   /* owned [rows,block] */
    struct grid *of; /* owned [rows]: the grid that is used now */
};

/* Columns from..from+n-1 of one row. */
static void round_row(const struct rounding *r, size_t row, size_t from, size_t n)
{
    double *w = r->w + row * r->cols, moved[BLOCK_MOST], *error = r->error + row * r->block;
    struct grid *g = &r->of[row];
    const size_t group = r->q->scope == SCOPE_GROUP ? (size_t)r->q->group : 0;
    memcpy(moved, w + from, n * sizeof *moved);
    for (size_t j = 0; j < n; j++) {
        const size_t col = from + j;
        const double *u = r->u + col * r->cols;
        if (group && col % group == 0)
            *g = make_grid(r->q, w + col, group);
        const double value = on_grid(g, moved[j]);
        error[j] = (moved[j] - value) / u[col];
        for (size_t k = j + 1; k < n; k++)
            moved[k] -= error[j] * u[from + k];
        moved[j] = value;
    }
    memcpy(w + from, moved, n * sizeof *moved);
}

static void round_all(const struct rounding *r)
{
    for (size_t row = 0; row < r->rows; row++)
        r->of[row] = make_grid(r->q, r->w + row * r->cols, r->cols);
    for (size_t from = 0; from < r->cols; from += r->block) {
        const size_t n = r->cols - from < r->block ? r->cols - from : r->block;
        const size_t next = from + n, left = r->cols - next;
#pragma omp parallel for schedule(static)
        for (size_t row = 0; row < r->rows; row++)
            round_row(r, row, from, n);
        if (left)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)r->rows, (int)left, (int)n,
                        -1, r->error, (int)r->block, r->u + from * r->cols + next, (int)r->cols, 1,
                        r->w + next, (int)r->cols);
    }
}

/* Columns whose input is always 0 get the weight 0; then the diagonal is damped. */
static void damp(double *h, float *w, size_t rows, size_t cols)
{
    double mean = 0;
    for (size_t j = 0; j < cols; j++) {
        double *d = &h[j * cols + j];
        for (size_t i = 0; *d == 0 && i < rows; i++)
            w[i * cols + j] = 0;
        *d = *d == 0 ? 1 : *d;
        mean += *d / (double)cols;
    }
    for (size_t j = 0; j < cols; j++)
        h[j * cols + j] += damping * mean;
}

struct ordered {
    double diagonal;
    size_t at;
};

/* Descending; of equal ones the first first. */
static int compare_columns(const void *a, const void *b)
{
    const struct ordered *x = a, *y = b;
    return x->diagonal != y->diagonal ? (x->diagonal < y->diagonal ? 1 : -1)
                                      : (x->at > y->at) - (x->at < y->at);
}

static struct ordered *order_columns(const struct quantise *q, const double *h, size_t cols,
                                     struct err *e)
{
    struct ordered *order = mem_alloc(cols, sizeof *order, e);
    for (size_t j = 0; order && j < cols; j++)
        order[j] = (struct ordered){h[j * cols + j], j};
    if (order && q->act_order)
        qsort(order, cols, sizeof *order, compare_columns);
    return order;
}

/* The weights and the upper triangle of H, in that order. */
static void permute(struct rounding *r, const struct ordered *order, const float *w,
                    const double *h)
{
    for (size_t i = 0; i < r->rows; i++)
        for (size_t j = 0; j < r->cols; j++)
            r->w[i * r->cols + j] = (double)w[i * r->cols + order[j].at];
    for (size_t i = 0; i < r->cols; i++)
        for (size_t j = i; j < r->cols; j++) {
            const size_t a = order[i].at, b = order[j].at;
            r->u[i * r->cols + j] = h[(a < b ? a : b) * r->cols + (a < b ? b : a)];
        }
}

int quantise_gptq(const struct quantise *q, float *w, size_t rows, size_t cols, double *h,
                  struct err *e)
{
    struct rounding r = {.q = q, .rows = rows, .cols = cols, .block = BLOCK_MOST};
    struct ordered *order = NULL;
    if (q->fresh && q->scope == SCOPE_GROUP && (size_t)q->group <= BLOCK_MOST)
        r.block = (size_t)q->group;
    damp(h, w, rows, cols);
    int rc = -1;
    if ((order = order_columns(q, h, cols, e)) && (r.w = mem_alloc(rows * cols, sizeof *r.w, e)) &&
        (r.u = mem_alloc(cols * cols, sizeof *r.u, e)) &&
        (r.error = mem_alloc(rows * r.block, sizeof *r.error, e)) &&
        (r.of = mem_alloc(rows, sizeof *r.of, e))) {
        permute(&r, order, w, h);
        rc = matrix_inverse_factor(r.u, (int)cols, e);
    }
    if (!rc) {
        round_all(&r);
        for (size_t i = 0; i < rows; i++)
            for (size_t j = 0; j < cols; j++)
                w[i * cols + order[j].at] = (float)r.w[i * cols + j];
    }
    free(order);
    free(r.w);
    free(r.u);
    free(r.error);
    free(r.of);
    return rc;
}
