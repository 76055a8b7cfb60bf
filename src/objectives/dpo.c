/* Direct preference optimisation (arXiv 2305.18290) of an alternate answer over the one to forget:
 *   -(2/beta) mean_b log sigmoid(beta ((L_b - L_b^ref) - (W_b - W_b^ref))),
 * L_b and W_b the sequence sums of -log p over the labels of the answer to forget and of its
 * alternate. The mean is over pairs. The paper has 1 for 2/beta; with it NPO is this without W. */
#include "objectives/terms.h"

#include "base/mem.h"

struct dpo {
    double beta;
};

static const struct param params[] = {
    {"beta", PARAM_REAL, offsetof(struct dpo, beta), 1e-6, 100, NULL, "0.1", NULL,
     "inverse temperature: how soon a pair counts as learnt"},
    {0},
};

static int dpo(const void *params_, struct view *const *views, double *loss, struct err *e)
{
    const struct dpo *p = params_;
    struct view *lose = views[0], *win = views[1];
    if (lose->n_seqs != win->n_seqs)
        return err_set(e, "term 'dpo' needs an alternate for each answer, not %d for %d",
                       win->n_seqs, lose->n_seqs);
    double *g = mem_alloc((size_t)lose->n_seqs, sizeof *g, e);
    if (!g)
        return -1;
    for (int b = 0; b < lose->n_seqs; b++) {
        double s = p->beta * (lose->nll[b] - lose->ref_nll[b] - (win->nll[b] - win->ref_nll[b]));
        *loss -= 2 / p->beta * log_sigmoid(s) / lose->mean_seqs;
        g[b] = -2 * sigmoid(-s) / lose->mean_seqs;
    }
    view_add_dnll(lose, g);
    for (int b = 0; b < lose->n_seqs; b++)
        g[b] = -g[b];
    view_add_dnll(win, g);
    free(g);
    return 0;
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
    .loss = dpo,
};
