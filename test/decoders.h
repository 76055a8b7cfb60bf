/* A small random decoder of each family, for tests. */
#ifndef TEST_DECODERS_H
#define TEST_DECODERS_H

#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "model/model.h"
#include "tap.h"

enum { VOCAB = 37 };

/* A variant of a family: what its preset leaves open. */
struct kind {
    const char *family, *what;
    int kv_heads, head_dim; /* head_dim 0: width / heads */
    int rot;
    int window;
    float softcap;
    bool serial, biased, untied, longrope, yarn;
    int full_every, no_rope_every; /* in place of the family's */
    double local_base;
    int experts, experts_used;
    bool no_sum;      /* the weights of experts do not sum to 1 */
    float multiplier; /* of embeddings, branches and logits */
};

static const struct kind kinds[] = {
    {.family = "llama", .what = "", .kv_heads = 2, .untied = true},
    {.family = "llama", .what = ", biases", .kv_heads = 2, .biased = true},
    {.family = "mistral", .what = ", window", .kv_heads = 2, .window = 4, .untied = true},
    {.family = "qwen2", .what = "", .kv_heads = 1},
    {.family = "qwen3", .what = "", .kv_heads = 2, .head_dim = 10},
    {.family = "phi3", .what = ", longrope", .kv_heads = 2, .longrope = true, .untied = true},
    {.family = "phi3", .what = ", partial rotary", .kv_heads = 4, .rot = 4, .untied = true},
    {.family = "phi", .what = "", .kv_heads = 4, .rot = 2, .untied = true},
    {.family = "gemma", .what = "", .kv_heads = 1, .head_dim = 10},
    {.family = "gemma2", .what = "", .kv_heads = 2, .head_dim = 10, .window = 3, .softcap = 2},
    {.family = "gemma3_text",
     .what = ", pattern",
     .kv_heads = 2,
     .head_dim = 10,
     .window = 3,
     .full_every = 2,
     .local_base = 10},
    {.family = "gemma3_text",
     .what = "",
     .kv_heads = 2,
     .head_dim = 10,
     .window = 3,
     .local_base = 10},
    {.family = "olmo2", .what = "", .kv_heads = 2, .untied = true},
    {.family = "olmo3",
     .what = ", yarn",
     .kv_heads = 2,
     .window = 3,
     .full_every = 3,
     .local_base = 100,
     .yarn = true,
     .untied = true},
    {.family = "smollm3", .what = "", .kv_heads = 2},
    {.family = "smollm3", .what = ", pattern", .kv_heads = 2, .no_rope_every = 2},
    {.family = "granite", .what = "", .kv_heads = 2, .multiplier = 0.7f},
    {.family = "granite", .what = ", biases", .kv_heads = 2, .multiplier = 1.4f, .biased = true},
    {.family = "mixtral", .what = "", .kv_heads = 2, .experts = 4, .experts_used = 2},
    {.family = "qwen3_moe",
     .what = "",
     .kv_heads = 2,
     .head_dim = 10,
     .experts = 3,
     .experts_used = 3},
    {.family = "qwen3_moe",
     .what = ", no sum",
     .kv_heads = 2,
     .experts = 3,
     .experts_used = 1,
     .no_sum = true},
    {.family = "gpt_neox", .what = "", .kv_heads = 4, .rot = 2, .untied = true},
    {.family = "gpt_neox", .what = ", serial", .kv_heads = 4, .rot = 4, .serial = true},
    {.family = "gpt2", .what = "", .kv_heads = 4},
    {.family = "opt", .what = "", .kv_heads = 4},
};

static const struct family *find_family(const char *name)
{
    const struct family *f = families;
    while (strcmp(f->name, name))
        f++;
    return f;
}

static void configure(struct model_config *c, const struct kind *k)
{
    const struct family *f = find_family(k->family);
    *c = f->preset;
    c->family = f;
    c->layers = 3;
    c->width = 24;
    c->heads = 4;
    c->kv_heads = k->kv_heads;
    c->head_dim = k->head_dim;
    c->ff = 20;
    c->vocab = VOCAB;
    c->positions = 48;
    c->tied_head = !k->untied;
    c->window = k->window;
    c->attn_softcap = c->logit_softcap = k->softcap;
    c->rope.base = 100;
    c->rope.rot = k->rot;
    c->parallel = c->parallel && !k->serial;
    c->mlp_bias = c->mlp_bias || k->biased;
    c->qkv_bias = c->qkv_bias || k->biased;
    c->out_bias = c->out_bias || k->biased;
    c->rope.local_base = k->local_base;
    c->full_every = k->full_every ? k->full_every : c->full_every;
    c->no_rope_every = k->no_rope_every ? k->no_rope_every : c->no_rope_every;
    c->embed_scale = c->residual_scale = c->logit_divisor = k->multiplier;
    c->experts = k->experts;
    c->experts_used = k->experts_used;
    c->experts_norm = k->experts > 0 && !k->no_sum;
    c->dense_ff = c->dense_ff ? c->ff : 0;
    c->bos = c->pad = -1;
    if (k->yarn) {
        c->rope.kind = ROPE_YARN;
        c->rope.factor = 4;
        c->rope.beta_fast = 4;
        c->rope.beta_slow = 0.1;
        c->rope.original_positions = 8;
        c->rope.magnitude = 1.2;
    }
    if (k->longrope) {
        c->rope.kind = ROPE_LONG;
        c->rope.original_positions = 8;
        c->rope.magnitude = 1.2;
        for (int i = 0; i < 3; i++) {
            c->rope.short_factor[i] = 1;
            c->rope.long_factor[i] = 1 + i;
        }
    }
    config_derive(c);
}

static bool build(struct model *m, const struct kind *k)
{
    struct err e;
    struct rng r;
    *m = (struct model){.ops = ops_cpu()};
    configure(&m->cfg, k);
    if (config_check(&m->cfg, &e) || weight_table_init(&m->table, &m->cfg, &e))
        return note("%s", e.msg), false;
    m->own = mem_alloc(m->table.total, sizeof(float), &e);
    m->w = mem_alloc((size_t)m->table.n, sizeof *m->w, &e);
    rng_seed(&r, 21);
    for (int i = 0; i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        float *p = m->own + w->offset;
        for (size_t j = 0; j < w->count; j++)
            p[j] = 0.15f * (float)rng_normal(&r) + (w->n_dims == 1 ? 0.5f : 0);
        /* A choice of experts that small steps do not change. */
        if (w->slot == W_ROUTER && m->cfg.experts_used < m->cfg.experts)
            m->ops->scale(p, 16, w->count);
        m->w[i] = p;
    }
    return true;
}

#endif
