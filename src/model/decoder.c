#include "model/decoder.h"

#include <string.h>

size_t decoder_bytes(const struct model_config *c, int n_tokens, bool keep)
{
    size_t layers = keep ? (size_t)c->layers : 1, rows = keep ? 3 : 2; /* norm, x, dx */
    size_t per_token = layer_floats(c) * layers + rows * (size_t)c->width + (size_t)c->ff;
    return per_token * (size_t)n_tokens * sizeof(float);
}

size_t decoder_back_bytes(const struct model_config *c, int n_tokens)
{
    size_t heads = 2 * (size_t)c->heads + 2 * (size_t)c->kv_heads;
    size_t per_token = (size_t)c->ff + heads * (size_t)c->head_dim + (size_t)c->width;
    return per_token * (size_t)n_tokens * sizeof(float);
}

static struct attn attn_shape(const struct model_config *c, const struct batch *b)
{
    struct attn at = layer_attn(c);
    at.n_seqs = b->n_seqs;
    at.q_start = at.k_start = b->start;
    at.n_q = at.n_k = b->len;
    at.key_mask = b->mask;
    return at;
}

static int max_position(const struct batch *b)
{
    int top = 0;
    for (int i = 0; i < b->n_tokens; i++)
        top = b->pos[i] > top ? b->pos[i] : top;
    return top;
}

/* out [N,C]: what layer l gives. */
static void add_latent(const struct model *m, const struct batch *b, int l, float *out)
{
    const struct latent *p = b->latent;
    size_t c = (size_t)m->cfg.width;
    if (p && p->layer == l)
        m->ops->add(out + (size_t)p->first * c, p->delta, (size_t)p->n * c);
}

int decoder_forward(struct model *m, const struct batch *b, int n_layers, bool keep, struct pass *p,
                    struct arena *a, struct err *e)
{
    const struct model_config *c = &m->cfg;
    int n = b->n_tokens, kept = keep ? n_layers : 1;
    *p = (struct pass){.batch = b, .layers = n_layers, .keep = keep, .frozen_id = -1};
    if (model_reserve_positions(m, max_position(b) + 1, e) ||
        !(p->acts = arena_take(a, (size_t)kept + 1, sizeof *p->acts, e)) ||
        !(p->norm = arena_take(a, (size_t)n * (size_t)c->width, sizeof(float), e)) ||
        !(p->act = arena_take(a, (size_t)n * (size_t)c->ff, sizeof(float), e)) ||
        !(p->x = arena_take(a, (size_t)n * (size_t)c->width, sizeof(float), e)))
        return -1;
    for (int l = 0; l < kept; l++)
        if (layer_acts_init(&p->acts[l], c, n, a, e))
            return -1;
    struct attn shape = attn_shape(c, b);
    float *in = n_layers ? p->acts[0].x : p->x;
    m->ops->embed(in, model_weight(m, W_EMBED, -1), b->ids, n, c->width, 1);
    for (int l = 0; l < n_layers; l++) {
        struct layer_acts *s = &p->acts[keep ? l : 0];
        /* Without keep, input and output swap places. */
        float *out = l + 1 == n_layers || !keep ? p->x : p->acts[l + 1].x;
        layer_project(m, l, s, p->norm, b->pos, n);
        m->ops->attention(s->att, s->lse, s->q, s->k, s->v, &shape);
        layer_finish(m, l, s, p->norm, p->act, out, n);
        add_latent(m, b, l, out);
        if (!keep && l + 1 < n_layers) {
            p->x = s->x;
            s->x = out;
        }
    }
    return 0;
}

struct backward {
    const struct model *m;
    float *grads;
    float *dwide;        /* [N,F] d activation */
    float *datt;         /* [N,H*D] */
    float *dq, *dk, *dv; /* [N,H*D], [N,G*D], [N,G*D] */
    float *dnorm;        /* [N,C] */
};

/* Where the gradient of a weight goes, or NULL if nobody wants it. */
static float *grad_of(const struct backward *b, enum slot slot, int layer)
{
    const struct weight *w = &b->m->table.v[weight_index(&b->m->table, slot, layer)];
    return b->grads && w->wants_grad ? b->grads + w->at : NULL;
}

/* y = x W^T backward: dx = dy W + beta dx, dW += dy^T x. */
static void linear_back(const struct backward *b, enum slot slot, int layer, float *dx,
                        const float *dy, const float *x, int n, int in, int out, float beta)
{
    float *dw = grad_of(b, slot, layer);
    if (dw)
        b->m->ops->linear_dw(dw, dy, x, n, in, out);
    b->m->ops->linear_dx(dx, dy, model_weight(b->m, slot, layer), n, in, out, beta);
}

static void mlp_back(const struct backward *b, struct pass *p, int l, float *dx)
{
    const struct model_config *c = &b->m->cfg;
    const struct ops *o = b->m->ops;
    struct layer_acts *s = &p->acts[l];
    int n = p->batch->n_tokens, w = c->width, f = c->ff;
    size_t nf = (size_t)n * (size_t)f;
    const float *norm_w = model_weight(b->m, W_NORM_MLP, l);
    o->glu(p->act, ACT_SILU, s->gate, s->up, nf);
    linear_back(b, W_DOWN, l, b->dwide, dx, p->act, n, f, w, 0);
    o->glu_back(s->gate, s->up, ACT_SILU, b->dwide, s->gate, s->up, nf);
    o->rmsnorm(p->norm, s->rstd2, s->x2, norm_w, n, w, c->norm_eps, 0);
    linear_back(b, W_GATE, l, b->dnorm, s->gate, p->norm, n, w, f, 0);
    linear_back(b, W_UP, l, b->dnorm, s->up, p->norm, n, w, f, 1);
    o->rmsnorm_back(dx, grad_of(b, W_NORM_MLP, l), b->dnorm, s->x2, norm_w, s->rstd2, n, w, 0);
}

static void attention_back(const struct backward *b, struct pass *p, int l,
                           const struct attn *shape, float *dx)
{
    const struct model_config *c = &b->m->cfg;
    const struct ops *o = b->m->ops;
    struct layer_acts *s = &p->acts[l];
    int n = p->batch->n_tokens, w = c->width, d = c->head_dim;
    int hd = c->heads * d, gd = c->kv_heads * d;
    const int *pos = p->batch->pos;
    const float *norm_w = model_weight(b->m, W_NORM_ATTN, l);
    linear_back(b, W_O, l, b->datt, dx, s->att, n, hd, w, 0);
    o->attention_back(b->dq, b->dk, b->dv, b->datt, s->att, s->lse, s->q, s->k, s->v, shape);
    o->rope(b->dq, b->m->rope_cos, b->m->rope_sin, pos, n, c->heads, d, d, 1);
    o->rope(b->dk, b->m->rope_cos, b->m->rope_sin, pos, n, c->kv_heads, d, d, 1);
    o->rmsnorm(p->norm, s->rstd1, s->x, norm_w, n, w, c->norm_eps, 0);
    linear_back(b, W_Q, l, b->dnorm, b->dq, p->norm, n, w, hd, 0);
    linear_back(b, W_K, l, b->dnorm, b->dk, p->norm, n, w, gd, 1);
    linear_back(b, W_V, l, b->dnorm, b->dv, p->norm, n, w, gd, 1);
    o->rmsnorm_back(dx, grad_of(b, W_NORM_ATTN, l), b->dnorm, s->x, norm_w, s->rstd1, n, w, 0);
}

/* dx [N,C]: the derivative by what layer l gives. */
static void take_latent(const struct model *m, const struct batch *b, int l, const float *dx)
{
    const struct latent *p = b->latent;
    size_t c = (size_t)m->cfg.width;
    if (p && p->ddelta && p->layer == l)
        memcpy(p->ddelta, dx + (size_t)p->first * c, (size_t)p->n * c * sizeof(float));
}

/* The lowest layer that the derivative must go through: 0 for the embedding's sake. */
static int lowest_layer(const struct model *m, const struct batch *b, const float *grads)
{
    int lowest = m->cfg.layers;
    if (b->latent && b->latent->ddelta)
        lowest = b->latent->layer + 1;
    for (int i = 0; grads && i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->wants_grad && w->slot == W_EMBED)
            return 0;
        if (w->wants_grad && w->layer >= 0 && w->layer < lowest)
            lowest = w->layer;
    }
    return lowest;
}

int decoder_backward(const struct model *m, struct pass *p, float *dx, float *const *dhidden,
                     float *grads, struct arena *a, struct err *e)
{
    BUG_ON(!p->keep);
    const struct model_config *c = &m->cfg;
    size_t n = (size_t)p->batch->n_tokens, hd = (size_t)(c->heads * c->head_dim),
           gd = (size_t)(c->kv_heads * c->head_dim);
    struct backward b = {.m = m, .grads = grads};
    if (!(b.dwide = arena_take(a, n * (size_t)c->ff, sizeof(float), e)) ||
        !(b.datt = arena_take(a, n * hd, sizeof(float), e)) ||
        !(b.dq = arena_take(a, n * hd, sizeof(float), e)) ||
        !(b.dk = arena_take(a, n * gd, sizeof(float), e)) ||
        !(b.dv = arena_take(a, n * gd, sizeof(float), e)) ||
        !(b.dnorm = arena_take(a, n * (size_t)c->width, sizeof(float), e)))
        return -1;
    struct attn shape = attn_shape(c, p->batch);
    take_latent(m, p->batch, p->layers - 1, dx);
    for (int l = p->layers - 1, lowest = lowest_layer(m, p->batch, grads); l >= lowest; l--) {
        mlp_back(&b, p, l, dx);
        attention_back(&b, p, l, &shape, dx);
        if (dhidden && dhidden[l])
            m->ops->add(dx, dhidden[l], n * (size_t)c->width);
        take_latent(m, p->batch, l - 1, dx);
    }
    float *dembed = grad_of(&b, W_EMBED, -1);
    if (!dembed)
        return 0;
    for (size_t i = 0; i < n && p->frozen_id >= 0; i++)
        if (p->batch->ids[i] == p->frozen_id)
            memset(dx + i * (size_t)c->width, 0, (size_t)c->width * sizeof(float));
    m->ops->embed_back(dembed, dx, p->batch->ids, (int)n, c->width, 1);
    return 0;
}
