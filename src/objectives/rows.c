#include "objectives/rows.h"

#include <math.h>

#include "base/mem.h"

/* Where row i stands among those of its sequence: blocks may begin in its middle. */
static void place(const struct view *v, int i, struct logit_row *r)
{
    r->at = v->first_row + i;
    r->of = v->n_labels[v->row_seq[i]];
    for (int s = 0; s < v->row_seq[i]; s++)
        r->at -= v->n_labels[s];
}

int rows_add(struct view *v, row_loss *f, const void *params, double *loss, struct err *e)
{
    double *each = mem_alloc((size_t)v->n_rows + 1, sizeof *each, e);
    if (!each)
        return -1;
        /* Below some size threads cost more than they do. */
#pragma omp parallel for schedule(static) if ((size_t)v->n_rows * (size_t)v->vocab > 1 << 14)
    for (int i = 0; i < v->n_rows; i++) {
        size_t at = (size_t)i * (size_t)v->vocab;
        struct logit_row r = {.n = v->vocab,
                              .label = v->label[i],
                              .z = v->z + at,
                              .ref = v->ref_z ? v->ref_z + at : NULL,
                              .dz = v->dz + at,
                              .share = 1 / v->mean_rows};
        place(v, i, &r);
        for (int k = 0; k < HELPER_COUNT; k++)
            r.helper[k] = v->helper[k] ? v->helper[k] + at : NULL;
        each[i] = f(params, &r);
    }
    for (int i = 0; i < v->n_rows; i++)
        *loss += each[i];
    free(each);
    return 0;
}

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

double row_kl(const struct logit_row *r, double temperature, double weight)
{
    double scale = 1 / temperature, sum = 0;
    double lse = log_sum_exp(r->z, r->n, scale), ref_lse = log_sum_exp(r->ref, r->n, scale);
    for (int i = 0; i < r->n; i++) {
        double lp = scale * (double)r->z[i] - lse, lq = scale * (double)r->ref[i] - ref_lse;
        double q = exp(lq);
        sum += q * (lq - lp);
        r->dz[i] = (float)(weight * temperature * (exp(lp) - q) * r->share);
    }
    return weight * temperature * temperature * sum * r->share;
}
