/* The mean over sequences of the mean over their labels,
 *   mean_b L_b / n_b,  L_b = sequence sum of -log p,
 * so that a long answer does not outweigh a short one, and minus that: two of the three terms of
 * LLMU (arXiv 2310.10683), on random answers and on the answers to forget. A sequence without
 * labels counts in the mean and adds nothing. */
#include "objectives/terms.h"

static int add(struct view *v, double sign, double *loss)
{
    for (int r = 0; r < v->n_rows; r++) {
        double share = sign / (v->n_labels[v->row_seq[r]] * v->mean_seqs);
        *loss -= share * (double)v->logp[r];
        v->dlogp[r] -= (float)share;
    }
    return 0;
}

static int nll_seq(const void *params, struct view *const *v, double *loss, struct err *e)
{
    (void)params, (void)e;
    return add(v[0], 1, loss);
}

static int ascent_seq(const void *params, struct view *const *v, double *loss, struct err *e)
{
    (void)params, (void)e;
    return add(v[0], -1, loss);
}

const struct term term_nll_seq = {
    .name = "nll_seq",
    .paper = "arXiv 2310.10683",
    .formula = "mean_b L_b / n_b, L_b = sum of -log p over the n_b labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .loss = nll_seq,
};

const struct term term_ascent_seq = {
    .name = "ascent_seq",
    .paper = "arXiv 2310.10683",
    .formula = "-mean_b L_b / n_b, L_b = sum of -log p over the n_b labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .loss = ascent_seq,
};
