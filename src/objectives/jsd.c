/* JensUn (arXiv 2509.02820): the Jensen-Shannon divergence, at most log 2, in nats,
 *   JSD(p, q) = (KL(p || m) + KL(q || m)) / 2,  m = (p + q) / 2.
 * Between model and label (q one-hot), and between model and frozen reference. Means are over
 * scored rows. */
#include "objectives/terms.h"

#include <math.h>

/* With q one-hot it depends only on the label's p: (p log p - (1+p) log(1+p)) / 2 + log 2. */
static double jsd_label(const void *params, double logp, double *d)
{
    (void)params;
    double p = exp(logp);
    *d = p * (logp - log1p(p)) / 2;
    return (p * logp - (1 + p) * log1p(p)) / 2 + log(2);
}

/* x log(x / m), from log x. */
static double x_log(double lx, double m)
{
    double x = exp(lx);
    return x > 0 ? x * (lx - log(m)) : 0;
}

static double row(const void *params, const struct logit_row *r)
{
    (void)params;
    double lse = log_sum_exp(r->z, r->n, 1), ref_lse = log_sum_exp(r->ref, r->n, 1);
    double p_sum = 0, q_sum = 0;
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, lq = (double)r->ref[i] - ref_lse;
        double m = (exp(lp) + exp(lq)) / 2;
        p_sum += x_log(lp, m);
        q_sum += x_log(lq, m);
    }
    for (int i = 0; i < r->n; i++) {
        double lp = (double)r->z[i] - lse, lq = (double)r->ref[i] - ref_lse, p = exp(lp);
        r->dz[i] = (float)((x_log(lp, (p + exp(lq)) / 2) - p * p_sum) / 2 * r->share);
    }
    return (p_sum + q_sum) / 2 * r->share;
}

const struct term term_jsd_label = {
    .name = "jsd_label",
    .paper = "arXiv 2509.02820",
    .formula = "mean over rows of JSD(p, onehot(label)) = (p log p - (1+p) log(1+p)) / 2 + log 2 "
               "of the label's p",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .logp = {.token = jsd_label},
};

const struct term term_jsd = {
    .name = "jsd",
    .paper = "arXiv 2509.02820",
    .formula =
        "mean over rows of JSD(p, p_ref) = (KL(p || m) + KL(p_ref || m)) / 2, m = their mean",
    .kind = VIEW_LOGITS,
    .n_views = 1,
    .needs_ref = true,
    .logits = {.row = row},
};
