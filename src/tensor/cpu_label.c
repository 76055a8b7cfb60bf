/* Rows of logits, V up to a few hundred thousand wide: log-probabilities of labels and their
 * derivative. */
#include <math.h>

#include "base/sizes.h"
#include "tensor/cpu.h"
#include "tensor/cpu_math.h"

enum { BLOCK = SIZE(256, 5) }; /* of a row: f32 within, f64 across */

/* The maximum of a row, and the first block that has it. */
static float row_max(const float *z, int v, int *block)
{
    float top = -INFINITY;

    *block = 0;
    for (int b = 0; b < v; b += BLOCK) {
        int end = v - b > BLOCK ? b + BLOCK : v;
        float t = -INFINITY;
#pragma omp simd reduction(max : t)
        for (int j = b; j < end; j++)
            t = z[j] > t ? z[j] : t;
        if (t > top) {
            top = t;
            *block = b;
        }
    }
    return top;
}

/* log sum exp (z - top) */
static double row_log_sum(const float *z, int v, float top)
{
    double sum = 0;

    for (int b = 0; b < v; b += BLOCK) {
        int end = v - b > BLOCK ? b + BLOCK : v;
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (int j = b; j < end; j++)
            s += cpu_exp(z[j] - top);
        sum += s;
    }
    return log(sum);
}

/* The first place from j on that holds `top`. */
static int row_find(const float *z, int v, int j, float top)
{
    while (j < v - 1 && z[j] != top)
        j++;
    return j;
}

void CPU(label_logp)(float *logp, float *lse, int *best, const float *z, const int *label, int r,
                     int v)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < r; i++) {
        const float *row = z + (size_t)i * v;
        int block;
        float top = row_max(row, v, &block);
        double sum = top + row_log_sum(row, v, top);
        logp[i] = (float)(row[label[i]] - sum);
        if (lse)
            lse[i] = (float)sum;
        if (best)
            best[i] = row_find(row, v, block, top);
    }
}

/* Adds one block's share of sum p log p, sum p log^2 p and the count of logits above `own`. */
static void block_spread(const float *z, int n, float lse, float own, double sum[2], int *above)
{
    float one = 0, two = 0;
    int count = 0;
#pragma omp simd reduction(+ : one, two, count)
    for (int j = 0; j < n; j++) {
        float l = z[j] - lse, p = cpu_exp(l);
        l = p > 0 ? l : 0; /* p log p -> 0 */
        one += p * l;
        two += p * l * l;
        count += z[j] > own;
    }
    sum[0] += one;
    sum[1] += two;
    *above += count;
}

void CPU(label_spread)(float *mean, float *variance, int *rank, const float *z, const float *lse,
                       const int *label, int r, int v)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < r; i++) {
        const float *row = z + (size_t)i * v;
        double sum[2] = {0, 0};
        rank[i] = 0;
        for (int b = 0; b < v; b += BLOCK)
            block_spread(row + b, v - b > BLOCK ? BLOCK : v - b, lse[i], row[label[i]], sum,
                         &rank[i]);
        double spread = sum[1] - sum[0] * sum[0];
        mean[i] = (float)sum[0];
        variance[i] = (float)(spread > 0 ? spread : 0);
    }
}

void CPU(label_logp_back)(float *z, const float *lse, const float *g, const int *label, int r,
                          int v)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < r; i++) {
        float *row = z + (size_t)i * v, shift = lse[i], gi = g[i];
#pragma omp simd
        for (int j = 0; j < v; j++)
            row[j] = -gi * cpu_exp(row[j] - shift);
        row[label[i]] += gi;
    }
}

void CPU(log_softmax)(float *out, const float *z, int r, int v)
{
#pragma omp parallel for schedule(static)
    for (int i = 0; i < r; i++) {
        const float *row = z + (size_t)i * v;
        float *y = out + (size_t)i * v;
        int block;
        float top = row_max(row, v, &block), rest = (float)row_log_sum(row, v, top);
#pragma omp simd
        for (int j = 0; j < v; j++)
            y[j] = (row[j] - top) - rest; /* no cancellation near the maximum */
    }
}
