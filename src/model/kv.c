#include "model/kv.h"

#include <string.h>

#include "base/mem.h"
#include "model/embed.h"
#include "model/layer.h"

int kv_cache_init(struct kv_cache *kv, const struct model *m, int slots, int max_len, struct err *e)
{
    *kv = (struct kv_cache){.slots = slots, .max_len = max_len};
    size_t rows, floats, layers = (size_t)m->cfg.layers;
    if (size_mul((size_t)slots, (size_t)max_len, &rows) || rows > INT32_MAX ||
        size_mul(rows, (size_t)(m->cfg.kv_heads * m->cfg.head_dim), &floats))
        return err_set(e, "a cache of %d sequences of %d tokens is too large; use a smaller batch",
                       slots, max_len);
    if (!(kv->len = mem_alloc((size_t)slots, sizeof *kv->len, e)) ||
        !(kv->mask = mem_alloc(rows, 1, e)) || !(kv->k = mem_alloc(layers, sizeof *kv->k, e)) ||
        !(kv->v = mem_alloc(layers, sizeof *kv->v, e)))
        goto fail;
    for (size_t l = 0; l < layers; l++)
        if (!(kv->k[l] = mem_alloc(floats, sizeof(float), e)) ||
            !(kv->v[l] = mem_alloc(floats, sizeof(float), e)))
            goto fail;
    kv->layers = (int)layers;
    return 0;
fail:
    kv->layers = kv->k && kv->v ? (int)layers : 0;
    kv_cache_fini(kv);
    return -1;
}

void kv_cache_fini(struct kv_cache *kv)
{
    for (int l = 0; l < kv->layers; l++) {
        free(kv->k[l]);
        free(kv->v[l]);
    }
    free(kv->k);
    free(kv->v);
    free(kv->len);
    free(kv->mask);
    *kv = (struct kv_cache){0};
}

/* Where attention finds each sequence's keys, and the cache row of each new token. */
static int place(struct attn *at, int **row, const struct batch *b, const int *slot,
                 struct kv_cache *kv, struct arena *a, struct err *e)
{
    int *k_start = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e);
    int *n_k = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e);
    *row = arena_take(a, (size_t)b->n_tokens + 1, sizeof(int), e);
    if (!k_start || !n_k || !*row)
        return -1;
    for (int s = 0; s < b->n_seqs; s++) {
        int at_len = kv->len[slot[s]], base = slot[s] * kv->max_len;
        BUG_ON(at_len + b->len[s] > kv->max_len);
        for (int t = 0; t < b->len[s]; t++) {
            int token = b->start[s] + t, r = base + at_len + t;
            (*row)[token] = r;
            kv->mask[r] = b->mask ? b->mask[token] : 1;
        }
        kv->len[slot[s]] += b->len[s];
        k_start[s] = base;
        n_k[s] = kv->len[slot[s]];
    }
    at->n_seqs = b->n_seqs;
    at->q_start = b->start;
    at->n_q = b->len;
    at->k_start = k_start;
    at->n_k = n_k;
    at->key_mask = b->mask || kv->masked ? kv->mask : NULL;
    kv->masked = at->key_mask != NULL;
    return 0;
}

int kv_extend(struct model *m, const struct batch *b, const int *slot, struct kv_cache *kv,
              float **x, struct arena *a, struct err *e)
{
    const struct model_config *c = &m->cfg;
    size_t n = (size_t)b->n_tokens, wide = (size_t)(c->kv_heads * c->head_dim);
    struct layer_acts s;
    struct attn at = {0};
    int *row;
    float *norm, *act, *out;
    if (model_reserve_positions(m, kv->max_len, e) || place(&at, &row, b, slot, kv, a, e) ||
        layer_acts_init(&s, c, b->n_tokens, a, e) ||
        !(norm = arena_take(a, n * (size_t)c->width, sizeof(float), e)) ||
        !(out = arena_take(a, n * (size_t)c->width, sizeof(float), e)) ||
        !(act = arena_take(a, n * (size_t)c->ff, sizeof(float), e)))
        return -1;
    embed_forward(m, b, s.x, norm);
    for (int l = 0; l < c->layers; l++) {
        layer_attn(c, l, &at);
        layer_project(m, l, &s, norm, b->pos, b->n_tokens);
        for (size_t t = 0; t < n; t++) {
            memcpy(kv->k[l] + (size_t)row[t] * wide, s.k + t * wide, wide * sizeof(float));
            memcpy(kv->v[l] + (size_t)row[t] * wide, s.v + t * wide, wide * sizeof(float));
        }
        m->ops->attention(s.att, s.lse, s.q, kv->k[l], kv->v[l], &at);
        layer_finish(m, l, &s, norm, act, out, b->n_tokens);
        float *in = s.x;
        s.x = out;
        out = in;
    }
    *x = s.x;
    return 0;
}

void kv_copy(struct kv_cache *kv, const struct model *m, int from, int to, int n)
{
    size_t wide = (size_t)(m->cfg.kv_heads * m->cfg.head_dim), room = (size_t)kv->max_len;
    size_t source = (size_t)from * room, target = (size_t)to * room, rows = (size_t)n;
    BUG_ON(n > kv->len[from]);
    for (int l = 0; l < kv->layers; l++) {
        memcpy(kv->k[l] + target * wide, kv->k[l] + source * wide, rows * wide * sizeof(float));
        memcpy(kv->v[l] + target * wide, kv->v[l] + source * wide, rows * wide * sizeof(float));
    }
    memcpy(kv->mask + target, kv->mask + source, rows);
    kv->len[to] = n;
}
