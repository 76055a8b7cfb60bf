#include "train/optim.h"

#include <string.h>

#include "base/sizes.h"
#include "train/mask.h"

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
                memcpy(before, x.w, n * sizeof *before);
            o->step(params, s, &x);
            if (t->mask)
                mask_copy(t, w->offset + k, n, false, x.w, before);
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
