/* Stochastic gradient descent with decoupled weight decay: w *= 1 - lr decay; w -= lr g. */
#include "optim/optims.h"

static void step(const void *params, const struct optim_step *s, const struct optim_span *x)
{
    (void)params;
    if (x->decay != 0)
        s->ops->scale(x->w, (float)(1 - s->lr * x->decay), x->n);
    s->ops->axpy(x->w, (float)(-s->lr * (double)s->grad_scale), x->grad, x->n);
}

const struct optim optim_sgd = {
    .name = "sgd",
    .help = "stochastic gradient descent, without momentum",
    .step = step,
};
