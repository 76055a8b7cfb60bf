/* KTO (arXiv 2402.01306) with the answers to forget as undesirable outputs:
 *   1 - (2/beta) mean_b f(K + beta (L_b - L_b^ref)),  f = log sigmoid or sigmoid,
 *   K = mean over alternates of L^ref - L, a constant,
 * L_b the sequence sum of -log p over labels. The mean is over sequences; K is computed
 * per micro-batch. */
#include "objectives/terms.h"

struct kto {
    double beta;
    const char *link;
};

static const char links[] = "logsigmoid|sigmoid";
static const struct param params[] = {
    REAL_PARAM(struct kto, beta, 1e-6, 100, 0.1, "inverse temperature"),
    CHOICE_PARAM(struct kto, link, links, "logsigmoid",
                 "sigmoid also reduces the weight of answers far from forgotten"),
    {0},
};

static double kto(const void *params_, const struct seq_view *s, double *d)
{
    const struct kto *p = params_;
    bool log_link = param_choice(links, p->link) == 0;
    double z = s->alt_gain + p->beta * (s->nll - s->ref_nll);
    *d = -2 * sigmoid(-z) * (log_link ? 1 : sigmoid(z));
    return 1 - 2 / p->beta * (log_link ? log_sigmoid(z) : sigmoid(z));
}

const struct term term_kto = {
    .name = "kto",
    .paper = "arXiv 2402.01306",
    .formula = "1 - (2/beta) mean_b link(K + beta (L_b - L_b^ref)), L_b = sum of -log p, K = mean "
               "of L^ref - L over the alternates, a constant",
    .kind = VIEW_LOGP,
    .n_views = 2,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct kto),
    .logp = {.seq = kto, .unpaired = true},
};
