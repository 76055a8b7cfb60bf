/* Lion (arXiv 2302.06675): w *= 1 - lr decay; w -= lr sign(beta1 m + (1 - beta1) g);
 * m = beta2 m + (1 - beta2) g. */
#include "base/sizes.h"
#include "optim/optims.h"

struct lion {
    double lion_beta1, lion_beta2;
};

static const struct param params[] = {
    REAL_PARAM(struct lion, lion_beta1, 0, 0.9999999, 0.9,
               "weight of the momentum in the update direction"),
    REAL_PARAM(struct lion, lion_beta2, 0, 0.9999999, 0.99, "decay rate of the momentum"),
    {0},
};

static void step(const void *params_, const struct optim_step *s, const struct optim_span *x)
{
    const struct lion *p = params_;
    const float *g = s->ops->map_read(x->grad, x->n);
    float *w = s->ops->map(x->w, x->n), *m = s->ops->map(x->state[0], x->n);
    const float keep = (float)(1 - s->lr * x->decay), lr = (float)s->lr;
    const float b1 = (float)p->lion_beta1, b2 = (float)p->lion_beta2, scale = s->grad_scale;
#pragma omp parallel for simd schedule(static) if (x->n > SIZE(32768, 4))
    for (size_t i = 0; i < x->n; i++) {
        float d = scale * g[i], to = b1 * m[i] + (1 - b1) * d;
        w[i] = w[i] * keep - lr * (float)((to > 0) - (to < 0));
        m[i] = b2 * m[i] + (1 - b2) * d;
    }
    optim_unmap(s, x);
}

const struct optim optim_lion = {
    .name = "lion",
    .paper = "arXiv 2302.06675",
    .help = "sign of the momentum; use a third of AdamW's learning rate or less",
    .n_states = 1,
    .params = params,
    .params_size = sizeof(struct lion),
    .step = step,
};
