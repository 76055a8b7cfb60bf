/* Weight averaging (WA of arXiv 2502.05374; SWA, arXiv 1803.05407): the final model
 * is a mean of the weights over the run. It does not affect the optimiser. */
#include "optim/optims.h"

struct average {
    int64_t wa_start, wa_every;
    double wa_decay;
};

static const struct param params[] = {
    INT_PARAM(struct average, wa_start, 1, 1e9, 100, "step of the first averaged weights"),
    INT_PARAM(struct average, wa_every, 1, 1e9, 5, "steps between averaged weights"),
    REAL_PARAM(struct average, wa_decay, 0, 0.9999999, 0,
               "0: arithmetic mean; else decay of an exponential moving average"),
    {0},
};

/* Samples taken after so many steps. */
static long samples(const struct average *p, long steps)
{
    return steps < p->wa_start ? 0 : (long)((steps - p->wa_start) / p->wa_every + 1);
}

static void follow(const void *params_, struct model *m, device float **copy, long steps)
{
    const struct average *p = params_;
    long n = samples(p, steps);
    if (n == samples(p, steps - 1))
        return;
    float share = n == 1 ? 1 : p->wa_decay > 0 ? (float)(1 - p->wa_decay) : 1.0f / (float)n;
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (!w->trainable)
            continue;
        m->ops->scale(copy[0] + w->at, 1 - share, w->count);
        m->ops->axpy(copy[0] + w->at, share, m->own + w->offset, w->count);
    }
}

static void finish(const void *params_, struct model *m, device float **copy, long steps)
{
    if (samples(params_, steps) > 0)
        weights_put(m, copy[0]); /* a mean of equal numbers may round */
}

const struct wrapper wrapper_wa = {
    .name = "wa",
    .paper = "arXiv 2502.05374",
    .help = "the mean of the weights over the run (SWA or EMA)",
    .formula = "w = mean of w after steps wa_start, wa_start + wa_every ...",
    .params = params,
    .params_size = sizeof(struct average),
    .n_copies = 1,
    .n_states = 1,
    .follow = follow,
    .finish = finish,
};
