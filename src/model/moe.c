#include "model/layer.h"

#include <string.h>

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

size_t moe_floats(const struct model_config *c)
{
    size_t k = (size_t)c->experts_used;
    return (size_t)c->experts + 5 * k + 2 * k * (size_t)c->ff;
}

/* dshare's place holds logits too, whose gradients are of their size. */
static size_t share_floats(const struct model_config *c)
{
    return larger((size_t)c->experts, (size_t)c->experts_used);
}

size_t moe_scratch_floats(const struct model_config *c)
{
    return 3 * (size_t)c->width + (size_t)c->ff + share_floats(c) + (size_t)c->experts_used;
}

int moe_acts_init(struct moe_acts *s, const struct model *m, int n, struct arena *a, struct err *e)
{
    const struct model_config *c = &m->cfg;
    const size_t rows = (size_t)n * (size_t)c->experts_used, f = (size_t)c->ff;
    device float *small = m->ops->take(a, 2 * rows, e);
    int *places = arena_take(a, 3 * rows, sizeof(int), e);
    if (!small || !places || !(s->p = m->ops->take(a, (size_t)n * (size_t)c->experts, e)) ||
        !(s->first = arena_take(a, (size_t)c->experts + 1, sizeof(int), e)) ||
        !(s->gate = m->ops->take(a, 2 * rows * f, e)))
        return -1;
    s->up = s->gate + rows * f;
    s->weight = small;
    s->share = small + rows;
    s->expert = places;
    s->token = places + rows;
    s->at = places + 2 * rows;
    return 0;
}

int moe_scratch_init(struct moe_scratch *r, const struct model *m, int n, struct arena *a,
                     struct err *e)
{
    const struct model_config *c = &m->cfg;
    size_t rows = (size_t)n, nc = rows * (size_t)c->width;
    return (r->in = m->ops->take(a, nc, e)) && (r->out = m->ops->take(a, nc, e)) &&
                   (r->y = m->ops->take(a, nc, e)) &&
                   (r->scaled = m->ops->take(a, rows * (size_t)c->ff, e)) &&
                   (r->dshare = m->ops->take(a, rows * share_floats(c), e)) &&
                   (r->dweight = m->ops->take(a, rows * (size_t)c->experts_used, e))
               ? 0
               : -1;
}

/* Sorts the n*k places of `expert` by expert. */
static void sort_rows(struct moe_acts *s, int n, int k, int experts)
{
    memset(s->first, 0, ((size_t)experts + 1) * sizeof *s->first);
    for (int i = 0; i < n * k; i++)
        s->first[s->expert[i] + 1]++;
    for (int x = 0; x < experts; x++)
        s->first[x + 1] += s->first[x];
    for (int i = 0; i < n * k; i++) { /* first[x] runs through x's rows ... */
        int row = s->first[s->expert[i]]++;
        s->token[row] = i / k;
        s->at[row] = i;
    }
    for (int x = experts; x > 0; x--) /* ... and ends where those of x + 1 begin */
        s->first[x] = s->first[x - 1];
    s->first[0] = 0;
}

/* Rows of expert x: how many, their first tokens, and gate, up [n,F]. */
struct expert_rows {
    int n;
    const int *token;
    const device float *share;
    device float *gate, *up;
};

static struct expert_rows rows_of(const struct moe_acts *s, int x, int ff)
{
    size_t first = (size_t)s->first[x], at = first * (size_t)ff;
    return (struct expert_rows){.n = s->first[x + 1] - s->first[x],
                                .token = s->token + first,
                                .share = s->share + first,
                                .gate = s->gate + at,
                                .up = s->up + at};
}

void moe_forward(const struct pass *p, int l, struct moe_acts *s, const device float *h)
{
    const struct model_config *c = &p->m->cfg;
    const struct ops *o = p->m->ops;
    const struct moe_scratch *t = &p->moe;
    const int n = p->batch->n_tokens, k = c->experts_used;

    /* logits [N,E] = h Wr^T;  which experts, and how much of each */
    linear_forward(p, W_ROUTER, l, t->dshare, h, n, 0);
    o->route(s->p, s->expert, s->weight, t->dshare, n, c->experts, k, c->experts_norm);
    sort_rows(s, n, k, c->experts);
    o->gather(s->share, s->weight, s->at, n * k, 1);

    /* y [N,C] += share * act(h Wg^T) (h Wu^T) Wd^T, expert by expert */
    o->fill(t->y, 0, (size_t)n * (size_t)c->width);
    for (int x = 0; x < c->experts; x++) {
        const struct expert_rows r = rows_of(s, x, c->ff);
        if (!r.n)
            continue;
        o->gather(t->in, h, r.token, r.n, c->width);
        linear_expert(p, W_EXPERT_GATE, l, x, r.gate, t->in, r.n, 0);
        linear_expert(p, W_EXPERT_UP, l, x, r.up, t->in, r.n, 0);
        o->glu(p->act, c->act, r.gate, r.up, (size_t)r.n * (size_t)c->ff);
        o->scale_rows(p->act, r.share, r.n, c->ff);
        linear_expert(p, W_EXPERT_DOWN, l, x, t->out, p->act, r.n, 0);
        o->scatter_add(t->y, t->out, r.token, r.n, c->width);
    }
}

/* One expert: adds to dh what comes through it, and sets dshare of its rows. */
static void expert_back(const struct pass *p, int l, int x, const struct expert_rows *r,
                        const device float *h, const device float *dy, device float *dact,
                        device float *dshare, device float *grads)
{
    const struct model_config *c = &p->m->cfg;
    const struct ops *o = p->m->ops;
    const struct moe_scratch *t = &p->moe;
    const size_t nf = (size_t)r->n * (size_t)c->ff;
    o->glu(p->act, c->act, r->gate, r->up, nf);
    o->copy(t->scaled, p->act, nf);
    o->scale_rows(t->scaled, r->share, r->n, c->ff);
    /* d(share act) [n,F] = dy Wd;  dshare = its product with act;  dact = share times it */
    o->gather(t->out, dy, r->token, r->n, c->width);
    linear_expert_back(p, W_EXPERT_DOWN, l, x, grads, dact, t->out, t->scaled, r->n, 0);
    o->dot_rows(dshare, dact, p->act, r->n, c->ff);
    o->scale_rows(dact, r->share, r->n, c->ff);
    o->glu_back(r->gate, r->up, c->act, dact, r->gate, r->up, nf);
    o->gather(t->in, h, r->token, r->n, c->width);
    linear_expert_back(p, W_EXPERT_GATE, l, x, grads, t->out, r->gate, t->in, r->n, 0);
    linear_expert_back(p, W_EXPERT_UP, l, x, grads, t->out, r->up, t->in, r->n, 1);
    o->scatter_add(t->y, t->out, r->token, r->n, c->width);
}

void moe_backward(const struct pass *p, int l, struct moe_acts *s, const device float *h,
                  const device float *dy, device float *dact, device float *grads)
{
    const struct model_config *c = &p->m->cfg;
    const struct ops *o = p->m->ops;
    const struct moe_scratch *t = &p->moe;
    const int n = p->batch->n_tokens, k = c->experts_used;
    o->fill(t->y, 0, (size_t)n * (size_t)c->width);
    for (int x = 0; x < c->experts; x++) {
        const struct expert_rows r = rows_of(s, x, c->ff);
        if (r.n)
            expert_back(p, l, x, &r, h, dy, dact, t->dshare + s->first[x], grads);
    }
    /* back to the places of tokens, through the router */
    o->fill(t->dweight, 0, (size_t)n * (size_t)k);
    o->scatter_add(t->dweight, t->dshare, s->at, n * k, 1);
    o->route_back(t->dshare, t->dweight, s->p, s->expert, s->weight, n, c->experts, k,
                  c->experts_norm);
    linear_backward(p, W_ROUTER, l, grads, t->y, t->dshare, h, n, 1);
}
