/* Gradients of the weight of a linear map by sequences, G_q = sum over tokens of s x^T, of which
 * only a function is wanted: they are computed in blocks of rows that fit a cache, used, and
 * dropped. And x^T x, of which half is enough. */
#include <cblas.h>

#include "tensor/cpu.h"

/* Floats of a block that is used while it is in the second-level cache. */
enum { BLOCK = SIZE(1 << 17, 40) };

void CPU(gram)(float *a, const float *x, int n, int c)
{
    if (n > 0)
        cblas_ssyrk(CblasRowMajor, CblasLower, CblasTrans, c, n, 1, x, c, 1, a, c);
}

/* Rows of G of so many floats, at least one. */
static int rows_of(const struct outer *g, int floats)
{
    const int rows = floats / g->i;
    return rows < 1 ? 1 : rows < g->o ? rows : g->o;
}

/* to [rows,i] = rows first.. of G_q. */
static void block_of(float *to, const struct outer *g, int q, int first, int rows)
{
    const size_t t = (size_t)g->start[q];
    const int n = g->start[q + 1] - g->start[q];
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, rows, g->i, n, 1,
                g->s + t * (size_t)g->o + first, g->o, g->x + t * (size_t)g->i, g->i, 0, to, g->i);
}

static void add_block(float *sum, const float *g, size_t n)
{
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t p = 0; p < n; p += PIECE) {
        const size_t end = p + cpu_piece(p, n);
#pragma omp simd
        for (size_t k = p; k < end; k++)
            sum[k] += g[k] * g[k];
    }
}

void CPU(outer_squares)(float *sum, const struct outer *g)
{
    const int most = rows_of(g, BLOCK);
    for (int first = 0, rows; first < g->o; first += rows) {
        rows = g->o - first < most ? g->o - first : most;
        for (int q = 0; q < g->n_seqs; q++) {
            block_of(g->room, g, q, first, rows);
            add_block(sum + (size_t)first * (size_t)g->i, g->room, (size_t)rows * (size_t)g->i);
        }
    }
}

/* sum of g^2 / (lambda + damping). */
static double norm_of(const float *g, const float *lambda, double damping, size_t n)
{
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t k = 0; k < n; k++)
        sum += (double)g[k] * (double)g[k] / ((double)lambda[k] + damping);
    return sum;
}

void CPU(outer_norms)(double *y, const float *lambda, double damping, const struct outer *g)
{
    const int most = rows_of(g, BLOCK);
    for (int first = 0, rows; first < g->o; first += rows) {
        rows = g->o - first < most ? g->o - first : most;
        const size_t at = (size_t)first * (size_t)g->i, n = (size_t)rows * (size_t)g->i;
        for (int q = 0; q < g->n_seqs; q++) {
            block_of(g->room, g, q, first, rows);
            y[q] +=
                lambda ? norm_of(g->room, lambda + at, damping, n) : CPU(dot)(g->room, g->room, n);
        }
    }
}

void CPU(outer_dots)(double *y, size_t stride, const float *p, int n_p, const struct outer *g)
{
    enum { LEFT = SIZE(64, 2) };
    const size_t area = (size_t)g->o * (size_t)g->i;
    const int together = g->n_seqs < OUTER_SEQS ? g->n_seqs : OUTER_SEQS;
    const int most = rows_of(g, OUTER_ROOM / (together ? together : 1));
    float part[OUTER_SEQS * LEFT];
    for (int first = 0, rows; first < g->o; first += rows) {
        rows = g->o - first < most ? g->o - first : most;
        const size_t at = (size_t)first * (size_t)g->i;
        const int n = rows * g->i;
        for (int q = 0, many; q < g->n_seqs; q += many) {
            many = g->n_seqs - q < together ? g->n_seqs - q : together;
            for (int k = 0; k < many; k++)
                block_of(g->room + (size_t)k * (size_t)n, g, q + k, first, rows);
            for (int l = 0, left; l < n_p; l += left) {
                left = n_p - l < LEFT ? n_p - l : LEFT;
                cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, left, many, n, 1,
                            p + (size_t)l * area + at, (int)area, g->room, n, 0, part, many);
                for (int k = 0; k < left * many; k++)
                    y[(size_t)(l + k / many) * stride + (size_t)(q + k % many)] += (double)part[k];
            }
        }
    }
}
