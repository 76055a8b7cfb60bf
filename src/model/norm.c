#include "model/norm.h"

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

void norm_backward(const struct model *m, enum slot slot, int layer, device float *grads,
                   device float *dx, const device float *dy, const struct norm_stats *s,
                   const device float *x, size_t count)
{
    if (!weight_has(&m->table, slot)) {
        m->ops->add(dx, dy, count);
        return;
    }
    const struct model_config *c = &m->cfg;
    const device float *w = model_weight(m, slot, layer);
    device float *dw = weight_grad(&m->table, slot, layer, grads);
    int width = width_of(m, slot, layer), rows = (int)(count / (size_t)width);
    if (c->norm == NORM_LAYER)
        m->ops->layernorm_back(dx, dw, weight_grad(&m->table, slot_bias(slot), layer, grads), dy, x,
                               w, s->mean, s->rstd, rows, width);
    else
        m->ops->rmsnorm_back(dx, dw, dy, x, w, s->rstd, rows, width, c->norm_offset);
}
