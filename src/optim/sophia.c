/* Sophia (arXiv 2305.14342), the second-order optimiser of SOUL (arXiv 2404.18239): the momentum
 * divided by an estimate h of the Hessian's diagonal, clipped elementwise to [-1, 1]. States: m, h.
 *
 * sophia is the paper's: every k steps h = beta2 h + (1 - beta2) n ghat^2, where ghat is the
 * gradient of the token mean under n labels sampled from the model (Gauss-Newton-Bartlett), and
 *   m = beta1 m + (1 - beta1) g;  w *= 1 - lr decay;  w -= lr clip(m / max(gamma h, eps), 1).
 *
 * sophia_soul is SOUL's code: h averages the square of the loss's own gradient at every step, m is
 * updated twice, the batch in the denominator is a constant:
 *   h = beta2 h + (1 - beta2) g^2;  m = beta1 m + (1 - beta1) g;  w *= 1 - lr decay;
 *   m = beta1 m + (1 - beta1) g;  w -= lr sign(m) min(|m| / (rho bs h + 1e-15), 1). */
#include <math.h>

#include "base/sizes.h"
#include "optim/optims.h"

struct sophia {
    double sophia_beta1, sophia_beta2, sophia_gamma, sophia_epsilon;
    int64_t sophia_interval;
};

static const struct param sophia_params[] = {
    REAL_PARAM(struct sophia, sophia_beta1, 0, 0.9999999, 0.96, "decay rate of the momentum"),
    REAL_PARAM(struct sophia, sophia_beta2, 0, 0.9999999, 0.99,
               "decay rate of the curvature estimate"),
    REAL_PARAM(struct sophia, sophia_gamma, 1e-6, 1e6, 0.05,
               "scale of the curvature: larger values clip fewer entries"),
    REAL_PARAM(struct sophia, sophia_epsilon, 1e-30, 1, 1e-12, "minimum of the denominator"),
    INT_PARAM(struct sophia, sophia_interval, 1, 1000000, 10, "steps between curvature estimates"),
    {0},
};

static bool wants_estimate(const void *params, long step)
{
    const struct sophia *p = params;
    return (step - 1) % p->sophia_interval == 0;
}

static void estimate(const void *params, const struct optim_step *s, const struct optim_span *x,
                     double labels)
{
    const struct sophia *p = params;
    const float b2 = (float)p->sophia_beta2, share = (float)((1 - p->sophia_beta2) * labels),
                *g = s->ops->map_read(x->grad, x->n);
    float *h = s->ops->map(x->state[1], x->n);
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++)
        h[i] = b2 * h[i] + share * g[i] * g[i];
    s->ops->unmap(x->grad);
    s->ops->unmap(x->state[1]);
}

static void step(const void *params, const struct optim_step *s, const struct optim_span *x)
{
    const struct sophia *p = params;
    const float *g = s->ops->map_read(x->grad, x->n), *h = s->ops->map_read(x->state[1], x->n);
    float *w = s->ops->map(x->w, x->n), *m = s->ops->map(x->state[0], x->n);
    const float keep = (float)(1 - s->lr * x->decay), lr = (float)s->lr;
    const float b1 = (float)p->sophia_beta1, gamma = (float)p->sophia_gamma,
                eps = (float)p->sophia_epsilon;
    const float scale = s->grad_scale;
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++) {
        m[i] = b1 * m[i] + (1 - b1) * scale * g[i];
        float ratio = m[i] / fmaxf(gamma * h[i], eps);
        w[i] = w[i] * keep - lr * fmaxf(-1, fminf(ratio, 1));
    }
    optim_unmap(s, x);
}

struct soul {
    double soul_beta1, soul_beta2, soul_rho;
    int64_t soul_bs;
};

static const struct param soul_params[] = {
    REAL_PARAM(struct soul, soul_beta1, 0, 0.9999999, 0.9,
               "decay rate of the momentum, applied twice per step"),
    REAL_PARAM(struct soul, soul_beta2, 0, 0.9999999, 0.95, "decay rate of the curvature estimate"),
    REAL_PARAM(struct soul, soul_rho, 0, 1e6, 0.04, "scale of the curvature"),
    INT_PARAM(struct soul, soul_bs, 1, 1000000000, 5120,
              "second scale of the curvature; SOUL's constant for every batch size"),
    {0},
};

static void soul_step(const void *params, const struct optim_step *s, const struct optim_span *x)
{
    const struct soul *p = params;
    const float *g = s->ops->map_read(x->grad, x->n);
    float *w = s->ops->map(x->w, x->n), *m = s->ops->map(x->state[0], x->n),
          *h = s->ops->map(x->state[1], x->n);
    const float keep = (float)(1 - s->lr * x->decay), lr = (float)s->lr;
    const float b1 = (float)p->soul_beta1, b2 = (float)p->soul_beta2, scale = s->grad_scale;
    const float c = (float)(p->soul_rho * (double)p->soul_bs);
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++) {
        float d = scale * g[i];
        h[i] = b2 * h[i] + (1 - b2) * d * d;
        m[i] = b1 * m[i] + (1 - b1) * d;
        m[i] = b1 * m[i] + (1 - b1) * d;
        float ratio = fminf(fabsf(m[i]) / (c * h[i] + 1e-15f), 1);
        w[i] = w[i] * keep - lr * (float)((m[i] > 0) - (m[i] < 0)) * ratio;
    }
    optim_unmap(s, x);
}

const struct optim optim_sophia = {
    .name = "sophia",
    .paper = "arXiv 2305.14342",
    .help = "second-order; an extra pass every sophia_interval steps",
    .n_states = 2,
    .params = sophia_params,
    .params_size = sizeof(struct sophia),
    .step = step,
    .wants_estimate = wants_estimate,
    .estimate = estimate,
};

const struct optim optim_sophia_soul = {
    .name = "sophia_soul",
    .paper = "arXiv 2404.18239",
    .help = "sophia as in SOUL's code",
    .n_states = 2,
    .params = soul_params,
    .params_size = sizeof(struct soul),
    .step = soul_step,
};
