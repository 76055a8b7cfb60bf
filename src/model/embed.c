#include "model/embed.h"

#include <math.h>
#include <string.h>

static float scale_of(const struct model_config *c)
{
    return c->embed_root ? sqrtf((float)c->width) : 1;
}

/* Where row 0 of the learned positions stands in their table. */
static size_t first_position(const struct model_config *c)
{
    return (size_t)c->position_offset * (size_t)c->width;
}

void embed_forward(const struct model *m, const struct batch *b, float *x, float *room)
{
    const struct model_config *c = &m->cfg;
    int n = b->n_tokens;
    m->ops->embed(x, model_weight(m, W_EMBED, -1), b->ids, n, c->width, scale_of(c));
    if (!weight_has(&m->table, W_POS))
        return;
    m->ops->gather(room, model_weight(m, W_POS, -1) + first_position(c), b->pos, n, c->width);
    m->ops->add(x, room, (size_t)n * (size_t)c->width);
}

void embed_backward(const struct model *m, const struct batch *b, float *grads, float *dx,
                    int frozen_id)
{
    const struct model_config *c = &m->cfg;
    const size_t n = (size_t)b->n_tokens, w = (size_t)c->width;
    float *dpos = weight_grad(&m->table, W_POS, -1, grads);
    float *dembed = weight_grad(&m->table, W_EMBED, -1, grads);
    if (dpos)
        m->ops->embed_back(dpos + first_position(c), dx, b->pos, b->n_tokens, c->width, 1);
    if (!dembed)
        return;
    for (size_t i = 0; i < n && frozen_id >= 0; i++)
        if (b->ids[i] == frozen_id)
            memset(dx + i * w, 0, w * sizeof(float));
    m->ops->embed_back(dembed, dx, b->ids, b->n_tokens, c->width, scale_of(c));
}
