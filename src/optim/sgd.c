/* Stochastic gradient descent with decoupled weight decay: w *= 1 - lr decay; w -= lr g. */
#include "optim/optims.h"

static void step(const void *params, const struct optim_step *s)
{
    (void)params;
    for (int i = 0; i < s->table->n; i++) {
        const struct weight *w = &s->table->v[i];
        if (!w->trainable)
            continue;
        float *x = s->w + w->offset;
        if (w->decay && s->weight_decay != 0)
            s->ops->scale(x, (float)(1 - s->lr * s->weight_decay), w->count);
        s->ops->axpy(x, (float)(-s->lr * (double)s->grad_scale), s->grad + w->at, w->count);
    }
}

const struct optim optim_sgd = {
    .name = "sgd",
    .help = "stochastic gradient descent, without momentum",
    .step = step,
};
