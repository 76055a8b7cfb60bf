/* KTO (arXiv 2402.01306) with the answers to forget as the undesired ones:
 *   1 - (2/beta) mean_b f(K + beta (L_b - L_b^ref)),  f = log sigmoid or sigmoid,
 *   K = mean over alternates of L^ref - L, a constant,
 * L_b the sequence sum of -log p over labels. The mean is over sequences; K is that of the
 * micro-batch's own alternates. */
#include "objectives/terms.h"

#include "base/mem.h"

struct kto {
    double beta;
    const char *link;
};

static const char links[] = "logsigmoid|sigmoid";
static const struct param params[] = {
    {"beta", PARAM_REAL, offsetof(struct kto, beta), 1e-6, 100, NULL, "0.1", NULL,
     "inverse temperature"},
    {"link", PARAM_CHOICE, offsetof(struct kto, link), 0, 0, links, "logsigmoid", NULL,
     "sigmoid also lets go of what is far from forgotten"},
    {0},
};

static int kto(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct kto *p = params_;
    struct view *v = views[0];
    const struct view *alternate = views[1];
    bool log_link = param_choice(links, p->link) == 0;
    double k = 0, *g = mem_alloc((size_t)v->n_seqs, sizeof *g, e);
    if (!g)
        return -1;
    for (int b = 0; b < alternate->n_seqs; b++)
        k += (alternate->ref_nll[b] - alternate->nll[b]) / alternate->n_seqs;
    for (int b = 0; b < v->n_seqs; b++) {
        double s = k + p->beta * (v->nll[b] - v->ref_nll[b]);
        *loss += (1 - 2 / p->beta * (log_link ? log_sigmoid(s) : sigmoid(s))) / v->mean_seqs;
        g[b] = -2 * sigmoid(-s) * (log_link ? 1 : sigmoid(s)) / v->mean_seqs;
    }
    view_add_dnll(v, g);
    free(g);
    return 0;
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
    .loss = kto,
};
