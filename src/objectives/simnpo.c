/* SimNPO (arXiv 2410.07163): NPO without a reference, on lengths made equal:
 *   -(2/beta) mean_b log sigmoid(beta (L_b / n_b - delta)),  n_b = number of labels of b.
 * The mean is over sequences. delta is the paper's gamma. */
#include "objectives/terms.h"

#include "base/mem.h"

struct simnpo {
    double beta, delta;
};

static const struct param params[] = {
    {"beta", PARAM_REAL, offsetof(struct simnpo, beta), 1e-6, 100, NULL, "4.5", NULL,
     "inverse temperature"},
    {"delta", PARAM_REAL, offsetof(struct simnpo, delta), 0, 100, NULL, "0", NULL,
     "loss per token, in nats, around which forgetting slows down"},
    {0},
};

static int simnpo(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct simnpo *p = params_;
    struct view *v = views[0];
    double *g = mem_alloc((size_t)v->n_seqs, sizeof *g, e);
    if (!g)
        return -1;
    for (int b = 0; b < v->n_seqs; b++) {
        if (!v->n_labels[b])
            continue;
        double s = p->beta * (v->nll[b] / v->n_labels[b] - p->delta);
        *loss -= 2 / p->beta * log_sigmoid(s) / v->mean_seqs;
        g[b] = -2 * sigmoid(-s) / v->n_labels[b] / v->mean_seqs;
    }
    view_add_dnll(v, g);
    free(g);
    return 0;
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
    .loss = simnpo,
};
