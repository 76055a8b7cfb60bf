/* SCRUB's min step (arXiv 2302.09880): distil the reference and learn the labels,
 *   kl_weight T^2 KL(softmax(z_ref / T) || softmax(z / T)) - nll_weight log p(label).
 * The mean is over scored rows. */
#include "objectives/terms.h"

#include <math.h>

struct distil {
    double temperature, kl_weight, nll_weight;
};

static const struct param params[] = {
    REAL_PARAM(struct distil, temperature, 0.01, 100, 4, "divides the logits of both models"),
    REAL_PARAM(struct distil, kl_weight, 0, 1e6, 0.001,
               "weight of the divergence; the paper's alpha"),
    REAL_PARAM(struct distil, nll_weight, 0, 1e6, 1, "weight of the labels; the paper's gamma"),
    {0},
};

static double row(const void *params_, const struct logit_row *r)
{
    const struct distil *p = params_;
    double scale = 1 / p->temperature, lse = log_sum_exp(r->z, r->n, 1);
    double lse_t = log_sum_exp(r->z, r->n, scale), ref_t = log_sum_exp(r->ref, r->n, scale);
    double kl = 0, nll = lse - (double)r->z[r->label];
    for (int i = 0; i < r->n; i++) {
        double z = (double)r->z[i], lp = scale * z - lse_t, lq = scale * (double)r->ref[i] - ref_t;
        double q = exp(lq), dkl = p->temperature * (exp(lp) - q);
        kl += p->temperature * p->temperature * q * (lq - lp);
        r->dz[i] = (float)((p->kl_weight * dkl + p->nll_weight * (exp(z - lse) - (i == r->label))) *
                           r->share);
    }
    return (p->kl_weight * kl + p->nll_weight * nll) * r->share;
}

const struct term term_distil = {
    .name = "distil",
    .paper = "arXiv 2302.09880",
    .formula = "mean over rows of kl_weight T^2 sum_v p_ref (log p_ref - log p) - nll_weight log "
               "p(label), the first two softmax(z / T)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct distil),
    .logits = {.row = row},
};
