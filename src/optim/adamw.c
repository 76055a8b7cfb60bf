/* AdamW with decoupled weight decay, as torch.optim.AdamW (arXiv 1711.05101):
 * w *= 1 - lr decay; m, v: moment estimates of g; w -= lr mhat / (sqrt(vhat) + eps). Under
 * adamw_decay_last the decay follows the update, as in bitsandbytes. */
#include "optim/optims.h"

struct adamw_params {
    double adam_beta1, adam_beta2, adam_epsilon;
    bool adamw_decay_last;
};

static const struct param params[] = {
    REAL_PARAM(struct adamw_params, adam_beta1, 0, 0.9999999, 0.9,
               "decay rate of the first moment"),
    REAL_PARAM(struct adamw_params, adam_beta2, 0, 0.9999999, 0.999,
               "decay rate of the second moment"),
    REAL_PARAM(struct adamw_params, adam_epsilon, 1e-30, 1, 1e-8, "added to the denominator"),
    COMPAT_PARAM(struct adamw_params, adamw_decay_last,
                 "decay a weight after its step, not before"),
    {0},
};

static void step(const void *p, const struct optim_step *s, const struct optim_span *x)
{
    const struct adamw_params *a = p;
    struct adamw o = {
        .lr = (float)s->lr,
        .beta1 = (float)a->adam_beta1,
        .beta2 = (float)a->adam_beta2,
        .eps = (float)a->adam_epsilon,
        .decay = a->adamw_decay_last ? 0 : (float)x->decay,
        .step = s->step,
    };
    s->ops->adamw(x->w, x->state[0], x->state[1], x->grad, x->n, s->grad_scale, &o);
    if (a->adamw_decay_last && x->decay > 0)
        s->ops->scale(x->w, (float)(1 - s->lr * x->decay), x->n);
}

const struct optim optim_adamw = {
    .name = "adamw",
    .paper = "arXiv 1711.05101",
    .help = "adaptive moment estimates",
    .n_states = 2,
    .params = params,
    .params_size = sizeof(struct adamw_params),
    .step = step,
};
