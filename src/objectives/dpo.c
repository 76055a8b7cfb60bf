/* Direct preference optimisation (arXiv 2305.18290) that prefers an alternate answer to the one to
 * forget:
 *   -(2/beta) mean_b log sigmoid(beta ((L_b - L_b^ref) - (W_b - W_b^ref))),
 * L_b and W_b the sequence sums of -log p over the labels of the answer to forget and of its
 * alternate. The mean is over pairs. The paper's factor is 1, not 2/beta; with
 * 2/beta, NPO is this loss without W. */
#include "objectives/terms.h"

struct dpo {
    double beta;
};

static const struct param params[] = {
    REAL_PARAM(struct dpo, beta, 1e-6, 100, 0.1,
               "inverse temperature: larger values saturate earlier"),
    {0},
};

static double dpo(const void *params_, const struct seq_view *s, double *d)
{
    const struct dpo *p = params_;
    double z = p->beta * (s->nll - s->ref_nll - (s->alt_nll - s->alt_ref_nll));
    d[0] = -2 * sigmoid(-z);
    d[1] = -d[0];
    return -2 / p->beta * log_sigmoid(z);
}

const struct term term_dpo = {
    .name = "dpo",
    .paper = "arXiv 2305.18290",
    .formula = "-(2/beta) mean_b log sigmoid(beta ((L_b - L_b^ref) - (W_b - W_b^ref))), L_b, W_b = "
               "sums of -log p over the answer and its alternate",
    .kind = VIEW_LOGP,
    .n_views = 2,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct dpo),
    .logp = {.seq = dpo},
};
