/* Lion (arXiv 2302.06675): w *= 1 - lr decay; w -= lr sign(beta1 m + (1 - beta1) g);
 * m = beta2 m + (1 - beta2) g. */
#include "optim/optims.h"

struct lion {
    double beta1, beta2;
};

#define FIELD(f) offsetof(struct lion, f)
static const struct param params[] = {
    {"lion_beta1", PARAM_REAL, FIELD(beta1), 0, 0.9999999, NULL, "0.9", NULL,
     "weight of the momentum in the step's direction"},
    {"lion_beta2", PARAM_REAL, FIELD(beta2), 0, 0.9999999, NULL, "0.99", NULL,
     "decay of the momentum"},
    {0},
};

static void move(const struct lion *p, const struct optim_step *s, const struct weight *w)
{
    const float *g = s->grad + w->at;
    float *x = s->w + w->offset, *m = s->state[0] + w->at;
    const float keep = w->decay ? (float)(1 - s->lr * s->weight_decay) : 1, lr = (float)s->lr;
    const float b1 = (float)p->beta1, b2 = (float)p->beta2, scale = s->grad_scale;
#pragma omp parallel for simd schedule(static) if (w->count > 32768)
    for (size_t i = 0; i < w->count; i++) {
        float d = scale * g[i], to = b1 * m[i] + (1 - b1) * d;
        x[i] = x[i] * keep - lr * (float)((to > 0) - (to < 0));
        m[i] = b2 * m[i] + (1 - b2) * d;
    }
}

static void step(const void *p, const struct optim_step *s)
{
    for (int i = 0; i < s->table->n; i++)
        if (s->table->v[i].trainable)
            move(p, s, &s->table->v[i]);
}

const struct optim optim_lion = {
    .name = "lion",
    .paper = "arXiv 2302.06675",
    .help = "sign of a momentum; a third of AdamW's learning rate or less",
    .n_states = 1,
    .params = params,
    .params_size = sizeof(struct lion),
    .step = step,
};
