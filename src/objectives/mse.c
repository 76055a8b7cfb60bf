/* Mean squared error to the reference's logits,
 *   mean over rows of (1/V) sum_v (z - z_ref)^2,  d/dz = 2 (z - z_ref) / (V rows),
 * stricter than a divergence: a constant added to all logits of a row has a loss. The mean is
 * over scored rows. (embed_diff is the same for hidden states.) */
#include "objectives/terms.h"

static double row(const void *params, const struct logit_row *r)
{
    (void)params;
    double sum = 0;
    for (int i = 0; i < r->n; i++) {
        double d = (double)r->z[i] - (double)r->ref[i];
        sum += d * d / r->n;
        r->dz[i] = (float)(2 * d / r->n * r->share);
    }
    return sum * r->share;
}

const struct term term_mse = {
    .name = "mse",
    .formula = "mean over rows of (1/V) sum_v (z - z_ref)^2",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .logits = {.row = row},
};
