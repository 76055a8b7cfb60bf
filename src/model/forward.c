#include "model/forward.h"

#include "model/layer.h"

/* `rows`: of the width. */
static size_t pass_bytes(const struct model_config *c, int n_tokens, size_t layers, size_t rows)
{
    size_t per_token = layer_floats(c) * layers + rows * (size_t)c->width + (size_t)c->ff +
                       (c->experts ? moe_scratch_floats(c) : 0);
    return per_token * (size_t)n_tokens * sizeof(float);
}

size_t forward_bytes(const struct model_config *c, int n_tokens, bool keep)
{
    return pass_bytes(c, n_tokens, keep ? (size_t)c->layers : 1, keep ? 3 : 2); /* norm, x, dx */
}

size_t recompute_bytes(const struct model_config *c, int n_tokens)
{
    return pass_bytes(c, n_tokens, 1, 2 + (size_t)c->layers); /* the layers' inputs */
}

size_t backward_bytes(const struct model_config *c, int n_tokens)
{
    return layer_scratch_floats(c) * (size_t)n_tokens * sizeof(float);
}

static bool is_at(const struct tap *t, enum place place, int layer)
{
    return t->place == place && (place == PLACE_EMBED || t->layer == layer);
}

bool pass_is_tapped(const struct pass *p, enum place place, int layer)
{
    for (int i = 0; i < p->how.n_taps; i++)
        if (is_at(&p->how.taps[i], place, layer))
            return true;
    return false;
}

void pass_tap(const struct pass *p, enum place place, int layer, device float *x)
{
    const struct tap *t = p->how.taps;
    for (int i = 0; i < p->how.n_taps; i++)
        if (is_at(&t[i], place, layer) && t[i].forward)
            t[i].forward(t[i].ctx, p, x);
}

void pass_tap_back(const struct pass *p, enum place place, int layer, device float *dx)
{
    const struct tap *t = p->how.taps;
    for (int i = p->how.n_taps - 1; i >= 0; i--)
        if (is_at(&t[i], place, layer) && t[i].backward)
            t[i].backward(t[i].ctx, p, dx);
}

/* Where row 0 of the learned positions stands in their table. */
static size_t first_position(const struct model_config *c)
{
    return (size_t)c->position_offset * (size_t)c->width;
}

/* x [N,C] = rows of the embedding table [V,C], scaled where the model says so, and of the learned
 * positions where it has them. */
static void embed(const struct pass *p, device float *x)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->cfg;
    const struct batch *b = p->batch;
    int n = b->n_tokens;
    const struct stored *table = model_stored(m, weight_index(&m->table, W_EMBED, -1));
    if (table)
        m->ops->embed_stored(x, table, b->ids, n, c->width, c->embed_scale);
    else
        m->ops->embed(x, model_weight(m, W_EMBED, -1), b->ids, n, c->width, c->embed_scale);
    pass_tap(p, PLACE_EMBED, -1, x);
    if (weight_has(&m->table, W_POS)) {
        m->ops->gather(p->norm, model_weight(m, W_POS, -1) + first_position(c), b->pos, n,
                       c->width);
        m->ops->add(x, p->norm, (size_t)n * (size_t)c->width);
    }
    pass_tap(p, PLACE_RESID, -1, x);
}

void pass_set_grad(const struct pass *p, int i, device float *grads)
{
    const struct weight *w = &p->m->table.v[i];
    if (!p->how.unset || !p->how.unset[i])
        return;
    p->m->ops->fill(grads + w->at, 0, w->count);
    p->how.unset[i] = false;
}

/* The gradient of a table of rows, NULL: not wanted. */
static device float *table_grad(const struct pass *p, enum slot slot, device float *grads)
{
    device float *d = weight_grad(&p->m->table, slot, -1, grads);
    if (d)
        pass_set_grad(p, weight_index(&p->m->table, slot, -1), grads);
    return d;
}

/* Adds what dx [N,C] gives the tables, where it is wanted. */
static void embed_back(const struct pass *p, device float *dx, device float *grads)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->cfg;
    const struct batch *b = p->batch;
    device float *dpos = table_grad(p, W_POS, grads), *dembed = table_grad(p, W_EMBED, grads);
    pass_tap_back(p, PLACE_RESID, -1, dx);
    if (dpos)
        m->ops->embed_back(dpos + first_position(c), dx, b->pos, b->n_tokens, c->width, 1);
    pass_tap_back(p, PLACE_EMBED, -1, dx);
    if (dembed)
        m->ops->embed_back(dembed, dx, b->ids, b->n_tokens, c->width, c->embed_scale);
}

static int n_positions(const struct batch *b)
{
    int top = 0;
    for (int i = 0; i < b->n_tokens; i++)
        top = b->pos[i] > top ? b->pos[i] : top;
    return top + 1;
}

/* What layer l keeps while it runs. */
static struct layer_acts acts_of(const struct pass *p, int l)
{
    struct layer_acts s = p->acts[p->how.keep ? l : 0];
    if (p->how.recompute) {
        device float *x = s.x;
        s = p->again;
        s.x = x;
        s.mlp_in = pass_is_tapped(p, PLACE_MLP_IN, l) ? s.mlp_in : NULL;
    }
    return s;
}

static int take_acts(struct pass *p, struct layer_acts *s, bool mlp_in, struct arena *a,
                     struct err *e)
{
    const size_t nc = (size_t)p->batch->n_tokens * (size_t)p->m->cfg.width;
    if (layer_acts_init(s, p->m, p->batch->n_tokens, a, e))
        return -1;
    return !mlp_in || (s->mlp_in = p->m->ops->take(a, nc, e)) ? 0 : -1;
}

/* acts, x and scratch. */
static int pass_init(struct pass *p, struct arena *a, struct err *e)
{
    const struct model_config *c = &p->m->cfg;
    const struct ops *o = p->m->ops;
    const struct forward *how = &p->how;
    size_t n = (size_t)p->batch->n_tokens, w = (size_t)c->width;
    int kept = how->keep ? how->layers : 1;
    if (!(p->acts = arena_take(a, (size_t)kept + 1, sizeof *p->acts, e)) ||
        !(p->norm = o->take(a, n * w, e)) || !(p->act = o->take(a, n * (size_t)c->ff, e)) ||
        !(p->x = o->take(a, n * w, e)) ||
        (c->experts && moe_scratch_init(&p->moe, p->m, p->batch->n_tokens, a, e)))
        return -1;
    bool tapped = false;
    for (int l = 0; l < kept; l++) {
        const bool taps = how->keep && pass_is_tapped(p, PLACE_MLP_IN, l);
        tapped |= taps;
        p->acts[l] = (struct layer_acts){0};
        if (how->recompute ? l && !(p->acts[l].x = o->take(a, n * w, e))
                           : take_acts(p, &p->acts[l], taps, a, e))
            return -1;
    }
    if (how->recompute && take_acts(p, &p->again, tapped, a, e))
        return -1;
    if (how->recompute)
        p->acts[0].x = p->again.x;
    return 0;
}

/* Keys and values of every sequence's path, one after another: rows [place[S], G*D]. */
static int share_keys(struct pass *p, struct arena *a, struct err *e)
{
    const struct batch *b = p->batch;
    const struct ops *o = p->m->ops;
    const size_t n = (size_t)b->place[b->n_seqs], wide = layer_keys_width(&p->m->cfg);
    struct keys *k = arena_take(a, 1, sizeof *k, e);
    int *n_k = arena_take(a, (size_t)b->n_seqs + 1, sizeof(int), e);
    uint8_t *mask = b->mask ? arena_take(a, n, 1, e) : NULL;
    if (!k || !n_k || (b->mask && !mask))
        return -1;
    *k = (struct keys){.n = b->place[b->n_seqs], .from = b->path};
    if (!(k->k = o->take(a, n * wide, e)) || !(k->v = o->take(a, n * wide, e)))
        return -1;
    for (int i = 0; i < b->n_seqs; i++) {
        n_k[i] = b->place[i + 1] - b->place[i];
        k->positions = n_k[i] > k->positions ? n_k[i] : k->positions;
    }
    for (size_t r = 0; mask && r < n; r++)
        mask[r] = b->mask[b->path[r]];
    k->at = (struct attn){.n_seqs = b->n_seqs,
                          .q_start = b->start,
                          .n_q = b->len,
                          .k_start = b->place,
                          .n_k = n_k,
                          .key_mask = mask};
    p->how.keys = k;
    return 0;
}

int model_forward(struct model *m, const struct batch *b, const struct forward *how, struct pass *p,
                  struct arena *a, struct err *e)
{
    *p = (struct pass){.m = m, .batch = b, .how = *how};
    const bool keep = how->keep;
    const int layers = how->layers ? how->layers : m->cfg.layers;
    p->how.layers = layers;
    BUG_ON(how->keys && (how->keep || b->path));
    BUG_ON(how->recompute && !how->keep);
    if (b->path && share_keys(p, a, e))
        return -1;
    if (model_reserve_positions(m, how->keys ? how->keys->positions : n_positions(b), e) ||
        pass_init(p, a, e))
        return -1;
    embed(p, p->acts[0].x);
    for (int l = 0; l < layers; l++) {
        struct layer_acts s = acts_of(p, l);
        /* Without keep, input and output swap places. */
        device float *out = l + 1 == layers || !keep ? p->x : p->acts[l + 1].x;
        layer_forward(p, l, &s, out);
        if (!keep && l + 1 < layers) {
            p->x = s.x;
            p->acts[0].x = out;
        }
    }
    return 0;
}

const device float *pass_states(const struct pass *p, int layers)
{
    BUG_ON(!p->how.keep || layers > p->how.layers);
    return layers == p->how.layers ? p->x : p->acts[layers].x;
}

/* The lowest layer that the derivative must go through: 0 for the embedding's sake. */
static int lowest_layer(const struct pass *p, const device float *grads)
{
    const struct weight_table *t = &p->m->table;
    int lowest =
        p->how.linear && p->how.linear->backward ? p->how.linear->lowest : p->m->cfg.layers;
    for (int i = 0; i < p->how.n_taps; i++) {
        const struct tap *tap = &p->how.taps[i];
        int l = tap->place == PLACE_EMBED ? 0 : tap->layer + (tap->place == PLACE_RESID);
        lowest = tap->reads && l < lowest ? l : lowest;
    }
    for (int i = 0; grads && i < t->n; i++) {
        const struct weight *w = &t->v[i];
        if (w->wants_grad && (w->slot == W_EMBED || w->slot == W_POS))
            return 0;
        if (w->wants_grad && w->layer >= 0 && w->layer < lowest)
            lowest = w->layer;
    }
    return lowest;
}

/* Makes again what layer l keeps; its output, which nothing reads any more, goes to p->x. */
static void redo(struct pass *p, int l, struct layer_acts *s)
{
    p->redoing = true;
    layer_forward(p, l, s, p->x);
    p->redoing = false;
}

int pass_backward(struct pass *p, device float *dx, device float *grads, struct arena *a,
                  struct err *e)
{
    struct layer_scratch r;
    BUG_ON(!p->how.keep);
    if (layer_scratch_init(&r, p, a, e))
        return -1;
    const int lowest = lowest_layer(p, grads);
    for (int l = p->how.layers - 1; l >= lowest - 1 && l >= 0; l--) {
        pass_tap_back(p, PLACE_RESID, l, dx);
        if (l >= lowest) {
            struct layer_acts s = acts_of(p, l);
            if (p->how.recompute)
                redo(p, l, &s);
            layer_backward(p, l, &s, &r, dx, grads);
        }
    }
    if (!lowest)
        embed_back(p, dx, grads);
    for (int i = 0; grads && i < p->m->table.n; i++)
        pass_set_grad(p, i, grads);
    return 0;
}
