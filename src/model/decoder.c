#include "model/decoder.h"

#include <string.h>

#include "model/embed.h"
#include "model/lora.h"

size_t decoder_bytes(const struct model_config *c, int n_tokens, bool keep)
{
    size_t layers = keep ? (size_t)c->layers : 1, rows = keep ? 3 : 2; /* norm, x, dx */
    size_t per_token = layer_floats(c) * layers + rows * (size_t)c->width + (size_t)c->ff;
    return per_token * (size_t)n_tokens * sizeof(float);
}

size_t decoder_back_bytes(const struct model_config *c, int n_tokens)
{
    return layer_scratch_floats(c) * (size_t)n_tokens * sizeof(float);
}

/* Every sequence attends to itself. */
static struct attn attn_of(const struct batch *b)
{
    return (struct attn){.n_seqs = b->n_seqs,
                         .q_start = b->start,
                         .n_q = b->len,
                         .k_start = b->start,
                         .n_k = b->len,
                         .key_mask = b->mask};
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
    for (int i = 0; p && p->layer == l && i < b->n_tokens; i++)
        if (p->of[i] >= 0)
            m->ops->add(out + (size_t)i * c, p->delta + (size_t)p->of[i] * c, c);
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
    lora_begin(m->lora, keep);
    struct attn at = attn_of(b);
    float *in = n_layers ? p->acts[0].x : p->x;
    embed_forward(m, b, in, p->norm);
    for (int l = 0; l < n_layers; l++) {
        struct layer_acts *s = &p->acts[keep ? l : 0];
        /* Without keep, input and output swap places. */
        float *out = l + 1 == n_layers || !keep ? p->x : p->acts[l + 1].x;
        layer_attn(c, l, &at);
        layer_project(m, l, s, p->norm, b->pos, n);
        m->ops->attention(s->att, s->lse, s->q, s->k, s->v, &at);
        layer_finish(m, l, s, p->norm, p->act, out, n);
        add_latent(m, b, l, out);
        if (!keep && l + 1 < n_layers) {
            p->x = s->x;
            s->x = out;
        }
    }
    return 0;
}

/* dx [N,C]: the derivative by what layer l gives. */
static void take_latent(const struct model *m, const struct batch *b, int l, const float *dx)
{
    const struct latent *p = b->latent;
    size_t c = (size_t)m->cfg.width;
    if (!p || !p->ddelta || p->layer != l)
        return;
    memset(p->ddelta, 0, (size_t)p->n * c * sizeof(float));
    for (int i = 0; i < b->n_tokens; i++)
        if (p->of[i] >= 0)
            m->ops->add(p->ddelta + (size_t)p->of[i] * c, dx + (size_t)i * c, c);
}

/* The lowest layer that the derivative must go through: 0 for the embedding's sake. */
static int lowest_layer(const struct model *m, const struct batch *b, const float *grads)
{
    int lowest = m->cfg.layers;
    if (b->latent && b->latent->ddelta)
        lowest = b->latent->layer + 1;
    for (int i = 0; grads && i < m->table.n; i++) {
        const struct weight *w = &m->table.v[i];
        if (w->wants_grad && (w->slot == W_EMBED || w->slot == W_POS))
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
    const struct batch *b = p->batch;
    struct attn at = attn_of(b);
    struct layer_scratch r = {.norm = p->norm, .act = p->act};
    if (layer_scratch_init(&r, &m->cfg, b->n_tokens, a, e))
        return -1;
    take_latent(m, b, p->layers - 1, dx);
    for (int l = p->layers - 1, lowest = lowest_layer(m, b, grads); l >= lowest; l--) {
        layer_attn(&m->cfg, l, &at);
        layer_backward(m, l, &p->acts[l], &r, &at, b->pos, b->n_tokens, dx, grads);
        if (dhidden && dhidden[l])
            m->ops->add(dx, dhidden[l], (size_t)b->n_tokens * (size_t)m->cfg.width);
        take_latent(m, b, l - 1, dx);
    }
    embed_backward(m, b, grads, dx, p->frozen_id);
    return 0;
}
