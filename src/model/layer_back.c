/* The backward of a layer. The outputs of its norms and of its activation are made again. */
#include "model/layer.h"

size_t layer_scratch_floats(const struct model_config *c)
{
    size_t heads = 2 * (size_t)c->heads + 2 * (size_t)c->kv_heads;
    return (size_t)c->ff + heads * (size_t)c->head_dim + (c->parallel ? 2 : 1) * (size_t)c->width;
}

int layer_scratch_init(struct layer_scratch *r, const struct pass *p, struct arena *a,
                       struct err *e)
{
    const struct model_config *c = &p->m->cfg;
    const struct ops *o = p->m->ops;
    const struct batch *b = p->batch;
    size_t rows = (size_t)b->n_tokens, w = (size_t)c->width, hd = (size_t)(c->heads * c->head_dim),
           gd = layer_keys_width(c), places = (size_t)b->place[b->n_seqs];
    *r = (struct layer_scratch){0};
    if (!(r->dact = o->take(a, rows * (size_t)c->ff, e)) || !(r->datt = o->take(a, rows * hd, e)) ||
        !(r->dq = o->take(a, rows * hd, e)) || !(r->dk = o->take(a, rows * gd, e)) ||
        !(r->dv = o->take(a, rows * gd, e)) || !(r->dnorm = o->take(a, rows * w, e)) ||
        (b->path && (!(r->path_dk = o->take(a, places * gd, e)) ||
                     !(r->path_dv = o->take(a, places * gd, e)))) ||
        (c->parallel && !(r->dout = o->take(a, rows * w, e))))
        return -1;
    return 0;
}

/* The call, for the functions below. */
struct back {
    const struct pass *p;
    const struct model *m;
    int l, n;
    size_t nc; /* N*C */
    struct layer_acts *s;
    struct layer_scratch *r;
    device float *grads;
};

/* y = x + tap(s norm(raw)), or x + tap(s raw): the gradient of raw, from that of y. */
static const device float *branch_back(const struct back *b, enum place place, enum slot post,
                                       const device float *dy, const device float *raw,
                                       const struct norm_stats *stats)
{
    const float s = b->m->cfg.residual_scale;
    device float *to = raw ? b->p->norm : b->r->dnorm;
    if (s != 1 || pass_is_tapped(b->p, place, b->l)) {
        b->m->ops->copy(to, dy, b->nc);
        dy = to;
        pass_tap_back(b->p, place, b->l, to);
        if (s != 1)
            b->m->ops->scale(to, s, b->nc);
    }
    if (!raw)
        return dy;
    b->m->ops->fill(b->r->dnorm, 0, b->nc);
    norm_backward(b->p, post, b->l, b->grads, b->r->dnorm, dy, stats, raw, b->nc);
    return b->r->dnorm;
}

/* dh [N,C], the gradient of the MLP's input h, from that of its output: without experts. */
static device float *dense_back(const struct back *b, const device float *h, const device float *dy)
{
    const struct model *m = b->m;
    const struct pass *p = b->p;
    struct layer_acts *s = b->s;
    struct layer_scratch *r = b->r;
    const size_t nf = (size_t)b->n * (size_t)m->cfg.ff;
    m->ops->glu(p->act, m->cfg.act, s->gate, s->up, nf);
    linear_backward(p, W_DOWN, b->l, b->grads, r->dact, dy, p->act, b->n, 0);
    /* gate, up [N,F] become their gradients */
    m->ops->glu_back(s->gate, s->up, m->cfg.act, r->dact, s->gate, s->up, nf);
    linear_backward(p, s->up ? W_GATE : W_UP, b->l, b->grads, r->dnorm, s->gate, h, b->n, 0);
    if (s->up)
        linear_backward(p, W_UP, b->l, b->grads, r->dnorm, s->up, h, b->n, 1);
    return r->dnorm;
}

/* dx [N,C] += the way through the MLP; dy [N,C] is the gradient of what it was added to. */
static void mlp_back(const struct back *b, device float *dx, const device float *dy)
{
    const struct model *m = b->m;
    const struct pass *p = b->p;
    struct layer_acts *s = b->s;
    const struct layer_norm mlp = layer_mlp_norm(m, s);
    dy = branch_back(b, PLACE_MLP_OUT, W_NORM_MLP_POST, dy, s->mlp_out, &s->n2p);
    const device float *h = s->mlp_in;
    if (!h)
        h = norm_forward(m, mlp.slot, b->l, p->norm, mlp.stats, mlp.x, b->nc);
    device float *dh = m->cfg.experts ? p->moe.y : NULL;
    if (m->cfg.experts)
        moe_backward(p, b->l, &s->moe, h, dy, b->r->dact, b->grads);
    else
        dh = dense_back(b, h, dy);
    pass_tap_back(p, PLACE_MLP_IN, b->l, dh);
    norm_backward(p, mlp.slot, b->l, b->grads, dx, dh, mlp.stats, mlp.x, b->nc);
}

/* dy [N,heads,D], the gradient of rotated queries or keys, to that of their projection: in dy
 * itself, or in y, which is not needed any more, if a norm lies between. */
static device float *rotate_back(const struct back *b, enum slot norm,
                                 const struct norm_stats *stats, device float *dy, device float *y,
                                 const device float *y0, int heads)
{
    const struct model *m = b->m;
    const struct model_config *c = &m->cfg;
    size_t count = (size_t)b->n * (size_t)(heads * c->head_dim);
    const struct rope_table *t = model_rope(m, b->l);
    if (t)
        m->ops->rope(dy, t->cos, t->sin, b->p->batch->pos, b->n, heads, c->head_dim, c->rope.rot,
                     1);
    if (!y0)
        return dy;
    m->ops->fill(y, 0, count);
    norm_backward(b->p, norm, b->l, b->grads, y, dy, stats, y0, count);
    return y;
}

/* dk [N,G*D] = the sum of what the places of a token got. */
static void gather_paths(const struct back *b, device float *dk, const device float *path_dk)
{
    const int wide = (int)layer_keys_width(&b->m->cfg);
    const struct batch *own = b->p->batch;
    b->m->ops->fill(dk, 0, (size_t)b->n * (size_t)wide);
    b->m->ops->embed_back(dk, path_dk, own->path, own->place[own->n_seqs], wide, 1);
}

/* dq, dk, dv of the scratch from datt. */
static void scores_back(const struct back *b)
{
    struct layer_acts *s = b->s;
    struct layer_scratch *r = b->r;
    const device float *k, *v;
    const struct attn at = layer_attn(b->p, b->l, s, &k, &v);
    const bool shared = b->p->batch->path;
    b->m->ops->attention_back(r->dq, shared ? r->path_dk : r->dk, shared ? r->path_dv : r->dv,
                              r->datt, s->att, s->lse, s->q, k, v, &at);
    if (shared) {
        gather_paths(b, r->dk, r->path_dk);
        gather_paths(b, r->dv, r->path_dv);
    }
}

/* dx [N,C] += the way through attention; dy [N,C] as above. */
static void attention_back(const struct back *b, device float *dx, const device float *dy)
{
    const struct model *m = b->m;
    const struct pass *p = b->p;
    struct layer_acts *s = b->s;
    struct layer_scratch *r = b->r;
    dy = branch_back(b, PLACE_ATTN_OUT, W_NORM_ATTN_POST, dy, s->att_out, &s->n1p);
    linear_backward(p, W_O, b->l, b->grads, r->datt, dy, s->att, b->n, 0);
    scores_back(b);
    device float *dq = rotate_back(b, W_NORM_Q, &s->nq, r->dq, s->q, s->q0, m->cfg.heads);
    device float *dk = rotate_back(b, W_NORM_K, &s->nk, r->dk, s->k, s->k0, m->cfg.kv_heads);
    const device float *h = norm_forward(m, W_NORM_ATTN, b->l, p->norm, &s->n1, s->x, b->nc);
    linear_backward(p, W_Q, b->l, b->grads, r->dnorm, dq, h, b->n, 0);
    linear_backward(p, W_K, b->l, b->grads, r->dnorm, dk, h, b->n, 1);
    linear_backward(p, W_V, b->l, b->grads, r->dnorm, r->dv, h, b->n, 1);
    norm_backward(p, W_NORM_ATTN, b->l, b->grads, dx, r->dnorm, &s->n1, s->x, b->nc);
}

void layer_backward(const struct pass *p, int l, struct layer_acts *s, struct layer_scratch *r,
                    device float *dx, device float *grads)
{
    const int n = p->batch->n_tokens;
    const struct back b = {.p = p,
                           .m = p->m,
                           .l = l,
                           .n = n,
                           .nc = (size_t)n * (size_t)p->m->cfg.width,
                           .s = s,
                           .r = r,
                           .grads = grads};
    const device float *dout = dx;
    if (p->m->cfg.parallel) { /* both branches want the gradient of the output */
        p->m->ops->copy(r->dout, dx, b.nc);
        dout = r->dout;
    }
    mlp_back(&b, dx, dout);
    attention_back(&b, dx, dout);
}
