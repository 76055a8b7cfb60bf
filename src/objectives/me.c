/* Maximum entropy (arXiv 2410.08109): KL from the uniform distribution,
 *   mean over rows of sum_v (1/V)(log(1/V) - log p),  d/dz = (p - 1/V) / rows.
 * The mean is over scored rows. */
#include "objectives/terms.h"

#include <math.h>

static double row(const void *params, const struct logit_row *r)
{
    (void)params;
    double lse = log_sum_exp(r->z, r->n, 1), sum = 0;
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse;
        sum += lp;
        r->dz[i] = (float)((exp(lp) - 1.0 / r->n) * r->share);
    }
    return (-log(r->n) - sum / r->n) * r->share;
}

const struct term term_me = {
    .name = "me",
    .paper = "arXiv 2410.08109",
    .formula = "mean over rows of sum_v (1/V)(log(1/V) - log p)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .logits = {.row = row},
};
