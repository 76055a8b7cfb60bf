/* SimNPO (arXiv 2410.07163): NPO without a reference, length-normalised:
 *   -(2/beta) mean_b log sigmoid(beta (L_b / n_b - delta)),  n_b = number of labels of b.
 * The mean is over sequences. delta is the paper's gamma. */
#include "objectives/terms.h"

struct simnpo {
    double beta, delta;
};

static const struct param params[] = {
    REAL_PARAM(struct simnpo, beta, 1e-6, 100, 4.5, "inverse temperature"),
    REAL_PARAM(struct simnpo, delta, 0, 100, 0,
               "loss per token, in nats, at which the gradient has half its maximum"),
    {0},
};

static double simnpo(const void *params_, const struct seq_view *s, double *d)
{
    const struct simnpo *p = params_;
    if (!s->n)
        return 0;
    double z = p->beta * (s->nll / s->n - p->delta);
    *d = -2 * sigmoid(-z) / s->n;
    return -2 / p->beta * log_sigmoid(z);
}

const struct term term_simnpo = {
    .name = "simnpo",
    .paper = "arXiv 2410.07163",
    .formula = "-(2/beta) mean_b log sigmoid(beta (L_b / n_b - delta)), L_b / n_b = mean of -log p "
               "over the labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct simnpo),
    .logp = {.seq = simnpo},
};
