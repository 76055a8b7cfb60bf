/* Who's Harry Potter (arXiv 2310.02238) and reverse KL distillation, RKLD (arXiv 2406.01983): learn
 * from generic logits: the reference's, minus what a model reinforced on the forget data raises,
 *   t = z_ref - strength ReLU(z_reinforced - z_ref), a constant;
 *   whp:  mean over rows of -log p(argmax t), or of -sum_v softmax(t) log p,
 *   rkld: mean over rows of KL(p || softmax(t)).
 * The means are over scored rows. */
#include "objectives/terms.h"

#include <math.h>

struct whp {
    double strength;
    const char *target;
};

static const char targets[] = "hard|soft";
static const struct param whp_params[] = {
    REAL_PARAM(struct whp, strength, 0, 1000, 5,
               "factor of the subtracted rise of the reinforced model's logits"),
    CHOICE_PARAM(struct whp, target, targets, "hard",
                 "target: argmax of the generic logits, or their distribution"),
    {0},
};

static const struct param rkld_params[] = {
    REAL_PARAM(struct whp, strength, 0, 1000, 2,
               "factor of the subtracted rise of the reinforced model's logits"),
    {0},
};

static double generic(const struct logit_row *r, double strength, int i)
{
    double base = (double)r->ref[i], rise = (double)r->helper[0][i] - base;
    return rise > 0 ? base - strength * rise : base;
}

static double generic_lse(const struct logit_row *r, double strength)
{
    double top = -INFINITY, sum = 0;
    for (int i = 0; i < r->n; i++)
        top = fmax(top, generic(r, strength, i));
    for (int i = 0; i < r->n; i++)
        sum += exp(generic(r, strength, i) - top);
    return top + log(sum);
}

static double row_hard(const void *params_, const struct logit_row *r)
{
    const struct whp *p = params_;
    int best = 0;
    for (int i = 1; i < r->n; i++)
        if (generic(r, p->strength, i) > generic(r, p->strength, best))
            best = i;
    double lse = log_sum_exp(r->z, r->n, 1), loss = lse - (double)r->z[best];
    for (int i = 0; i < r->n; i++)
        r->dz[i] = (float)((exp((double)r->z[i] - lse) - (i == best)) * r->share);
    return loss * r->share;
}

static double row_soft(const void *params_, const struct logit_row *r)
{
    const struct whp *p = params_;
    double lse = log_sum_exp(r->z, r->n, 1), t_lse = generic_lse(r, p->strength), loss = 0;
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, q = exp(generic(r, p->strength, i) - t_lse);
        loss -= q * lp;
        r->dz[i] = (float)((exp(lp) - q) * r->share);
    }
    return loss * r->share;
}

static double row_rkld(const void *params_, const struct logit_row *r)
{
    const struct whp *p = params_;
    double lse = log_sum_exp(r->z, r->n, 1), t_lse = generic_lse(r, p->strength), kl = 0;
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse;
        kl += exp(lp) * (lp - (generic(r, p->strength, i) - t_lse));
    }
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, lq = generic(r, p->strength, i) - t_lse;
        r->dz[i] = (float)(exp(lp) * (lp - lq - kl) * r->share);
    }
    return kl * r->share;
}

static double row_whp(const void *params_, const struct logit_row *r)
{
    bool hard = param_choice(targets, ((const struct whp *)params_)->target) == 0;
    return hard ? row_hard(params_, r) : row_soft(params_, r);
}

const struct term term_whp = {
    .name = "whp",
    .paper = "arXiv 2310.02238",
    .formula = "mean over rows of -log p(argmax t), or of -sum_v softmax(t) log p, t = z_ref - "
               "strength ReLU(z_reinforced - z_ref)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = whp_params,
    .params_size = sizeof(struct whp),
    .logits = {.row = row_whp, .helpers = {"reinforced"}},
};

const struct term term_rkld = {
    .name = "rkld",
    .paper = "arXiv 2406.01983",
    .formula = "mean over rows of KL(p || softmax(t)), t = z_ref - strength ReLU(z_reinforced - "
               "z_ref)",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .params = rkld_params,
    .params_size = sizeof(struct whp),
    .logits = {.row = row_rkld, .helpers = {"reinforced"}},
};
