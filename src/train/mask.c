#include "train/mask.h"

#include "model/lora.h"

size_t mask_words(const struct weight_table *t)
{
    return (t->total + 63) / 64;
}

static size_t count_of(const struct weight_table *t, const struct weight *w)
{
    size_t n = 0;
    for (size_t k = 0; w->trainable && k < w->count; k++)
        n += weight_may_move(t, w->offset + k);
    return n;
}

size_t mask_count(const struct weight_table *t)
{
    size_t n = 0;
    for (int i = 0; i < t->n; i++)
        n += count_of(t, &t->v[i]);
    return n;
}

void mask_hold_unused(struct weight_table *t, bool count_all)
{
    for (int i = 0; i < t->n; i++) {
        struct weight *w = &t->v[i];
        if (count_of(t, w))
            continue;
        w->trainable = false;
        w->wants_grad = w->wants_grad && count_all;
    }
    weight_table_place(t);
}

int mask_apply(struct model *m, const uint64_t *bits, struct err *e)
{
    struct weight_table *t = &m->table;
    if (bits && m->lora)
        return err_set(e, "a mask covers the model's own weights, which are frozen with LoRA "
                          "adapters");
    t->mask = bits;
    if (!bits || mask_count(t))
        return 0;
    t->mask = NULL;
    return err_set(e, "the mask leaves no trainable weight");
}

double mask_gradient(const struct model *m, device float *grads)
{
    const struct weight_table *t = &m->table;
    double sum = 0;
    for (int i = 0; t->mask && i < t->n; i++) {
        const struct weight *w = &t->v[i];
        if (w->trainable)
            sum += m->ops->clear_masked(grads + w->at, t->mask, w->offset, w->count);
    }
    return sum;
}
