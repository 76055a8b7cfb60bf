/* Negative log-likelihood of the labels, mean over all scored tokens: sum_M c / |M|, and gradient
 * ascent, minus the same (arXiv 2210.01504), which is unbounded below: use early stopping.
 *
 * nll_seq is the mean over sequences of the mean over their labels, mean_b L_b / n_b, so that
 * long and short answers have equal weight; ascent_seq is minus that: two of the three terms of
 * LLMU (arXiv 2310.10683), on random answers and on the answers to forget. A sequence without
 * labels counts in the denominator only. */
#include "objectives/terms.h"

static double nll(const void *params, double logp, double *d)
{
    (void)params;
    *d = -1;
    return -logp;
}

/* The retain constraint of a primal-dual method: loss - eps, with alpha as its dual variable. */
struct constraint {
    double retain_loss_eps, dual_step_size, dual_warmup_epochs;
    bool primal_dual;
    const char *dual_update_upon;
};

static const char upons[] = "step|epoch";

static const struct param constraint_params[] = {
    REAL_PARAM(struct constraint, retain_loss_eps, 0, 100, 0,
               "upper bound of the retain loss, in nats per token"),
    BOOL_PARAM(struct constraint, primal_dual, true,
               "alpha is a dual variable: alpha <- max(0, alpha + dual_step_size * (retain loss - "
               "retain_loss_eps))"),
    REAL_PARAM(struct constraint, dual_step_size, 0, 1e6, 1, "step size of the dual update"),
    CHOICE_PARAM(struct constraint, dual_update_upon, upons, "step",
                 "update alpha after each step, or after each epoch on all its data"),
    REAL_PARAM(struct constraint, dual_warmup_epochs, 0, 1e6, 5,
               "epochs before the first update of alpha"),
    {0},
};

static bool constraint_dual(const void *params, struct dual *d)
{
    const struct constraint *p = params;
    *d = (struct dual){.step = p->dual_step_size,
                       .each_epoch = param_choice(upons, p->dual_update_upon) == 1,
                       .warmup_epochs = p->dual_warmup_epochs};
    return p->primal_dual;
}

static double constraint(const void *params, double logp, double *d)
{
    return nll(NULL, logp, d) - ((const struct constraint *)params)->retain_loss_eps;
}

const struct term term_nll = {
    .name = "nll",
    .formula = "sum_M c / |M|, c = -log p(label), M = scored tokens",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .logp = {.token = nll},
};

const struct term term_ascent = {
    .name = "ascent",
    .paper = "arXiv 2210.01504",
    .formula = "-sum_M c / |M|",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .logp = {.token = nll, .sign = -1},
};

const struct term term_nll_seq = {
    .name = "nll_seq",
    .paper = "arXiv 2310.10683",
    .formula = "mean_b L_b / n_b, L_b = sum of -log p over the n_b labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .logp = {.token = nll, .mean = MEAN_OF_SEQS},
};

const struct term term_ascent_seq = {
    .name = "ascent_seq",
    .paper = "arXiv 2310.10683",
    .formula = "-mean_b L_b / n_b, L_b = sum of -log p over the n_b labels of b",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .logp = {.token = nll, .mean = MEAN_OF_SEQS, .sign = -1},
};

const struct term term_constraint = {
    .name = "constraint",
    .formula = "sum_M c / |M| - retain_loss_eps",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .params = constraint_params,
    .params_size = sizeof(struct constraint),
    .dual = constraint_dual,
    .logp = {.token = constraint},
};
