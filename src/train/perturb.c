#include "train/perturb.h"

#include <math.h>

const char perturb_token_sets[] = "all|prompt|labels";

bool perturb_takes(enum perturb_tokens set, const struct seq *q, int t)
{
    return set == PERTURB_ALL      ? true
           : set == PERTURB_PROMPT ? t < seq_prompt(q)
                                   : q->labels && q->labels[t] != LABEL_NONE;
}

static device float *take_zeros(const struct ops *o, size_t n, struct arena *a, struct err *e)
{
    device float *x = o->take(a, n + 1, e);
    if (x)
        o->fill(x, 0, n + 1);
    return x;
}

int perturb_init(struct perturb *p, const struct model *m, const struct latent *at, size_t n,
                 struct arena *a, struct err *e)
{
    const size_t floats = n * (size_t)m->cfg.width;
    *p = (struct perturb){.at = *at};
    if (!(p->delta = take_zeros(m->ops, floats, a, e)) ||
        !(p->first = take_zeros(m->ops, floats, a, e)) ||
        !(p->second = take_zeros(m->ops, floats, a, e)) ||
        !(p->d = take_zeros(m->ops, floats, a, e)))
        return -1;
    p->at.n = (int)n;
    p->at.delta = p->delta;
    p->at.ddelta = p->d;
    return 0;
}

void perturb_reset(struct perturb *p, const struct model *m)
{
    device float *const all[] = {p->delta, p->d, p->first, p->second};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        m->ops->fill(all[i], 0, (size_t)p->at.n * (size_t)m->cfg.width);
    p->steps = 0;
}

/* Scales every vector of more than `radius` to that length. */
static void project(const struct perturb *p, const struct model *m, double radius)
{
    const size_t width = (size_t)m->cfg.width, n = (size_t)p->at.n;
    float *delta = m->ops->map(p->delta, n * width);
    for (size_t t = 0; t < n; t++) {
        float *d = delta + t * width;
        double sum = 0;
        for (size_t c = 0; c < width; c++)
            sum += (double)d[c] * (double)d[c];
        const double scale = sum > radius * radius ? radius / sqrt(sum) : 1;
        for (size_t c = 0; c < width; c++)
            d[c] = scale < 1 ? (float)((double)d[c] * scale) : d[c];
    }
    m->ops->unmap(p->delta);
}

static void step_sign(const struct perturb *p, const struct model *m, double lr)
{
    const size_t n = (size_t)p->at.n * (size_t)m->cfg.width;
    float *delta = m->ops->map(p->delta, n);
    const float *d = m->ops->map_read(p->d, n);
    for (size_t i = 0; i < n; i++)
        delta[i] -= (float)lr * (float)((d[i] > 0) - (d[i] < 0));
    m->ops->unmap(p->d);
    m->ops->unmap(p->delta);
}

void perturb_step(struct perturb *p, const struct model *m, const struct perturb_options *o)
{
    const size_t width = (size_t)m->cfg.width, n = (size_t)p->at.n;
    const struct adamw adam = {.lr = o->lr,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .decay = o->decay,
                               .step = ++p->steps};
    for (size_t t = 0; p->moves && t < n; t++)
        if (!p->moves[t])
            m->ops->scale(p->d + t * width, 0, width);
    if (o->rule == PERTURB_SIGN)
        step_sign(p, m, o->lr);
    else
        m->ops->adamw(p->delta, p->first, p->second, p->d, n * width, 1, &adam);
    if (isfinite(o->radius))
        project(p, m, o->radius);
}
