/* Products with a model's weights, and its norms. */
#include "model/layer.h"
#include "model/lora.h"

/* The rows of a slot: rows `first` to `first + out` of a weight. */
struct matrix {
    enum slot weight, bias;
    int layer, index; /* of the weight, in the model's table */
    size_t first;
    int in, out;
    bool routed; /* an expert's: its rows of x are not the batch's tokens */
};

/* Slots that may be rows of another slot's weight. */
static bool is_part(enum slot slot, const struct model_config *c, struct matrix *w)
{
    const int q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    const struct {
        enum slot slot, whole;
        int first, rows;
    } parts[] = {
        {W_Q, W_QKV, 0, q},
        {W_K, W_QKV, q, kv},
        {W_V, W_QKV, q + kv, kv},
        {W_GATE, W_GATE_UP, 0, c->ff},
        {W_UP, W_GATE_UP, c->ff, c->ff},
        {W_HEAD, W_EMBED, 0, c->vocab},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].slot == slot) {
            w->weight = parts[i].whole;
            w->bias = slot == W_HEAD ? W_HEAD_B : slot_bias(parts[i].whole);
            w->first = (size_t)parts[i].first;
            w->out = parts[i].rows;
            return true;
        }
    return false;
}

static struct matrix find(const struct model *m, enum slot slot, int layer)
{
    struct matrix w = {.weight = slot, .bias = slot_bias(slot)};
    bool part = !weight_has(&m->table, slot) && is_part(slot, &m->cfg, &w);
    w.layer = layer;
    w.index = weight_index(&m->table, w.weight, layer);
    const struct weight *row = &m->table.v[w.index];
    if (!part)
        w.out = (int)row->shape[0];
    w.in = (int)row->shape[1];
    return w;
}

static struct matrix find_expert(const struct model *m, enum slot slot, int layer, int expert)
{
    struct matrix w = find(m, slot, layer);
    w.index += expert;
    w.routed = true;
    return w;
}

/* What a linear tap sees. */
static struct product product_of(const struct pass *p, const struct matrix *w,
                                 const device float *x, const device float *dy, int n)
{
    bool tokens = !w->routed && n == p->batch->n_tokens;
    return (struct product){.weight = w->index,
                            .first = (int)w->first,
                            .n = n,
                            .in = w->in,
                            .out = w->out,
                            .x = x,
                            .dy = dy,
                            .start = tokens ? p->batch->start : NULL,
                            .n_seqs = tokens ? p->batch->n_seqs : 0};
}

/* The rows in the file's type; x NULL: they are f32. */
static struct stored stored_rows(const struct model *m, const struct matrix *w)
{
    const struct stored *whole = model_stored(m, w->index);
    return whole ? (struct stored){whole->type, stored_at(whole, w->first * (size_t)w->in),
                                   whole->room}
                 : (struct stored){.x = NULL};
}

static void multiply(const struct model *m, const struct matrix *w, device float *y,
                     const device float *x, int n, float beta)
{
    const struct stored s = stored_rows(m, w);
    if (s.x)
        m->ops->linear_stored(y, x, &s, n, w->in, w->out, beta);
    else
        m->ops->linear(y, x, m->w[w->index] + w->first * (size_t)w->in, n, w->in, w->out, beta);
}

static void multiply_back(const struct model *m, const struct matrix *w, device float *dx,
                          const device float *dy, int n, float beta)
{
    const struct stored s = stored_rows(m, w);
    if (s.x)
        m->ops->linear_stored_dx(dx, dy, &s, n, w->in, w->out, beta);
    else
        m->ops->linear_dx(dx, dy, m->w[w->index] + w->first * (size_t)w->in, n, w->in, w->out,
                          beta);
}

static void apply(const struct pass *p, const struct matrix *w, device float *y,
                  const device float *x, int n, float beta)
{
    const struct model *m = p->m;
    const struct linear_tap *tap = w->layer < 0 ? NULL : p->how.linear;
    multiply(m, w, y, x, n, beta);
    if (weight_has(&m->table, w->bias))
        m->ops->bias(y, model_weight(m, w->bias, w->layer) + w->first, n, w->out);
    lora_forward(m, w->index, w->first, w->out, y, x, n, p->how.training);
    if (tap && tap->forward && !p->redoing) {
        const struct product seen = product_of(p, w, x, NULL, n);
        tap->forward(tap->ctx, &seen);
    }
}

/* dW of these rows += dy^T x; = where the weight's gradient holds nothing yet. */
static void weight_back(const struct pass *p, const struct matrix *w, device float *grads,
                        const device float *dy, const device float *x, int n)
{
    const struct weight *row = &p->m->table.v[w->index];
    const bool whole = (size_t)w->out * (size_t)w->in == row->count;
    bool *unset = p->how.unset ? p->how.unset + w->index : NULL;
    const float beta = whole && unset && *unset ? 0 : 1;
    if (beta == 0)
        *unset = false;
    else
        pass_set_grad(p, w->index, grads);
    p->m->ops->linear_dw(grads + row->at + w->first * (size_t)w->in, dy, x, n, w->in, w->out, beta);
}

static void apply_back(const struct pass *p, const struct matrix *w, device float *grads,
                       device float *dx, const device float *dy, const device float *x, int n,
                       float beta)
{
    const struct model *m = p->m;
    const struct linear_tap *tap = w->layer < 0 ? NULL : p->how.linear;
    const struct weight *row = &m->table.v[w->index];
    device float *db = weight_grad(&m->table, w->bias, w->layer, grads);
    if (grads && row->wants_grad)
        weight_back(p, w, grads, dy, x, n);
    if (db)
        m->ops->bias_back(db + w->first, dy, n, w->out);
    if (tap && tap->backward) {
        const struct product seen = product_of(p, w, x, dy, n);
        tap->backward(tap->ctx, &seen);
    }
    if (dx)
        multiply_back(m, w, dx, dy, n, beta);
    lora_backward(m, w->index, w->first, w->out, grads, dx, dy, x, n, p->how.training);
}

void linear_forward(const struct pass *p, enum slot slot, int layer, device float *y,
                    const device float *x, int n, float beta)
{
    const struct matrix w = find(p->m, slot, layer);
    apply(p, &w, y, x, n, beta);
}

void linear_backward(const struct pass *p, enum slot slot, int layer, device float *grads,
                     device float *dx, const device float *dy, const device float *x, int n,
                     float beta)
{
    const struct matrix w = find(p->m, slot, layer);
    apply_back(p, &w, grads, dx, dy, x, n, beta);
}

void linear_expert(const struct pass *p, enum slot slot, int layer, int expert, device float *y,
                   const device float *x, int n, float beta)
{
    const struct matrix w = find_expert(p->m, slot, layer, expert);
    apply(p, &w, y, x, n, beta);
}

void linear_expert_back(const struct pass *p, enum slot slot, int layer, int expert,
                        device float *grads, device float *dx, const device float *dy,
                        const device float *x, int n, float beta)
{
    const struct matrix w = find_expert(p->m, slot, layer, expert);
    apply_back(p, &w, grads, dx, dy, x, n, beta);
}

/* --- norms --- */

size_t norm_floats(const struct model_config *c, size_t rows)
{
    return c->norm == NORM_LAYER ? 2 * rows : rows;
}

int norm_stats_init(struct norm_stats *s, const struct model *m, size_t rows, struct arena *a,
                    struct err *e)
{
    *s = (struct norm_stats){.rstd = m->ops->take(a, rows, e)};
    if (s->rstd && m->cfg.norm == NORM_LAYER)
        s->mean = m->ops->take(a, rows, e);
    return s->rstd && (s->mean || m->cfg.norm != NORM_LAYER) ? 0 : -1;
}

/* Length of a row. */
static int width_of(const struct model *m, enum slot slot, int layer)
{
    return (int)m->table.v[weight_index(&m->table, slot, layer)].count;
}

const device float *norm_forward(const struct model *m, enum slot slot, int layer,
                                 device float *out, const struct norm_stats *s,
                                 const device float *x, size_t count)
{
    if (!weight_has(&m->table, slot))
        return x;
    const struct model_config *c = &m->cfg;
    const device float *w = model_weight(m, slot, layer);
    int width = width_of(m, slot, layer), rows = (int)(count / (size_t)width);
    if (c->norm == NORM_LAYER)
        m->ops->layernorm(out, s->mean, s->rstd, x, w, model_weight(m, slot_bias(slot), layer),
                          rows, width, c->norm_eps);
    else
        m->ops->rmsnorm(out, s->rstd, x, w, rows, width, c->norm_eps, c->norm_offset);
    return out;
}

void norm_backward(const struct pass *p, enum slot slot, int layer, device float *grads,
                   device float *dx, const device float *dy, const struct norm_stats *s,
                   const device float *x, size_t count)
{
    const struct model *m = p->m;
    if (!weight_has(&m->table, slot)) {
        m->ops->add(dx, dy, count);
        return;
    }
    const struct model_config *c = &m->cfg;
    const device float *w = model_weight(m, slot, layer);
    device float *dw = weight_grad(&m->table, slot, layer, grads);
    int width = width_of(m, slot, layer), rows = (int)(count / (size_t)width);
    if (p->how.norm) {
        const bool biased = weight_has(&m->table, slot_bias(slot));
        const struct norm_product y = {
            .weight = weight_index(&m->table, slot, layer),
            .bias = biased ? weight_index(&m->table, slot_bias(slot), layer) : -1,
            .rows = rows,
            .width = width,
            .x = x,
            .dy = dy,
            .rstd = s->rstd,
            .mean = s->mean};
        p->how.norm->backward(p->how.norm->ctx, &y);
    }
    if (c->norm == NORM_LAYER)
        m->ops->layernorm_back(dx, dw, weight_grad(&m->table, slot_bias(slot), layer, grads), dy, x,
                               w, s->mean, s->rstd, rows, width);
    else
        m->ops->rmsnorm_back(dx, dw, dy, x, w, s->rstd, rows, width, c->norm_offset);
}
