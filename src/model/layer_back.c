/* The backward of a layer. The outputs of its norms and of its activation are made again. */
#include <string.h>

#include "model/layer.h"
#include "model/linear.h"

size_t layer_scratch_floats(const struct model_config *c)
{
    size_t heads = 2 * (size_t)c->heads + 2 * (size_t)c->kv_heads;
    return (size_t)c->ff + heads * (size_t)c->head_dim + (c->parallel ? 2 : 1) * (size_t)c->width;
}

int layer_scratch_init(struct layer_scratch *r, const struct model_config *c, int n,
                       struct arena *a, struct err *e)
{
    size_t rows = (size_t)n, w = (size_t)c->width, hd = (size_t)(c->heads * c->head_dim),
           gd = (size_t)(c->kv_heads * c->head_dim);
    if (!(r->dact = arena_take(a, rows * (size_t)c->ff, sizeof(float), e)) ||
        !(r->datt = arena_take(a, rows * hd, sizeof(float), e)) ||
        !(r->dq = arena_take(a, rows * hd, sizeof(float), e)) ||
        !(r->dk = arena_take(a, rows * gd, sizeof(float), e)) ||
        !(r->dv = arena_take(a, rows * gd, sizeof(float), e)) ||
        !(r->dnorm = arena_take(a, rows * w, sizeof(float), e)) ||
        (c->parallel && !(r->dout = arena_take(a, rows * w, sizeof(float), e))))
        return -1;
    return 0;
}

/* The call, for the functions below. */
struct back {
    const struct model *m;
    int l, n;
    struct layer_acts *s;
    struct layer_scratch *r;
    float *grads;
};

/* y = x + norm(raw), or x + raw: the gradient of raw, from that of y. */
static const float *branch_back(const struct back *b, enum slot post, const float *dy,
                                const float *raw, const struct norm_stats *stats)
{
    size_t nc = (size_t)b->n * (size_t)b->m->cfg.width;
    if (!raw)
        return dy;
    memset(b->r->dnorm, 0, nc * sizeof(float));
    norm_backward(b->m, post, b->l, b->grads, b->r->dnorm, dy, stats, raw, nc);
    return b->r->dnorm;
}

/* dx [N,C] += the way through the MLP; dy is the gradient of what it was added to. */
static void mlp_back(const struct back *b, float *dx, const float *dy)
{
    const struct model *m = b->m;
    struct layer_acts *s = b->s;
    struct layer_scratch *r = b->r;
    const struct layer_norm mlp = layer_mlp_norm(m, s);
    size_t nf = (size_t)b->n * (size_t)m->cfg.ff, nc = (size_t)b->n * (size_t)m->cfg.width;
    m->ops->glu(r->act, m->cfg.act, s->gate, s->up, nf);
    dy = branch_back(b, W_NORM_MLP_POST, dy, s->mlp_out, &s->n2p);
    linear_backward(m, W_DOWN, b->l, b->grads, r->dact, dy, r->act, b->n, 0);
    m->ops->glu_back(s->gate, s->up, m->cfg.act, r->dact, s->gate, s->up, nf);
    const float *h = norm_forward(m, mlp.slot, b->l, r->norm, mlp.stats, mlp.x, nc);
    linear_backward(m, s->up ? W_GATE : W_UP, b->l, b->grads, r->dnorm, s->gate, h, b->n, 0);
    if (s->up)
        linear_backward(m, W_UP, b->l, b->grads, r->dnorm, s->up, h, b->n, 1);
    norm_backward(m, mlp.slot, b->l, b->grads, dx, r->dnorm, mlp.stats, mlp.x, nc);
}

/* dy [n,heads,D], the gradient of rotated queries or keys, to that of their projection: in dy
 * itself, or in y, which is not needed any more, if a norm lies between. */
static float *rotate_back(const struct back *b, enum slot norm, const struct norm_stats *stats,
                          float *dy, float *y, const float *y0, const int *pos, int heads)
{
    const struct model *m = b->m;
    const struct model_config *c = &m->cfg;
    size_t count = (size_t)b->n * (size_t)(heads * c->head_dim);
    if (c->rope.rot)
        m->ops->rope(dy, m->rope_cos, m->rope_sin, pos, b->n, heads, c->head_dim, c->rope.rot, 1);
    if (!y0)
        return dy;
    memset(y, 0, count * sizeof(float));
    norm_backward(m, norm, b->l, b->grads, y, dy, stats, y0, count);
    return y;
}

static void attention_back(const struct back *b, const struct attn *shape, const int *pos,
                           float *dx, const float *dy)
{
    const struct model *m = b->m;
    struct layer_acts *s = b->s;
    struct layer_scratch *r = b->r;
    size_t nc = (size_t)b->n * (size_t)m->cfg.width;
    dy = branch_back(b, W_NORM_ATTN_POST, dy, s->att_out, &s->n1p);
    linear_backward(m, W_O, b->l, b->grads, r->datt, dy, s->att, b->n, 0);
    m->ops->attention_back(r->dq, r->dk, r->dv, r->datt, s->att, s->lse, s->q, s->k, s->v, shape);
    float *dq = rotate_back(b, W_NORM_Q, &s->nq, r->dq, s->q, s->q0, pos, m->cfg.heads);
    float *dk = rotate_back(b, W_NORM_K, &s->nk, r->dk, s->k, s->k0, pos, m->cfg.kv_heads);
    const float *h = norm_forward(m, W_NORM_ATTN, b->l, r->norm, &s->n1, s->x, nc);
    linear_backward(m, W_Q, b->l, b->grads, r->dnorm, dq, h, b->n, 0);
    linear_backward(m, W_K, b->l, b->grads, r->dnorm, dk, h, b->n, 1);
    linear_backward(m, W_V, b->l, b->grads, r->dnorm, r->dv, h, b->n, 1);
    norm_backward(m, W_NORM_ATTN, b->l, b->grads, dx, r->dnorm, &s->n1, s->x, nc);
}

void layer_backward(const struct model *m, int l, struct layer_acts *s, struct layer_scratch *r,
                    const struct attn *shape, const int *pos, int n, float *dx, float *grads)
{
    const struct back b = {.m = m, .l = l, .n = n, .s = s, .r = r, .grads = grads};
    const float *dout = dx;
    if (m->cfg.parallel) /* both branches want the gradient of the output */
        dout = memcpy(r->dout, dx, (size_t)n * (size_t)m->cfg.width * sizeof(float));
    mlp_back(&b, dx, dout);
    attention_back(&b, shape, pos, dx, dout);
}
