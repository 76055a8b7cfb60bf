#include "objectives/rows.h"

#include <math.h>

double log_sum_exp(const float *z, int n, double scale)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        top = fmax(top, scale * (double)z[i]);
    for (int i = 0; i < n; i++)
        sum += exp(scale * (double)z[i] - top);
    return top + log(sum);
}

static double lowered(const float *z, int i, int k, double by)
{
    return i == k ? (double)z[i] - by : (double)z[i];
}

double row_soft_target(const struct logit_row *r, const float *from, int k, double by)
{
    double lse = log_sum_exp(r->z, r->n, 1), top = -INFINITY, sum = 0, loss = 0;
    for (int i = 0; i < r->n; i++)
        top = fmax(top, lowered(from, i, k, by));
    for (int i = 0; i < r->n; i++)
        sum += exp(lowered(from, i, k, by) - top);
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, q = exp(lowered(from, i, k, by) - top) / sum;
        loss -= q * lp;
        r->dz[i] = (float)((exp(lp) - q) * r->share);
    }
    return loss * r->share;
}

double row_reverse_kl(const float *z, const float *q, int n, float *dz, double share)
{
    double lse = log_sum_exp(z, n, 1), q_lse = log_sum_exp(q, n, 1), sum = 0;
    for (int i = 0; i < n; i++) {
        double lp = (double)z[i] - lse;
        sum += exp(lp) * (lp - ((double)q[i] - q_lse));
    }
    for (int i = 0; dz && i < n; i++) {
        double lp = (double)z[i] - lse;
        dz[i] = (float)(share * exp(lp) * (lp - ((double)q[i] - q_lse) - sum));
    }
    return sum;
}

double row_kl(const struct logit_row *r, double temperature)
{
    double scale = 1 / temperature, sum = 0;
    double lse = log_sum_exp(r->z, r->n, scale), ref_lse = log_sum_exp(r->ref, r->n, scale);
    for (int i = 0; i < r->n; i++) {
        double lp = scale * (double)r->z[i] - lse, lq = scale * (double)r->ref[i] - ref_lse;
        double q = exp(lq);
        sum += q * (lq - lp);
        r->dz[i] = (float)(temperature * (exp(lp) - q) * r->share);
    }
    return temperature * temperature * sum * r->share;
}
