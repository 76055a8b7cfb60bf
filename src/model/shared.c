#include "model/shared.h"

#include <string.h>

#include "model/embed.h"
#include "model/layer.h"

static bool shown(const struct seq *s, int t)
{
    return !s->mask || s->mask[t];
}

int shared_prefix(const struct seq *a, const struct seq *b)
{
    int n = a->n < b->n ? a->n : b->n, t = 0;
    while (t < n && a->ids[t] == b->ids[t] && shown(a, t) == shown(b, t))
        t++;
    return t;
}

int shared_pack(struct shared *s, const struct seq *seqs, const int *common, int n,
                const struct model_config *c, struct arena *a, struct err *e)
{
    size_t all = 0;
    struct seq *own = arena_take(a, (size_t)n + 1, sizeof *own, e);
    if (!own || !(s->start = arena_take(a, (size_t)n + 1, sizeof(int), e)))
        return -1;
    for (int i = 0; i < n; i++) {
        if (seqs[i].n > c->positions)
            return err_set(e, "a sequence of %d tokens is longer than the model's %d positions",
                           seqs[i].n, c->positions);
        own[i] = (struct seq){.n = seqs[i].n - common[i],
                              .ids = seqs[i].ids + common[i],
                              .mask = seqs[i].mask ? seqs[i].mask + common[i] : NULL};
        s->start[i] = (int)all;
        all += (size_t)seqs[i].n;
        if (all > INT32_MAX)
            return err_set(e, "a batch of %zu tokens is too large; use a smaller batch", all);
    }
    s->start[n] = s->n_paths = (int)all;
    if (!(s->token = arena_take(a, all + 1, sizeof(int), e)) ||
        batch_pack(&s->batch, own, n, c->vocab, c->positions, a, e))
        return -1;
    for (int i = 0; i < n; i++) {
        int *path = s->token + s->start[i];
        if (common[i])
            memcpy(path, s->token + s->start[i - 1], (size_t)common[i] * sizeof(int));
        for (int t = 0; t < own[i].n; t++) {
            int token = s->batch.start[i] + t;
            path[common[i] + t] = token;
            s->batch.pos[token] = common[i] + t;
        }
    }
    return 0;
}

/* Where nothing is shared, keys are where they were computed; else paths are spelt out in k and v
 * [n_paths, G*D]. */
struct keys {
    float *k, *v;
};

static int keys_init(struct keys *keys, struct attn *at, const struct shared *s, size_t wide,
                     struct arena *a, struct err *e)
{
    const struct batch *b = &s->batch;
    at->n_seqs = b->n_seqs;
    at->q_start = at->k_start = b->start;
    at->n_q = at->n_k = b->len;
    at->key_mask = b->mask;
    *keys = (struct keys){0};
    if (s->n_paths == b->n_tokens)
        return 0;
    size_t n = (size_t)s->n_paths;
    int *n_k = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e);
    uint8_t *mask = b->mask ? arena_take(a, n, 1, e) : NULL;
    if (!n_k || (b->mask && !mask) || !(keys->k = arena_take(a, n * wide, sizeof(float), e)) ||
        !(keys->v = arena_take(a, n * wide, sizeof(float), e)))
        return -1;
    for (int i = 0; i < b->n_seqs; i++)
        n_k[i] = s->start[i + 1] - s->start[i];
    for (size_t r = 0; mask && r < n; r++)
        mask[r] = b->mask[s->token[r]];
    at->k_start = s->start;
    at->n_k = n_k;
    at->key_mask = mask;
    return 0;
}

static void spell_out(float *out, const float *rows, const struct shared *s, size_t wide)
{
#pragma omp parallel for schedule(static)
    for (int r = 0; r < s->n_paths; r++)
        memcpy(out + (size_t)r * wide, rows + (size_t)s->token[r] * wide, wide * sizeof(float));
}

int shared_forward(struct model *m, const struct shared *s, float **x, struct arena *a,
                   struct err *e)
{
    const struct model_config *c = &m->cfg;
    const struct batch *b = &s->batch;
    size_t n = (size_t)b->n_tokens, wide = (size_t)(c->kv_heads * c->head_dim);
    struct attn at = {0};
    struct layer_acts acts;
    struct keys keys;
    float *norm, *act, *out;
    int longest = 0;
    for (int i = 0; i < b->n_seqs; i++) {
        int len = s->start[i + 1] - s->start[i];
        longest = len > longest ? len : longest;
    }
    if (model_reserve_positions(m, longest, e) || keys_init(&keys, &at, s, wide, a, e) ||
        layer_acts_init(&acts, c, b->n_tokens, a, e) ||
        !(norm = arena_take(a, n * (size_t)c->width, sizeof(float), e)) ||
        !(out = arena_take(a, n * (size_t)c->width, sizeof(float), e)) ||
        !(act = arena_take(a, n * (size_t)c->ff, sizeof(float), e)))
        return -1;
    embed_forward(m, b, acts.x, norm);
    for (int l = 0; l < c->layers; l++) {
        const float *k = acts.k, *v = acts.v;
        layer_attn(c, l, &at);
        layer_project(m, l, &acts, norm, b->pos, b->n_tokens);
        if (keys.k) {
            spell_out(keys.k, acts.k, s, wide);
            spell_out(keys.v, acts.v, s, wide);
            k = keys.k;
            v = keys.v;
        }
        m->ops->attention(acts.att, acts.lse, acts.q, k, v, &at);
        layer_finish(m, l, &acts, norm, act, out, b->n_tokens);
        float *in = acts.x;
        acts.x = out;
        out = in;
    }
    *x = acts.x;
    return 0;
}
