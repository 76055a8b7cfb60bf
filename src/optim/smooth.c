/* Penalties on the slope and on the curvature of the forget loss L_f (arXiv 2502.05374, GNR and
 * CR). Their gradients are Hessian-vector products of L_f, computed by central differences of
 * its gradient: H v = (grad L_f(w + r v) - grad L_f(w - r v)) / 2r. (The
 * published code detaches the values from the graph, so that its penalties have no gradient.)
 *
 * gnr adds rho |g|, g = grad L_f(w):               gradient rho H(w) g/|g|; two more passes.
 * cr adds rho |d|, d = grad L_f(w + e) - g, e = mu g/|g| held fixed:
 *                             gradient rho (H(w + e) - H(w)) d/|d|; five more passes. */
#include "optim/optims.h"

#include <math.h>
#include <string.h>

struct gnr {
    double gnr_rho, gnr_difference;
};

static const struct param gnr_params[] = {
    REAL_PARAM(struct gnr, gnr_rho, 0, 1e6, 10, "weight of the gradient norm penalty; 0: none"),
    REAL_PARAM(struct gnr, gnr_difference, 1e-6, 1, 1e-3, "step length of the central difference"),
    {0},
};

struct cr {
    double cr_rho, cr_mu, cr_difference;
};

static const struct param cr_params[] = {
    REAL_PARAM(struct cr, cr_rho, 0, 1e6, 10, "weight of the gradient change penalty; 0: none"),
    REAL_PARAM(struct cr, cr_mu, 1e-6, 100, 0.01,
               "length of the step over which the gradient change is measured"),
    REAL_PARAM(struct cr, cr_difference, 1e-6, 1, 1e-3, "step length of the central difference"),
    {0},
};

/* One pass of the forget terms at w + a v + b u; does not restore the weights. w is in copy 0. */
static int pass_at(struct gradient *g, double a, const device float *v, double b,
                   const device float *u, struct err *e)
{
    struct model *m = g->engine->model;
    weights_restore(m, g->copy[0]);
    weights_shift(m, a, v);
    if (u)
        weights_shift(m, b, u);
    return gradient_add(g, GOAL_BIT(GOAL_FORGET), e);
}

/* The forget gradient at w, into copy 1; its norm. w into copy 0. */
static int take_gradient(struct gradient *g, double *norm, struct err *e)
{
    if (gradient_add(g, GOAL_BIT(GOAL_FORGET), e))
        return -1;
    *norm = gradient_norm(g);
    weights_save(g->engine->model, g->copy[0]);
    gradient_save(g, g->copy[1]);
    return 0;
}

/* grads <- g + a grads at w, and the retain terms' gradient. */
static int finish(struct gradient *g, double a, struct err *e)
{
    weights_restore(g->engine->model, g->copy[0]);
    gradient_scale(g, a);
    gradient_axpy(g, 1, g->copy[1]);
    return gradient_add(g, GOAL_BIT(GOAL_RETAIN), e);
}

static int back(struct gradient *g)
{
    weights_restore(g->engine->model, g->copy[0]);
    return -1;
}

static int gnr(const void *params, struct gradient *g, struct err *e)
{
    const struct gnr *p = params;
    double norm, r = p->gnr_difference;
    if (p->gnr_rho == 0)
        return gradient_add(g, GOALS_METHOD, e);
    if (take_gradient(g, &norm, e))
        return -1;
    engine_drop_grads(g->engine);
    if (norm == 0) {
        engine_settle_grads(g->engine);
        return finish(g, 0, e);
    }
    if (pass_at(g, r / norm, g->copy[1], 0, NULL, e))
        return back(g);
    gradient_scale(g, -1);
    if (pass_at(g, -r / norm, g->copy[1], 0, NULL, e))
        return back(g);
    return finish(g, -p->gnr_rho / (2 * r), e);
}

/* d into copy 2; its length. */
static int take_change(struct gradient *g, double step, double *length, struct err *e)
{
    engine_drop_grads(g->engine);
    if (pass_at(g, step, g->copy[1], 0, NULL, e))
        return -1;
    gradient_axpy(g, -1, g->copy[1]);
    gradient_save(g, g->copy[2]);
    *length = gradient_norm(g);
    engine_drop_grads(g->engine);
    return 0;
}

static int cr(const void *params, struct gradient *g, struct err *e)
{
    const struct cr *p = params;
    const device float *v, *d;
    double norm, length = 0;
    if (p->cr_rho == 0)
        return gradient_add(g, GOALS_METHOD, e);
    if (take_gradient(g, &norm, e))
        return -1;
    v = g->copy[1], d = g->copy[2];
    double mu = norm > 0 ? p->cr_mu / norm : 0;
    if (norm > 0 && take_change(g, mu, &length, e))
        return back(g);
    if (length == 0) {
        engine_zero_grads(g->engine);
        return finish(g, 0, e);
    }
    /* At w + e: plus and minus; at w: minus and plus. The sum is negated twice. */
    double r = p->cr_difference / length;
    if (pass_at(g, mu, v, r, d, e))
        return back(g);
    gradient_scale(g, -1);
    if (pass_at(g, mu, v, -r, d, e) || pass_at(g, r, d, 0, NULL, e))
        return back(g);
    gradient_scale(g, -1);
    if (pass_at(g, -r, d, 0, NULL, e))
        return back(g);
    return finish(g, p->cr_rho / (2 * p->cr_difference), e);
}

const struct wrapper wrapper_gnr = {
    .name = "gnr",
    .paper = "arXiv 2502.05374",
    .help = "a penalty on the norm of the forget gradient",
    .formula = "gamma L_f + alpha L_r + gnr_rho |grad gamma L_f|",
    .params = gnr_params,
    .params_size = sizeof(struct gnr),
    .n_copies = 2,
    .gradient = gnr,
};

const struct wrapper wrapper_cr = {
    .name = "cr",
    .paper = "arXiv 2502.05374",
    .help = "a penalty on the change of the forget gradient nearby (curvature)",
    .formula = "gamma L_f + alpha L_r + cr_rho |g(w + cr_mu g/|g|) - g|, g = grad gamma L_f",
    .params = cr_params,
    .params_size = sizeof(struct cr),
    .n_copies = 3,
    .gradient = cr,
};
