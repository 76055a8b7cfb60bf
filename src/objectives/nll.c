/* Negative log-likelihood of the labels, mean over all scored tokens: sum_M c / |M|. */
#include "objectives/terms.h"

static int add_nll(struct view *v, double sign, double *loss)
{
    double sum = 0;
    for (int r = 0; r < v->n_rows; r++) {
        sum -= (double)v->logp[r];
        v->dlogp[r] -= (float)(sign / v->mean_rows);
    }
    *loss += sign * sum / v->mean_rows;
    return 0;
}

static int nll(const void *params, struct view *const *v, double *loss, struct err *e)
{
    (void)params, (void)e;
    return add_nll(v[0], 1, loss);
}

/* Gradient ascent: minus the same (arXiv 2210.01504). Unbounded below: stop early. */
static int ascent(const void *params, struct view *const *v, double *loss, struct err *e)
{
    (void)params, (void)e;
    return add_nll(v[0], -1, loss);
}

/* The retain constraint of a primal-dual method: what is lost beyond eps, with alpha as its dual
 * variable. */
struct constraint {
    double eps;
};

static const struct param constraint_params[] = {
    {"retain_loss_eps", PARAM_REAL, offsetof(struct constraint, eps), 0, 100, NULL, "0", NULL,
     "loss per token, in nats, that retain data may have"},
    {0},
};

static int constraint(const void *params, struct view *const *v, double *loss, struct err *e)
{
    const struct constraint *p = params;
    (void)e;
    add_nll(v[0], 1, loss);
    *loss -= p->eps * v[0]->n_rows / v[0]->mean_rows;
    return 0;
}

const struct term term_nll = {
    .name = "nll",
    .formula = "sum_M c / |M|, c = -log p(label), M = scored tokens",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .loss = nll,
};

const struct term term_ascent = {
    .name = "ascent",
    .paper = "arXiv 2210.01504",
    .formula = "-sum_M c / |M|",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .loss = ascent,
};

const struct term term_constraint = {
    .name = "constraint",
    .formula = "sum_M c / |M| - retain_loss_eps",
    .kind = VIEW_LOGP,
    .n_views = 1,
    .params = constraint_params,
    .params_size = sizeof(struct constraint),
    .loss = constraint,
};
