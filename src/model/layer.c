#include "model/layer.h"

enum { MAX_PARTS = 13, MAX_STATS = 6 }; /* as many as struct layer_acts has */

/* What a configuration keeps: arrays, and stats of norms, with their numbers a token. */
struct plan {
    struct {
        device float **p;
        size_t width;
    } part[MAX_PARTS];
    struct {
        struct norm_stats *p;
        size_t rows;
    } stats[MAX_STATS];
    int n_parts, n_stats;
};

static void keep(struct plan *k, device float **p, size_t width)
{
    BUG_ON(k->n_parts == MAX_PARTS);
    k->part[k->n_parts].p = p;
    k->part[k->n_parts++].width = width;
}

/* rows: of the norm, for one token. */
static void keep_stats(struct plan *k, struct norm_stats *p, size_t rows)
{
    BUG_ON(k->n_stats == MAX_STATS);
    k->stats[k->n_stats].p = p;
    k->stats[k->n_stats++].rows = rows;
}

/* The input of a norm of q or k, if there is one. */
static void keep_head_norm(struct plan *k, const struct model_config *c, enum slot slot,
                           device float **p, struct norm_stats *stats, int heads)
{
    const struct slot_name *norm = family_slot(c, slot);
    if (!norm)
        return;
    keep(k, p, (size_t)(heads * c->head_dim));
    keep_stats(k, stats, norm->rows == DIM_D ? (size_t)heads : 1);
}

static bool is_gated(const struct model_config *c)
{
    return family_slot(c, W_GATE) || family_slot(c, W_GATE_UP);
}

static struct plan plan_of(const struct model_config *c, struct layer_acts *l)
{
    size_t w = (size_t)c->width, hd = (size_t)(c->heads * c->head_dim),
           gd = (size_t)(c->kv_heads * c->head_dim);
    struct plan k = {.n_parts = 0};
    keep(&k, &l->x, w);
    if (family_slot(c, W_NORM_ATTN))
        keep_stats(&k, &l->n1, 1);
    keep_head_norm(&k, c, W_NORM_Q, &l->q0, &l->nq, c->heads);
    keep_head_norm(&k, c, W_NORM_K, &l->k0, &l->nk, c->kv_heads);
    keep(&k, &l->q, hd);
    keep(&k, &l->k, gd);
    keep(&k, &l->v, gd);
    keep(&k, &l->att, hd);
    keep(&k, &l->lse, (size_t)c->heads);
    if (family_slot(c, W_NORM_ATTN_POST)) {
        keep(&k, &l->att_out, w);
        keep_stats(&k, &l->n1p, 1);
    }
    if (!c->parallel)
        keep(&k, &l->x2, w);
    if (family_slot(c, W_NORM_MLP))
        keep_stats(&k, &l->n2, 1);
    if (!c->experts)
        keep(&k, &l->gate, (size_t)c->ff);
    if (is_gated(c))
        keep(&k, &l->up, (size_t)c->ff);
    if (family_slot(c, W_NORM_MLP_POST)) {
        keep(&k, &l->mlp_out, w);
        keep_stats(&k, &l->n2p, 1);
    }
    return k;
}

size_t layer_floats(const struct model_config *c)
{
    struct layer_acts l;
    struct plan k = plan_of(c, &l);
    size_t floats = 0;
    for (int i = 0; i < k.n_parts; i++)
        floats += k.part[i].width;
    for (int i = 0; i < k.n_stats; i++)
        floats += norm_floats(c, k.stats[i].rows);
    return floats + (c->experts ? moe_floats(c) : 0);
}

int layer_acts_init(struct layer_acts *l, const struct model *m, int n, struct arena *a,
                    struct err *e)
{
    const struct model_config *c = &m->cfg;
    *l = (struct layer_acts){0};
    struct plan k = plan_of(c, l);
    for (int i = 0; i < k.n_parts; i++)
        if (!(*k.part[i].p = m->ops->take(a, (size_t)n * k.part[i].width, e)))
            return -1;
    for (int i = 0; i < k.n_stats; i++)
        if (norm_stats_init(k.stats[i].p, m, (size_t)n * k.stats[i].rows, a, e))
            return -1;
    return c->experts ? moe_acts_init(&l->moe, m, n, a, e) : 0;
}

size_t layer_keys_width(const struct model_config *c)
{
    return (size_t)c->kv_heads * (size_t)c->head_dim;
}

struct attn layer_attn(const struct pass *p, int l, const struct layer_acts *s,
                       const device float **k, const device float **v)
{
    const struct model_config *c = &p->m->cfg;
    const struct ops *o = p->m->ops;
    const struct batch *b = p->batch;
    const struct keys *keys = p->how.keys;
    struct attn at = {.n_seqs = b->n_seqs,
                      .q_start = b->start,
                      .n_q = b->len,
                      .k_start = b->start,
                      .n_k = b->len,
                      .key_mask = b->mask};
    *k = s->k;
    *v = s->v;
    if (keys) {
        const int wide = (int)layer_keys_width(c);
        device float *own_k = keys->k + (size_t)l * keys->stride,
                     *own_v = keys->v + (size_t)l * keys->stride;
        o->copy_rows(own_k, keys->to, s->k, keys->from, keys->n, wide);
        o->copy_rows(own_v, keys->to, s->v, keys->from, keys->n, wide);
        *k = own_k;
        *v = own_v;
        at = keys->at;
    }
    at.heads = c->heads;
    at.kv_heads = c->kv_heads;
    at.head_dim = c->head_dim;
    at.scale = c->attn_scale;
    at.window = config_windowed(c, l) ? c->window : 0;
    at.softcap = c->attn_softcap;
    return at;
}

/* y [N,heads,D] = h [N,C] W^T, normalised if the model does that, and rotated; y0: before that. */
static void project(const struct pass *p, int l, enum slot slot, enum slot norm, device float *y,
                    device float *y0, const struct norm_stats *stats, const device float *h,
                    int heads)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->cfg;
    const int n = p->batch->n_tokens;
    linear_forward(p, slot, l, y0 ? y0 : y, h, n, 0);
    if (y0)
        norm_forward(m, norm, l, y, stats, y0, (size_t)n * (size_t)(heads * c->head_dim));
    const struct rope_table *t = model_rope(m, l);
    if (t)
        m->ops->rope(y, t->cos, t->sin, p->batch->pos, n, heads, c->head_dim, c->rope.rot, 0);
}

/* sum [N,C] += the end of a branch, y [N,C]: normalised if the model does that (raw: y), times the
 * model's multiplier. y is overwritten. */
static void join_branch(const struct pass *p, int l, enum place place, enum slot post,
                        device float *sum, device float *y, const struct norm_stats *stats)
{
    const struct model *m = p->m;
    const size_t nc = (size_t)p->batch->n_tokens * (size_t)m->cfg.width;
    if (weight_has(&m->table, post)) {
        norm_forward(m, post, l, p->norm, stats, y, nc);
        y = p->norm;
    }
    if (m->cfg.residual_scale != 1)
        m->ops->scale(y, m->cfg.residual_scale, nc);
    pass_tap(p, place, l, y);
    m->ops->add(sum, y, nc);
}

/* The same with the product of x [N,in] that a branch ends with; raw: where it is kept. */
static void add_branch(const struct pass *p, int l, enum place place, enum slot slot,
                       enum slot post, device float *sum, const device float *x, device float *raw,
                       const struct norm_stats *stats)
{
    const int n = p->batch->n_tokens;
    if (!raw && p->m->cfg.residual_scale == 1 && !pass_is_tapped(p, place, l)) {
        linear_forward(p, slot, l, sum, x, n, 1);
        return;
    }
    device float *y = raw ? raw : p->norm;
    linear_forward(p, slot, l, y, x, n, 0);
    join_branch(p, l, place, post, sum, y, stats);
}

struct layer_norm layer_mlp_norm(const struct model *m, const struct layer_acts *s)
{
    bool shared = m->cfg.parallel && !weight_has(&m->table, W_NORM_MLP);
    return (struct layer_norm){
        .slot = shared ? W_NORM_ATTN : W_NORM_MLP,
        .x = m->cfg.parallel ? s->x : s->x2,
        .stats = shared ? &s->n1 : &s->n2,
    };
}

/* h [N,C]: the MLP's input. */
static const device float *mlp_input(const struct pass *p, int l, struct layer_acts *s)
{
    const struct layer_norm mlp = layer_mlp_norm(p->m, s);
    const size_t nc = (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width;
    const device float *h = norm_forward(p->m, mlp.slot, l, p->norm, mlp.stats, mlp.x, nc);
    if (!pass_is_tapped(p, PLACE_MLP_IN, l))
        return h;
    if (h != p->norm) /* a model without that norm */
        p->m->ops->copy(p->norm, h, nc);
    pass_tap(p, PLACE_MLP_IN, l, p->norm);
    if (s->mlp_in)
        p->m->ops->copy(s->mlp_in, p->norm, nc);
    return p->norm;
}

/* gate, up [N,F] = h W^T;  p->act [N,F] = f(gate) * up */
static void mlp_act(const struct pass *p, int l, struct layer_acts *s, const device float *h)
{
    const struct model_config *c = &p->m->cfg;
    const int n = p->batch->n_tokens;
    linear_forward(p, s->up ? W_GATE : W_UP, l, s->gate, h, n, 0);
    if (s->up)
        linear_forward(p, W_UP, l, s->up, h, n, 0);
    p->m->ops->glu(p->act, c->act, s->gate, s->up, (size_t)n * (size_t)c->ff);
}

void layer_forward(const struct pass *p, int l, struct layer_acts *s, device float *out)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->cfg;
    const int n = p->batch->n_tokens;
    const size_t nc = (size_t)n * (size_t)c->width;

    /* h [N,C] = norm(x);  q [N,H,D], k, v [N,G,D] = h W^T;  att [N,H*D] */
    const device float *h = norm_forward(m, W_NORM_ATTN, l, p->norm, &s->n1, s->x, nc);
    project(p, l, W_Q, W_NORM_Q, s->q, s->q0, &s->nq, h, c->heads);
    project(p, l, W_K, W_NORM_K, s->k, s->k0, &s->nk, h, c->kv_heads);
    linear_forward(p, W_V, l, s->v, h, n, 0);
    const device float *k, *v;
    const struct attn at = layer_attn(p, l, s, &k, &v);
    m->ops->attention(s->att, s->lse, s->q, k, v, &at);

    /* x2 [N,C] = x + att W_o^T; where the MLP runs in parallel, this is already `out` */
    device float *sum = c->parallel ? out : s->x2;
    m->ops->copy(sum, s->x, nc);
    add_branch(p, l, PLACE_ATTN_OUT, W_O, W_NORM_ATTN_POST, sum, s->att, s->att_out, &s->n1p);

    /* h [N,C] = norm(x2);  out [N,C] = x2 + MLP(h) */
    h = mlp_input(p, l, s);
    if (c->experts)
        moe_forward(p, l, &s->moe, h);
    else
        mlp_act(p, l, s, h);
    if (p->redoing && !c->experts && !s->mlp_out)
        return; /* the backward needs no more */
    if (!c->parallel)
        m->ops->copy(out, s->x2, nc);
    if (c->experts)
        join_branch(p, l, PLACE_MLP_OUT, W_NORM_MLP_POST, out, p->moe.y, &s->n2p);
    else
        add_branch(p, l, PLACE_MLP_OUT, W_DOWN, W_NORM_MLP_POST, out, p->act, s->mlp_out, &s->n2p);
    if (!p->redoing)
        pass_tap(p, PLACE_RESID, l, out);
}
