/* Negative preference optimisation (arXiv 2404.05868):
 *   -(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref)),  L_b = sequence sum of -log p over labels.
 * Its gradient is gradient ascent's, weighted by 2 p^beta / (p^beta + p_ref^beta); beta -> 0 is
 * ascent. */
#include "objectives/terms.h"

struct npo {
    double beta;
};

static const struct param params[] = {
    REAL_PARAM(struct npo, beta, 1e-6, 100, 0.1,
               "inverse temperature; the limit 0 is gradient ascent"),
    {0},
};

static double npo(const void *params_, const struct seq_view *s, double *d)
{
    const struct npo *p = params_;
    double z = p->beta * (s->nll - s->ref_nll);
    *d = -2 * sigmoid(-z);
    return -2 / p->beta * log_sigmoid(z);
}

const struct term term_npo = {
    .name = "npo",
    .paper = "arXiv 2404.05868",
    .formula = "-(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref)), L_b = sum of -log p over the "
               "labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct npo),
    .logp = {.seq = npo},
};
