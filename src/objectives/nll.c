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
    double eps, step, warmup_epochs;
    bool primal_dual;
    const char *upon;
};

#define CONSTRAINT(f) offsetof(struct constraint, f)
static const char upons[] = "step|epoch";

static const struct param constraint_params[] = {
    {"retain_loss_eps", PARAM_REAL, CONSTRAINT(eps), 0, 100, NULL, "0", NULL,
     "loss per token, in nats, that retain data may have"},
    {"primal_dual", PARAM_BOOL, CONSTRAINT(primal_dual), 0, 0, NULL, "true", NULL,
     "alpha moves with the constraint: alpha <- max(0, alpha + dual_step_size * its value)"},
    {"dual_step_size", PARAM_REAL, CONSTRAINT(step), 0, 1e6, NULL, "1", NULL, "how fast"},
    {"dual_update_upon", PARAM_CHOICE, CONSTRAINT(upon), 0, 0, upons, "step", NULL,
     "after each step, or at the end of each epoch by all its data"},
    {"dual_warmup_epochs", PARAM_REAL, CONSTRAINT(warmup_epochs), 0, 1e6, NULL, "5", NULL,
     "epochs before alpha begins to move"},
    {0},
};

static bool constraint_dual(const void *params, struct dual *d)
{
    const struct constraint *p = params;
    *d = (struct dual){.step = p->step,
                       .each_epoch = param_choice(upons, p->upon) == 1,
                       .warmup_epochs = p->warmup_epochs};
    return p->primal_dual;
}

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
    .dual = constraint_dual,
    .loss = constraint,
};
