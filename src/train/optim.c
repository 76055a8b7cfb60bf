#include "train/optim.h"

#include "base/sizes.h"

/* Elements of a weight that are updated at once under a mask; masked ones are restored after each
 * block. */
enum { BLOCK = SIZE(1 << 12, 3) };

static struct optim_span span_of(const struct optim *o, const struct optim_step *s,
                                 const struct weight *w, size_t first, size_t n)
{
    struct optim_span x = {.w = s->w + w->offset + first,
                           .grad = s->grad + w->at + first,
                           .n = n,
                           .decay = w->decay ? s->weight_decay : 0};
    BUG_ON(o->n_states > OPTIM_STATES);
    for (int k = 0; k < o->n_states; k++)
        x.state[k] = s->state[k] + w->at + first;
    return x;
}

void optim_unmap(const struct optim_step *s, const struct optim_span *x)
{
    s->ops->unmap(x->w);
    s->ops->unmap(x->grad);
    for (int k = 0; k < OPTIM_STATES; k++)
        if (x->state[k])
            s->ops->unmap(x->state[k]);
}

/* Masked elements of a span, whose first is weight.offset `first`, keep their bits. */
static void restore_masked(const struct optim_step *s, size_t first, const struct optim_span *x,
                           const float *before)
{
    float *w = s->ops->map(x->w, x->n);
    for (size_t k = 0; k < x->n; k++)
        if (!weight_may_move(s->table, first + k))
            w[k] = before[k];
    s->ops->unmap(x->w);
}

void optim_apply(const struct optim *o, const void *params, const struct optim_step *s)
{
    const struct weight_table *t = s->table;
    for (int i = 0; i < t->n; i++) {
        const struct weight *w = &t->v[i];
        for (size_t k = 0, n; w->trainable && k < w->count; k += n) {
            float before[BLOCK];
            n = t->mask && w->count - k > BLOCK ? BLOCK : w->count - k;
            struct optim_span x = span_of(o, s, w, k, n);
            if (t->mask)
                ops_read(s->ops, before, x.w, n);
            o->step(params, s, &x);
            if (t->mask)
                restore_masked(s, w->offset + k, &x, before);
        }
    }
}

void optim_estimate(const struct optim *o, const void *params, const struct optim_step *s,
                    double labels)
{
    for (int i = 0; i < s->table->n; i++) {
        const struct weight *w = &s->table->v[i];
        struct optim_span x = span_of(o, s, w, 0, w->count);
        if (w->trainable)
            o->estimate(params, s, &x, labels);
    }
}
