/* What SOUL calls KL (arXiv 2404.18239): the cross-entropy from the model to the reference,
 *   H = -sum_v p log(p_ref + 1e-12),
 * whose minimum is not the reference but a point mass on its argmax; and its negative.
 * The mean is over scored rows; under kl_all_positions over every row of the padded batch, as in
 * SOUL. d/dz = p (-log(p_ref + 1e-12) - H). */
#include "objectives/terms.h"

#include <math.h>

static const struct param params[] = {ROW_CHOICE, {0}};

static double row(const void *params_, const struct logit_row *r)
{
    (void)params_;
    double lse = log_sum_exp(r->z, r->n, 1), ref_lse = log_sum_exp(r->ref, r->n, 1), h = 0;
    for (int i = 0; i < r->n; i++)
        h -= exp((double)r->z[i] - lse) * log(exp((double)r->ref[i] - ref_lse) + 1e-12);
    for (int i = 0; i < r->n; i++) {
        double lq = log(exp((double)r->ref[i] - ref_lse) + 1e-12);
        r->dz[i] = (float)(exp((double)r->z[i] - lse) * (-lq - h) * r->share);
    }
    return h * r->share;
}

const struct term term_soul_kl = {
    .name = "soul_kl",
    .paper = "arXiv 2404.18239",
    .formula = "mean over rows of -sum_v p log(p_ref + 1e-12)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct row_choice),
    .logits = {.row = row, .rows = row_choice},
};

const struct term term_soul_kl_ascent = {
    .name = "soul_kl_ascent",
    .paper = "arXiv 2404.18239",
    .formula = "mean over rows of sum_v p log(p_ref + 1e-12)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct row_choice),
    .logits = {.row = row, .sign = -1, .rows = row_choice},
};
