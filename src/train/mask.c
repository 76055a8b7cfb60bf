#include "train/mask.h"

#include <string.h>

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

/* 0 or 1 if the next 64 bits are all equal to it; -1: mixed, or fewer are left. */
static int whole_word(const struct weight_table *t, size_t offset, size_t left)
{
    uint64_t word = t->mask[offset / 64];
    return offset % 64 || left < 64 ? -1 : word == 0 ? 0 : word == ~(uint64_t)0 ? 1 : -1;
}

/* Words of all zeros or ones are handled at once: masks of rows and neurons consist of them. */
double mask_gradient(const struct weight_table *t, float *grads)
{
    double sum = 0;
    for (int i = 0; t->mask && i < t->n; i++) {
        const struct weight *w = &t->v[i];
        for (size_t k = 0, n; w->trainable && k < w->count; k += n) {
            int whole = whole_word(t, w->offset + k, w->count - k);
            n = whole < 0 ? 1 : 64;
            float *dw = grads + w->at + k;
            if (whole > 0 || (whole < 0 && weight_may_move(t, w->offset + k)))
                continue;
            for (size_t j = 0; j < n; j++) {
                sum += (double)dw[j] * (double)dw[j];
                dw[j] = 0;
            }
        }
    }
    return sum;
}

void mask_copy(const struct weight_table *t, size_t first, size_t n, bool moving, float *to,
               const float *from)
{
    if (!t->mask && moving)
        memcpy(to, from, n * sizeof *to);
    for (size_t k = 0; t->mask && k < n; k++)
        if (weight_may_move(t, first + k) == moving)
            to[k] = from[k];
}
