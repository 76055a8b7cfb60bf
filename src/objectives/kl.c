/* Forward KL to the frozen reference, KL(p_ref || p), mean over scored rows; under kl_all_positions
 * over every row of the padded batch. d/dz = (p - p_ref) / rows. */
#include "objectives/terms.h"

#include <math.h>

static double log_sum_exp(const float *z, int n)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++)
        top = z[i] > top ? (double)z[i] : top;
    for (int i = 0; i < n; i++)
        sum += exp((double)z[i] - top);
    return top + log(sum);
}

static int kl(const void *params, struct view *const *views, double *loss, struct err *e)
{
    (void)params, (void)e;
    struct view *v = views[0];
    int n = v->vocab;
    double total = 0;
#pragma omp parallel for reduction(+ : total) schedule(static)
    for (int r = 0; r < v->n_rows; r++) {
        const float *z = v->z + (size_t)r * (size_t)n, *ref = v->ref_z + (size_t)r * (size_t)n;
        float *dz = v->dz + (size_t)r * (size_t)n;
        double lse = log_sum_exp(z, n), ref_lse = log_sum_exp(ref, n), sum = 0;
        for (int i = 0; i < n; i++) {
            double lp = (double)z[i] - lse, lq = (double)ref[i] - ref_lse, q = exp(lq);
            sum += q * (lq - lp);
            dz[i] = (float)((exp(lp) - q) / v->mean_rows);
        }
        total += sum / v->mean_rows;
    }
    *loss += total;
    return 0;
}

const struct term term_kl = {
    .name = "kl",
    .paper = "arXiv 2402.15159",
    .formula = "mean over rows of sum_v p_ref (log p_ref - log p)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .widen = COMPAT_KL_ALL_POSITIONS,
    .loss = kl,
};
