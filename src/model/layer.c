#include "model/layer.h"

#include <math.h>
#include <string.h>

size_t layer_floats(const struct model_config *c)
{
    size_t hd = (size_t)c->heads * (size_t)c->head_dim,
           gd = (size_t)c->kv_heads * (size_t)c->head_dim;
    return 2 * (size_t)c->width + 2 + 2 * hd + 2 * gd + (size_t)c->heads + 2 * (size_t)c->ff;
}

int layer_acts_init(struct layer_acts *l, const struct model_config *c, int n, struct arena *a,
                    struct err *e)
{
    size_t hd = (size_t)c->heads * (size_t)c->head_dim,
           gd = (size_t)c->kv_heads * (size_t)c->head_dim;
    struct {
        float **p;
        size_t width;
    } parts[] = {
        {&l->x, (size_t)c->width},
        {&l->rstd1, 1},
        {&l->q, hd},
        {&l->k, gd},
        {&l->v, gd},
        {&l->att, hd},
        {&l->lse, (size_t)c->heads},
        {&l->x2, (size_t)c->width},
        {&l->rstd2, 1},
        {&l->gate, (size_t)c->ff},
        {&l->up, (size_t)c->ff},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (!(*parts[i].p = arena_take(a, (size_t)n * parts[i].width, sizeof(float), e)))
            return -1;
    return 0;
}

void layer_project(const struct model *m, int l, struct layer_acts *s, float *norm, const int *pos,
                   int n)
{
    const struct model_config *c = &m->cfg;
    const struct ops *o = m->ops;
    int w = c->width, hd = c->heads * c->head_dim, gd = c->kv_heads * c->head_dim;
    o->rmsnorm(norm, s->rstd1, s->x, model_weight(m, W_NORM_ATTN, l), n, w, c->norm_eps, 0);
    o->linear(s->q, norm, model_weight(m, W_Q, l), n, w, hd, 0);
    o->linear(s->k, norm, model_weight(m, W_K, l), n, w, gd, 0);
    o->linear(s->v, norm, model_weight(m, W_V, l), n, w, gd, 0);
    o->rope(s->q, m->rope_cos, m->rope_sin, pos, n, c->heads, c->head_dim, c->head_dim, 0);
    o->rope(s->k, m->rope_cos, m->rope_sin, pos, n, c->kv_heads, c->head_dim, c->head_dim, 0);
}

void layer_finish(const struct model *m, int l, struct layer_acts *s, float *norm, float *act,
                  float *out, int n)
{
    const struct model_config *c = &m->cfg;
    const struct ops *o = m->ops;
    int w = c->width, hd = c->heads * c->head_dim;
    size_t nc = (size_t)n * (size_t)w;
    memcpy(s->x2, s->x, nc * sizeof(float));
    o->linear(s->x2, s->att, model_weight(m, W_O, l), n, hd, w, 1);
    o->rmsnorm(norm, s->rstd2, s->x2, model_weight(m, W_NORM_MLP, l), n, w, c->norm_eps, 0);
    o->linear(s->gate, norm, model_weight(m, W_GATE, l), n, w, c->ff, 0);
    o->linear(s->up, norm, model_weight(m, W_UP, l), n, w, c->ff, 0);
    o->glu(act, ACT_SILU, s->gate, s->up, (size_t)n * (size_t)c->ff);
    memcpy(out, s->x2, nc * sizeof(float));
    o->linear(out, act, model_weight(m, W_DOWN, l), n, c->ff, w, 1);
}

struct attn layer_attn(const struct model_config *c)
{
    return (struct attn){
        .heads = c->heads,
        .kv_heads = c->kv_heads,
        .head_dim = c->head_dim,
        .scale = 1.0f / sqrtf((float)c->head_dim),
    };
}
