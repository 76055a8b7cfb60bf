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

static int measure(const void *params_, struct view *const *views, double *sum, struct err *e)
{
    const struct view *v = views[0];
    (void)params_, (void)e;
    for (int i = 0; i < v->n_rows; i++) {
        size_t at = (size_t)i * (size_t)v->vocab;
        *sum += row_reverse_kl(v->z + at, v->helper[0] + at, v->vocab, NULL, 0);
    }
    return 0;
}

/* gap: the target divergence. */
static double row(const void *gap, const struct logit_row *r)
{
    double kl = row_reverse_kl(r->z, r->helper[0], r->n, r->dz, r->share);
    return (kl - *(const double *)gap) * r->share;
}

static int kga(const void *params_, struct view *const *v, double *loss, struct err *e)
{
    const struct kga *p = params_;
    double gap = p->gap > 0 ? p->gap : v[0]->gap;
    int rows = 0;
    for (int s = 0; s < v[0]->n_seqs; s++)
        rows += v[0]->n_labels[s];
    return view_add_rows(v[0], row, &gap, v[0]->measured < gap * rows ? -1 : 1, loss, e);
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
    .helpers = {"reinforced"},
    .params = params,
    .params_size = sizeof(struct kga),
    .measure = measure,
    .loss = kga,
    .wants_gap = wants_gap,
};
