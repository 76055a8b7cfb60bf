/* Routing of tokens to experts, and rows weighted by routing probabilities. */
#include <math.h>
#include <stdbool.h>

#include "tensor/cpu.h"

/* p [E] = softmax(z) */
static void softmax(float *p, const float *z, int experts)
{
    float top = z[0];
    double sum = 0;
    for (int i = 1; i < experts; i++)
        top = z[i] > top ? z[i] : top;
    for (int i = 0; i < experts; i++)
        sum += (double)(p[i] = expf(z[i] - top));
    for (int i = 0; i < experts; i++)
        p[i] = (float)((double)p[i] / sum);
}

static bool is_taken(const int *expert, int n, int i)
{
    for (int j = 0; j < n; j++)
        if (expert[j] == i)
            return true;
    return false;
}

void CPU(route)(float *p, int *expert, float *weight, const float *z, int n, int experts, int k,
                int norm)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, experts))
    for (int r = 0; r < n; r++) {
        float *pr = p + (size_t)r * experts, *w = weight + (size_t)r * k, sum = 0;
        int *e = expert + (size_t)r * k;
        softmax(pr, z + (size_t)r * experts, experts);
        for (int j = 0; j < k; j++) {
            int best = -1;
            for (int i = 0; i < experts; i++)
                if (!is_taken(e, j, i) && (best < 0 || pr[i] > pr[best]))
                    best = i;
            e[j] = best;
            w[j] = pr[best];
            sum += w[j];
        }
        for (int j = 0; norm && j < k; j++)
            w[j] /= sum;
    }
}

/* With the sum S of the chosen p: w_j = p_j / S, dp_j = (dw_j - sum_i dw_i w_i) / S; without it w =
 * p and dp = dw. Through the softmax: dz_i = p_i (dp_i - sum_j p_j dp_j), where dp is 0 of what was
 * not chosen. */
void CPU(route_back)(float *dz, const float *dweight, const float *p, const int *expert,
                     const float *weight, int n, int experts, int k, int norm)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, experts))
    for (int r = 0; r < n; r++) {
        const float *pr = p + (size_t)r * experts, *w = weight + (size_t)r * k;
        const float *dw = dweight + (size_t)r * k;
        const int *e = expert + (size_t)r * k;
        float *d = dz + (size_t)r * experts;
        double sum = norm ? 0 : 1, mean = 0, all = 0;
        for (int j = 0; norm && j < k; j++) {
            sum += (double)pr[e[j]];
            mean += (double)dw[j] * (double)w[j];
        }
        for (int j = 0; j < k; j++)
            all += (double)pr[e[j]] * ((double)dw[j] - mean) / sum;
        for (int i = 0; i < experts; i++)
            d[i] = (float)(-(double)pr[i] * all);
        for (int j = 0; j < k; j++)
            d[e[j]] += (float)((double)pr[e[j]] * ((double)dw[j] - mean) / sum);
    }
}

void CPU(scale_rows)(float *y, const float *a, int n, int c)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        float *yr = y + (size_t)r * c, s = a[r];
#pragma omp simd
        for (int j = 0; j < c; j++)
            yr[j] *= s;
    }
}

void CPU(dot_rows)(float *out, const float *x, const float *y, int n, int c)
{
#pragma omp parallel for schedule(static) if (cpu_worth(n, c))
    for (int r = 0; r < n; r++) {
        const float *xr = x + (size_t)r * c, *yr = y + (size_t)r * c;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < c; j++)
            sum += (double)xr[j] * (double)yr[j];
        out[r] = (float)sum;
    }
}
