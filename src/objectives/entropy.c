/* Negative entropy of the predictions, mean over scored rows of sum_v p log p: minimising
 * it makes the predictions uniform. The tamper-resistance loss of TAR (arXiv 2408.00761), whose
 * code averages over all rows, padding included.
 *   d/dz_v = p_v (log p_v - sum_u p_u log p_u) */
#include <math.h>

#include "objectives/terms.h"

static double row(const void *params, const struct logit_row *r)
{
    (void)params;
    double lse = log_sum_exp(r->z, r->n, 1), sum = 0;
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse;
        sum += exp(lp) * lp;
    }
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse;
        r->dz[i] = (float)(exp(lp) * (lp - sum) * r->share);
    }
    return sum * r->share;
}

const struct term term_neg_entropy = {
    .name = "neg_entropy",
    .paper = "arXiv 2408.00761",
    .formula = "mean over scored rows of sum_v p log p",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .logits = {.row = row},
};
