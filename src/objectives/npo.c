/* Negative preference optimisation (arXiv 2404.05868):
 *   -(2/beta) mean_b log sigmoid(beta (L_b - L_b^ref)),  L_b = sequence sum of -log p over labels.
 * Its gradient is gradient ascent's, weighted by 2 p^beta / (p^beta + p_ref^beta); beta -> 0 is
 * ascent. */
#include "objectives/terms.h"

#include "base/mem.h"

struct npo {
    double beta;
};

static const struct param params[] = {
    {"beta", PARAM_REAL, offsetof(struct npo, beta), 1e-6, 100, NULL, "0.1", NULL,
     "inverse temperature; towards 0 it becomes gradient ascent"},
    {0},
};

static int npo(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct npo *p = params_;
    struct view *v = views[0];
    double *g = mem_alloc((size_t)v->n_seqs, sizeof *g, e);
    if (!g)
        return -1;
    for (int b = 0; b < v->n_seqs; b++) {
        double s = p->beta * (v->nll[b] - v->ref_nll[b]);
        *loss -= 2 / p->beta * log_sigmoid(s) / v->mean_seqs;
        g[b] = -2 * sigmoid(-s) / v->mean_seqs;
    }
    view_add_dnll(v, g);
    free(g);
    return 0;
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
    .loss = npo,
};
