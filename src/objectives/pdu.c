/* The forget term of primal-dual unlearning (arXiv 2506.05314): flatten the logits,
 *   mean over rows of (max_v z - mean_v z)^2.
 * The mean is over scored rows; under pdu_unshifted over the rows at the labels' positions, which
 * predict the token after each label. d/dz = 2 (max - mean)(onehot(argmax) - 1/V) / rows. */
#include "objectives/terms.h"

struct pdu {
    bool pdu_unshifted;
};

static const struct param params[] = {
    COMPAT_PARAM(struct pdu, pdu_unshifted,
                 "use the logits at the labels' own positions, which predict the token after each"),
    {0},
};

static enum row_set rows(const void *params_)
{
    return ((const struct pdu *)params_)->pdu_unshifted ? ROWS_OF_LABELS : ROWS_SCORED;
}

static double row(const void *params_, const struct logit_row *r)
{
    (void)params_;
    int best = 0;
    double mean = 0;
    for (int i = 0; i < r->n; i++) {
        best = r->z[i] > r->z[best] ? i : best;
        mean += (double)r->z[i] / r->n;
    }
    double gap = (double)r->z[best] - mean;
    for (int i = 0; i < r->n; i++)
        r->dz[i] = (float)(2 * gap * ((i == best) - 1.0 / r->n) * r->share);
    return gap * gap * r->share;
}

const struct term term_pdu = {
    .name = "pdu",
    .paper = "arXiv 2506.05314",
    .formula = "mean over rows of (max_v z - mean_v z)^2",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct pdu),
    .logits = {.row = row, .rows = rows},
};
