/* Knowledge gap alignment, KGA (arXiv 2305.06535): the divergence from a model trained on the
 * forget data should equal the divergence of the target model from one trained on new data of the
 * same kind, | mean over rows of KL(p || p_reinforced) - gap |, gap being the mean of KL(p_ref ||
 * p_new) over the rows of new data: a constant of the run, measured before training
 * (train/helpers.h) unless given. The mean is over the scored rows of the micro-batch, and the sign
 * inside | | is that of this mean. */
#include "objectives/terms.h"

#include <math.h>

struct kga {
    double gap;
};

static const struct param params[] = {
    REAL_PARAM(struct kga, gap, 0, 1e6, 0,
               "target divergence on the forget data, in nats per token; 0: measured on new data"),
    {0},
};

static double measure(const void *params_, const struct logit_row *r)
{
    (void)params_;
    return row_reverse_kl(r->z, r->helper[0], r->n, NULL, 0);
}

static double row(const void *params_, const struct logit_row *r)
{
    const struct kga *p = params_;
    double gap = p->gap > 0 ? p->gap : r->gap, share = r->measured < gap ? -r->share : r->share;
    return (row_reverse_kl(r->z, r->helper[0], r->n, r->dz, share) - gap) * share;
}

static bool wants_gap(const void *params_)
{
    return ((const struct kga *)params_)->gap == 0;
}

const struct term term_kga = {
    .name = "kga",
    .paper = "arXiv 2305.06535",
    .formula = "| mean over rows of KL(p || p_reinforced) - gap |",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .params = params,
    .params_size = sizeof(struct kga),
    .logits = {.row = row, .measure = measure, .helpers = {"reinforced"}, .wants_gap = wants_gap},
};
