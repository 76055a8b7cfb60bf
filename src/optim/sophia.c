/* Sophia (arXiv 2305.14342), the second-order optimiser of SOUL (arXiv 2404.18239): the momentum
 * over an estimate h of the Hessian's diagonal, clipped to [-1, 1] entry by entry. States: m, h.
 *
 * sophia is the paper's: every k steps h = beta2 h + (1 - beta2) n ghat^2, where ghat is the
 * gradient of the token mean under n labels that the model drew itself (Gauss-Newton-Bartlett), and
 *   m = beta1 m + (1 - beta1) g;  w *= 1 - lr decay;  w -= lr clip(m / max(gamma h, eps), 1).
 *
 * sophia_soul is what SOUL's code does: h follows the square of the loss's own gradient at every
 * step, m takes it twice, the batch in the denominator is a constant:
 *   h = beta2 h + (1 - beta2) g^2;  m = beta1 m + (1 - beta1) g;  w *= 1 - lr decay;
 *   m = beta1 m + (1 - beta1) g;  w -= lr sign(m) min(|m| / (rho bs h + 1e-15), 1). */
#include <math.h>

#include "base/sizes.h"
#include "optim/optims.h"

struct sophia {
    double beta1, beta2, gamma, eps;
    int64_t interval;
};

#define FIELD(f) offsetof(struct sophia, f)
static const struct param sophia_params[] = {
    {"sophia_beta1", PARAM_REAL, FIELD(beta1), 0, 0.9999999, NULL, "0.96", NULL,
     "decay of the momentum"},
    {"sophia_beta2", PARAM_REAL, FIELD(beta2), 0, 0.9999999, NULL, "0.99", NULL,
     "decay of the curvature"},
    {"sophia_gamma", PARAM_REAL, FIELD(gamma), 1e-6, 1e6, NULL, "0.05", NULL,
     "scale of the curvature: the larger, the fewer entries are clipped"},
    {"sophia_epsilon", PARAM_REAL, FIELD(eps), 1e-30, 1, NULL, "1e-12", NULL, "least denominator"},
    {"sophia_interval", PARAM_INT, FIELD(interval), 1, 1000000, NULL, "10", NULL,
     "steps from one estimate of the curvature to the next"},
    {0},
};

static bool wants_estimate(const void *params, long step)
{
    const struct sophia *p = params;
    return (step - 1) % p->interval == 0;
}

static void estimate(const void *params, const struct optim_step *s, const struct optim_span *x,
                     double labels)
{
    const struct sophia *p = params;
    const float b2 = (float)p->beta2, share = (float)((1 - p->beta2) * labels), *g = x->grad;
    float *h = x->state[1];
    (void)s;
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++)
        h[i] = b2 * h[i] + share * g[i] * g[i];
}

static void step(const void *params, const struct optim_step *s, const struct optim_span *x)
{
    const struct sophia *p = params;
    const float *g = x->grad, *h = x->state[1];
    float *w = x->w, *m = x->state[0];
    const float keep = (float)(1 - s->lr * x->decay), lr = (float)s->lr;
    const float b1 = (float)p->beta1, gamma = (float)p->gamma, eps = (float)p->eps;
    const float scale = s->grad_scale;
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++) {
        m[i] = b1 * m[i] + (1 - b1) * scale * g[i];
        float ratio = m[i] / fmaxf(gamma * h[i], eps);
        w[i] = w[i] * keep - lr * fmaxf(-1, fminf(ratio, 1));
    }
}

struct soul {
    double beta1, beta2, rho;
    int64_t bs;
};

#define SOUL_FIELD(f) offsetof(struct soul, f)
static const struct param soul_params[] = {
    {"soul_beta1", PARAM_REAL, SOUL_FIELD(beta1), 0, 0.9999999, NULL, "0.9", NULL,
     "decay of the momentum, applied twice a step"},
    {"soul_beta2", PARAM_REAL, SOUL_FIELD(beta2), 0, 0.9999999, NULL, "0.95", NULL,
     "decay of the curvature"},
    {"soul_rho", PARAM_REAL, SOUL_FIELD(rho), 0, 1e6, NULL, "0.04", NULL, "scale of the curvature"},
    {"soul_bs", PARAM_INT, SOUL_FIELD(bs), 1, 1000000000, NULL, "5120", NULL,
     "scales it too; SOUL's constant, whatever the batch"},
    {0},
};

static void soul_step(const void *params, const struct optim_step *s, const struct optim_span *x)
{
    const struct soul *p = params;
    const float *g = x->grad;
    float *w = x->w, *m = x->state[0], *h = x->state[1];
    const float keep = (float)(1 - s->lr * x->decay), lr = (float)s->lr;
    const float b1 = (float)p->beta1, b2 = (float)p->beta2, scale = s->grad_scale;
    const float c = (float)(p->rho * (double)p->bs);
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++) {
        float d = scale * g[i];
        h[i] = b2 * h[i] + (1 - b2) * d * d;
        m[i] = b1 * m[i] + (1 - b1) * d;
        m[i] = b1 * m[i] + (1 - b1) * d;
        float ratio = fminf(fabsf(m[i]) / (c * h[i] + 1e-15f), 1);
        w[i] = w[i] * keep - lr * (float)((m[i] > 0) - (m[i] < 0)) * ratio;
    }
}

const struct optim optim_sophia = {
    .name = "sophia",
    .paper = "arXiv 2305.14342",
    .help = "second order; an extra pass every sophia_interval steps",
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
    .help = "sophia as the code of SOUL runs it",
    .n_states = 2,
    .params = soul_params,
    .params_size = sizeof(struct soul),
    .step = soul_step,
};
