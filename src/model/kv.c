#include "model/kv.h"

#include <string.h>

#include "base/mem.h"

int kv_cache_init(struct kv_cache *kv, const struct model *m, int slots, int max_len, struct err *e)
{
    *kv = (struct kv_cache){.slots = slots, .max_len = max_len};
    size_t rows, floats;
    if (size_mul((size_t)slots, (size_t)max_len, &rows) || rows > INT32_MAX ||
        size_mul(rows, (size_t)(m->cfg.kv_heads * m->cfg.head_dim), &kv->stride) ||
        size_mul(kv->stride, (size_t)m->cfg.layers, &floats))
        return err_set(e, "a cache of %d sequences of %d tokens is too large; use a smaller batch",
                       slots, max_len);
    if ((kv->len = mem_alloc((size_t)slots, sizeof *kv->len, e)) &&
        (kv->mask = mem_alloc(rows, 1, e)) && (kv->k = mem_alloc(floats, sizeof(float), e)) &&
        (kv->v = mem_alloc(floats, sizeof(float), e)))
        return 0;
    kv_cache_fini(kv);
    return -1;
}

void kv_cache_fini(struct kv_cache *kv)
{
    free(kv->k);
    free(kv->v);
    free(kv->len);
    free(kv->mask);
    *kv = (struct kv_cache){0};
}

/* Where attention finds each sequence's keys, and the cache row of each new token. */
static int place(struct keys *k, const struct batch *b, const int *slot, struct kv_cache *kv,
                 struct arena *a, struct err *e)
{
    int *k_start = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e);
    int *n_k = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e);
    int *row = arena_take(a, (size_t)b->n_tokens + 1, sizeof(int), e);
    if (!k_start || !n_k || !row)
        return -1;
    for (int s = 0; s < b->n_seqs; s++) {
        int at_len = kv->len[slot[s]], base = slot[s] * kv->max_len;
        BUG_ON(at_len + b->len[s] > kv->max_len);
        for (int t = 0; t < b->len[s]; t++) {
            int token = b->start[s] + t, r = base + at_len + t;
            row[token] = r;
            kv->mask[r] = b->mask ? b->mask[token] : 1;
        }
        kv->len[slot[s]] += b->len[s];
        k_start[s] = base;
        n_k[s] = kv->len[slot[s]];
    }
    kv->masked |= b->mask != NULL;
    *k = (struct keys){.at = {.n_seqs = b->n_seqs,
                              .q_start = b->start,
                              .n_q = b->len,
                              .k_start = k_start,
                              .n_k = n_k,
                              .key_mask = kv->masked ? kv->mask : NULL},
                       .k = kv->k,
                       .v = kv->v,
                       .stride = kv->stride,
                       .n = b->n_tokens,
                       .to = row,
                       .positions = kv->max_len};
    return 0;
}

int kv_extend(struct model *m, const struct batch *b, const int *slot, struct kv_cache *kv,
              struct pass *p, struct arena *a, struct err *e)
{
    struct keys *keys = arena_take(a, 1, sizeof *keys, e);
    const struct forward how = {.keys = keys};
    if (!keys || place(keys, b, slot, kv, a, e))
        return -1;
    return model_forward(m, b, &how, p, a, e);
}

void kv_copy(struct kv_cache *kv, const struct model *m, int from, int to, int n)
{
    size_t wide = (size_t)(m->cfg.kv_heads * m->cfg.head_dim), room = (size_t)kv->max_len;
    size_t source = (size_t)from * room, target = (size_t)to * room, rows = (size_t)n;
    BUG_ON(n > kv->len[from]);
    for (size_t l = 0; l < (size_t)m->cfg.layers; l++) {
        float *k = kv->k + l * kv->stride, *v = kv->v + l * kv->stride;
        memcpy(k + target * wide, k + source * wide, rows * wide * sizeof(float));
        memcpy(v + target * wide, v + source * wide, rows * wide * sizeof(float));
    }
    memcpy(kv->mask + target, kv->mask + source, rows);
    kv->len[to] = n;
}
