/* Forget gradients at perturbed weights, so that forgetting is robust to small changes of them
 * (NPO+SAM and RS, arXiv 2502.05374). The retain gradient is taken at the unperturbed weights.
 *
 * sam, sharpness-aware minimisation: at w + rho g1/|g1|, g1 = the forget gradient at w. One more
 * pass of the forget data, and a copy of the weights.
 * rs, random smoothing: the mean over draws of w + N(0, rho^2). */
#include "optim/optims.h"

struct sam {
    double sam_rho;
};

static const struct param sam_params[] = {
    REAL_PARAM(struct sam, sam_rho, 0, 100, 0.01,
               "length of the ascent step in weight space; 0: none"),
    {0},
};

static int sam(const void *params, struct gradient *g, struct err *e)
{
    const struct sam *p = params;
    struct model *m = g->engine->model;
    if (p->sam_rho == 0)
        return gradient_add(g, GOALS_METHOD, e);
    if (gradient_add(g, GOAL_BIT(GOAL_FORGET), e))
        return -1;
    double norm = gradient_norm(g);
    weights_save(m, g->copy[0]);
    if (norm > 0)
        weights_shift(m, p->sam_rho / norm, g->engine->grads);
    engine_drop_grads(g->engine);
    int rc = gradient_add(g, GOAL_BIT(GOAL_FORGET), e);
    weights_restore(m, g->copy[0]);
    return rc ? rc : gradient_add(g, GOAL_BIT(GOAL_RETAIN), e);
}

const struct wrapper wrapper_sam = {
    .name = "sam",
    .paper = "arXiv 2502.05374",
    .help = "the forget gradient at the worst weights nearby (sharpness-aware)",
    .formula = "gamma grad L_f(w + sam_rho g/|g|) + alpha grad L_r(w), g = grad L_f(w)",
    .params = sam_params,
    .params_size = sizeof(struct sam),
    .n_copies = 1,
    .gradient = sam,
};

struct rs {
    double rs_rho;
    int64_t rs_samples;
};

static const struct param rs_params[] = {
    REAL_PARAM(struct rs, rs_rho, 0, 100, 1e-4,
               "standard deviation of the noise on every weight; 0: none"),
    INT_PARAM(struct rs, rs_samples, 1, 1000, 1, "number of noise samples averaged"),
    {0},
};

static int rs(const void *params, struct gradient *g, struct err *e)
{
    const struct rs *p = params;
    struct model *m = g->engine->model;
    struct rng r;
    int rc = 0;
    if (p->rs_rho == 0)
        return gradient_add(g, GOALS_METHOD, e);
    rng_stream(&r, g->seed, RNG_NOISE, (uint32_t)g->step + 1);
    weights_save(m, g->copy[0]);
    for (int64_t k = 0; k < p->rs_samples && !rc; k++) {
        weights_noise(m, p->rs_rho, &r);
        rc = gradient_add(g, GOAL_BIT(GOAL_FORGET), e);
        weights_restore(m, g->copy[0]);
    }
    gradient_scale(g, 1.0 / (double)p->rs_samples);
    return rc ? rc : gradient_add(g, GOAL_BIT(GOAL_RETAIN), e);
}

const struct wrapper wrapper_rs = {
    .name = "rs",
    .paper = "arXiv 2502.05374",
    .help = "the forget gradient at noisy weights (random smoothing)",
    .formula = "gamma mean grad L_f(w + N(0, rs_rho^2)) + alpha grad L_r(w)",
    .params = rs_params,
    .params_size = sizeof(struct rs),
    .n_copies = 1,
    .gradient = rs,
};
