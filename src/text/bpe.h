/* Byte-pair encoding of one word (Sennrich et al., arXiv:1508.07909) over bytes: the word's bytes
 * become their tokens, then the adjacent pair whose merge has the lowest rank is joined, the
 * leftmost first, until no pair has a merge. n log n in the length of the word.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stdbool.h>

#include "base/err.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

struct bpe_merge {
    int left, right, id;
};

struct bpe {
    const struct vocab *vocab; /* borrowed */
    int byte_id[256];          /* token of a single byte, -1: none */
    int unk;                   /* stands for such bytes; -1: they vanish */
    bool fuse_unk;             /* a run of them gives one */
    bool whole_words;          /* a word that is a token is not split, whatever the merges */
    struct bpe_merge *merges;  /* [n] owned, by rank */
    int n;
    int *slots; /* [n_slots] owned hash table of ranks, -1: free */
    size_t n_slots;
};

/* Room for n merges; byte_id from the vocabulary. `v` must outlive it and be complete. */
int bpe_init(struct bpe *b, const struct vocab *v, int n, struct err *e);
void bpe_fini(struct bpe *b);
/* The merge of the next rank, by the texts of its parts; both and what they make must be tokens. */
int bpe_add(struct bpe *b, const char *left, size_t n_left, const char *right, size_t n_right,
            struct err *e);

/* Scratch of one thread, zero-initialised, kept between words: lists, and the words seen lately. */
struct bpe_work {
    struct bpe_node *nodes; /* owned */
    struct bpe_pair *heap;  /* owned */
    size_t nodes_cap, heap_cap, heap_n;
    struct bpe_cached *cache; /* owned */
    struct buf symbols;
};

void bpe_work_fini(struct bpe_work *w);
/* Appends the ids of one word of n > 0 bytes. */
int bpe_word(const struct bpe *b, struct bpe_work *w, const char *word, size_t n, struct ids *out,
             struct err *e);

#endif
