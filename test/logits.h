/* The logits of every row of a head, which gives them block by block. */
#ifndef TEST_LOGITS_H
#define TEST_LOGITS_H

#include <string.h>

#include "model/head.h"
#include "tap.h"

/* [R,V], of the arena. */
static inline float *all_logits(struct head *h, struct arena *a)
{
    const size_t v = (size_t)h->p->m->cfg.vocab;
    struct err e;
    float *all = arena_take(a, (size_t)h->rows->n * v, sizeof *all, &e);
    BUG_ON(!all);
    for (int first = 0, n; first < h->rows->n; first += n) {
        const float *z = head_logits(h, first, &n);
        memcpy(all + (size_t)first * v, z, (size_t)n * v * sizeof *all);
    }
    return all;
}

#endif
