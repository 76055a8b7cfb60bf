/* Forward KL to the frozen reference, KL(p_ref || p), mean over scored rows; under kl_all_positions
 * over every row of the padded batch. d/dz = (p - p_ref) / rows. */
#include "objectives/rows.h"
#include "objectives/terms.h"

#include <math.h>

static double row(const void *params, const struct logit_row *r)
{
    (void)params;
    double lse = log_sum_exp(r->z, r->n, 1), ref_lse = log_sum_exp(r->ref, r->n, 1), sum = 0;
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, lq = (double)r->ref[i] - ref_lse, q = exp(lq);
        sum += q * (lq - lp);
        r->dz[i] = (float)((exp(lp) - q) * r->share);
    }
    return sum * r->share;
}

static int kl(const void *params, struct view *const *v, double *loss, struct err *e)
{
    return rows_add(v[0], row, params, loss, e);
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
