#include "model/layer.h"

#include <string.h>

#include "model/linear.h"

enum { MAX_PARTS = 13, MAX_STATS = 6 }; /* as many as struct layer_acts has */

/* What a configuration keeps: arrays, and stats of norms, with their numbers a token. */
struct plan {
    struct {
        float **p;
        size_t width;
    } part[MAX_PARTS];
    struct {
        struct norm_stats *p;
        size_t rows;
    } stats[MAX_STATS];
    int n_parts, n_stats;
};

static void keep(struct plan *k, float **p, size_t width)
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
static void keep_head_norm(struct plan *k, const struct model_config *c, enum slot slot, float **p,
                           struct norm_stats *stats, int heads)
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
    return floats;
}

int layer_acts_init(struct layer_acts *l, const struct model_config *c, int n, struct arena *a,
                    struct err *e)
{
    *l = (struct layer_acts){0};
    struct plan k = plan_of(c, l);
    for (int i = 0; i < k.n_parts; i++)
        if (!(*k.part[i].p = arena_take(a, (size_t)n * k.part[i].width, sizeof(float), e)))
            return -1;
    for (int i = 0; i < k.n_stats; i++)
        if (norm_stats_init(k.stats[i].p, c, (size_t)n * k.stats[i].rows, a, e))
            return -1;
    return 0;
}

void layer_attn(const struct model_config *c, int l, struct attn *a)
{
    a->heads = c->heads;
    a->kv_heads = c->kv_heads;
    a->head_dim = c->head_dim;
    a->scale = c->attn_scale;
    a->window = config_windowed(c, l) ? c->window : 0;
    a->softcap = c->attn_softcap;
}

/* y [n,heads,D] = the rotated, and before that normalised, rows of a projection of h. */
static void project(const struct model *m, int l, enum slot slot, enum slot norm, float *y,
                    float *y0, const struct norm_stats *stats, const float *h, const int *pos,
                    int n, int heads)
{
    const struct model_config *c = &m->cfg;
    linear_forward(m, slot, l, y0 ? y0 : y, h, n, 0);
    if (y0)
        norm_forward(m, norm, l, y, stats, y0, (size_t)n * (size_t)(heads * c->head_dim));
    if (c->rope.rot)
        m->ops->rope(y, m->rope_cos, m->rope_sin, pos, n, heads, c->head_dim, c->rope.rot, 0);
}

void layer_project(const struct model *m, int l, struct layer_acts *s, float *norm, const int *pos,
                   int n)
{
    const struct model_config *c = &m->cfg;
    size_t nc = (size_t)n * (size_t)c->width;
    const float *h = norm_forward(m, W_NORM_ATTN, l, norm, &s->n1, s->x, nc);
    project(m, l, W_Q, W_NORM_Q, s->q, s->q0, &s->nq, h, pos, n, c->heads);
    project(m, l, W_K, W_NORM_K, s->k, s->k0, &s->nk, h, pos, n, c->kv_heads);
    linear_forward(m, W_V, l, s->v, h, n, 0);
}

/* sum [n,C] += what a branch ends with: a product, and a norm of it if the model has one there. */
static void add_branch(const struct model *m, int l, enum slot slot, enum slot post, float *sum,
                       const float *x, float *raw, const struct norm_stats *stats, float *norm,
                       int n)
{
    size_t nc = (size_t)n * (size_t)m->cfg.width;
    linear_forward(m, slot, l, raw ? raw : sum, x, n, raw ? 0 : 1);
    if (raw)
        m->ops->add(sum, norm_forward(m, post, l, norm, stats, raw, nc), nc);
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

void layer_finish(const struct model *m, int l, struct layer_acts *s, float *norm, float *act,
                  float *out, int n)
{
    const struct model_config *c = &m->cfg;
    const struct layer_norm mlp = layer_mlp_norm(m, s);
    size_t nc = (size_t)n * (size_t)c->width;
    float *sum = c->parallel ? out : s->x2;
    memcpy(sum, s->x, nc * sizeof(float));
    add_branch(m, l, W_O, W_NORM_ATTN_POST, sum, s->att, s->att_out, &s->n1p, norm, n);
    const float *h = norm_forward(m, mlp.slot, l, norm, mlp.stats, mlp.x, nc);
    linear_forward(m, s->up ? W_GATE : W_UP, l, s->gate, h, n, 0);
    if (s->up)
        linear_forward(m, W_UP, l, s->up, h, n, 0);
    m->ops->glu(act, c->act, s->gate, s->up, (size_t)n * (size_t)c->ff);
    if (!c->parallel)
        memcpy(out, s->x2, nc * sizeof(float));
    add_branch(m, l, W_DOWN, W_NORM_MLP_POST, out, act, s->mlp_out, &s->n2p, norm, n);
}
