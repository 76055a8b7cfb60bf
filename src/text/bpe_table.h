/* The hash table of merges, which bpe_merges.c fills and bpe.c asks. */
#ifndef TEXT_BPE_TABLE_H
#define TEXT_BPE_TABLE_H

#include "text/bpe.h"

/* The slot of this pair's merge, or the free one where it belongs. */
static inline size_t bpe_slot(const struct bpe *b, int left, int right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    key *= 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(key >> 32) & (b->n_slots - 1);
    for (; b->slots[i] >= 0; i = (i + 1) & (b->n_slots - 1)) {
        const struct bpe_merge *m = &b->merges[b->slots[i]];
        if (m->left == left && m->right == right)
            break;
    }
    return i;
}

#endif
