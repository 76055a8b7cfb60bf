/* Answer preservation (arXiv 2410.08109): on retain prompts the right answer must keep a higher
 * probability than a refusal,
 *   -(1/beta) mean_b log sigmoid(beta (A_b - L_b)),
 * L_b and A_b the sequence sums of -log p over the labels of the answer and of its alternate. The
 * mean is over pairs; there is no reference. */
#include "objectives/terms.h"

struct preserve {
    double beta;
};

static const struct param params[] = {
    REAL_PARAM(struct preserve, beta, 1e-6, 100, 0.1,
               "inverse temperature: larger values saturate earlier"),
    {0},
};

static double preserve(const void *params_, const struct seq_view *s, double *d)
{
    const struct preserve *p = params_;
    double z = p->beta * (s->alt_nll - s->nll);
    d[0] = sigmoid(-z);
    d[1] = -d[0];
    return -log_sigmoid(z) / p->beta;
}

const struct term term_preserve = {
    .name = "preserve",
    .paper = "arXiv 2410.08109",
    .formula = "-(1/beta) mean_b log sigmoid(beta (A_b - L_b)), L_b, A_b = sums of -log p over the "
               "answer and its alternate",
    .kind = VIEW_LOGP,
    .n_views = 2,
    .params = params,
    .params_size = sizeof(struct preserve),
    .logp = {.seq = preserve},
};
