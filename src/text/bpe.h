/* Byte-pair encoding of one word (Sennrich et al., arXiv:1508.07909): the word's bytes, or its
 * characters, become tokens; then the adjacent pair whose merge has the lowest rank is joined, the
 * leftmost first, until no pair has a merge. n log n in the length of the word.
 *
 * Merges are listed in the file (HF), or follow from the vocabulary: SentencePiece joins the pair
 * whose token has the highest score, tiktoken the pair whose token has the lowest number. Then
 * every way to cut a token into two tokens is a merge, with a rank that all cuts of the token
 * share.
 */
#ifndef TEXT_BPE_H
#define TEXT_BPE_H

#include <stdbool.h>

#include "base/err.h"
#include "text/ids.h"
#include "text/vocab.h"

struct bpe_merge {
    int left, right, id, rank;
};

struct bpe {
    const struct vocab *vocab; /* borrowed */
    bool chars;                /* starts from characters, not bytes */
    int byte_id[256];          /* token of a byte, -1: none; if chars: for those without a token */
    int unk;                   /* token of unknown characters; -1: they are dropped */
    bool fuse_unk;             /* a run of them gives one */
    bool whole_words;          /* a word that is a token is not split, whatever the merges */
    const char *mark;          /* chars: no merge crosses from another character to this space mark,
                                  so that text can be split there; NULL: unknown */
    struct bpe_merge *merges;  /* [n] owned, by rank */
    size_t n, cap;
    int *slots; /* [n_slots] owned hash table of merges, -1: free */
    size_t n_slots;
};

/* Bytes are those of GPT-2's alphabet. `v` must outlive it and be complete. */
void bpe_init(struct bpe *b, const struct vocab *v);
/* Characters; with `fallback` those without a token become the tokens <0x00> to <0xFF> of their
 * bytes. */
void bpe_init_chars(struct bpe *b, struct vocab *v, bool fallback);
void bpe_fini(struct bpe *b);
/* The merge of the next rank, by the texts of its parts; both and what they make must be tokens. */
int bpe_add(struct bpe *b, const char *left, size_t n_left, const char *right, size_t n_right,
            struct err *e);
/* Merges by the scores [n] of the vocabulary, the highest first. */
int bpe_derive(struct bpe *b, const float *scores, struct err *e);
/* After the last merge. */
int bpe_finish(struct bpe *b, struct err *e);

/* Scratch of one thread, zero-initialised, reused between words: lists and a cache of recent words.
 */
struct bpe_work {
    struct bpe_node *nodes; /* owned */
    struct bpe_pair *heap;  /* owned */
    size_t nodes_cap, heap_cap, heap_n;
    struct bpe_cached *cache; /* owned */
    struct buf symbols;
};

void bpe_work_fini(struct bpe_work *w);
/* Appends the ids of one word of n > 0 bytes of UTF-8. */
int bpe_word(const struct bpe *b, struct bpe_work *w, const char *word, size_t n, struct ids *out,
             struct err *e);

/* The slot of this pair's merge, or a free one to insert it. Internal to bpe.c and bpe_merges.c. */
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
