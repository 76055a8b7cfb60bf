/* UNDIAL (arXiv 2402.10052): distil the reference with the label's logit lowered by beta,
 *   mean over rows of -sum_v q log p,  q = softmax(z_ref - beta onehot(label)).
 * The mean is over scored rows. Under undial_all_positions it is over all rows that have a next
 * token, padding included; where that is not a label, entry V-100 is lowered, since OpenUnlearning
 * uses -100 as an index from the end. */
#include "objectives/terms.h"

#include "base/seq.h"

struct undial {
    double beta;
    bool undial_all_positions;
};

static const struct param params[] = {
    REAL_PARAM(struct undial, beta, 0, 1000, 10, "amount by which the label's logit is lowered"),
    COMPAT_PARAM(struct undial, undial_all_positions,
                 "mean over every position of the padded batch that has a next token"),
    {0},
};

static double row(const void *params_, const struct logit_row *r)
{
    const struct undial *p = params_;
    return row_soft_target(r, r->ref, r->label == LABEL_NONE ? r->n + LABEL_NONE : r->label,
                           p->beta);
}

static enum row_set rows(const void *params_)
{
    return ((const struct undial *)params_)->undial_all_positions ? ROWS_WITH_NEXT : ROWS_SCORED;
}

static int check(const void *params_, int vocab, struct err *e)
{
    if (((const struct undial *)params_)->undial_all_positions && vocab + LABEL_NONE < 0)
        return err_set(e, "undial_all_positions needs a vocabulary of %d or more, not %d",
                       -LABEL_NONE, vocab);
    return 0;
}

const struct term term_undial = {
    .name = "undial",
    .paper = "arXiv 2402.10052",
    .formula = "mean over rows of -sum_v q log p, q = softmax(z_ref - beta onehot(label))",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = params,
    .params_size = sizeof(struct undial),
    .logits = {.row = row, .rows = rows, .check = check},
};
