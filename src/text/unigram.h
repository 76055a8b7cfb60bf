/* SentencePiece's unigram model (Kudo, arXiv:1804.10959): the segmentation of a word whose
 * tokens' log-probabilities have the highest sum, found by Viterbi's algorithm. A
 * character that no token covers costs ten more than the rarest token and becomes unk, or the
 * tokens of its bytes.
 */
#ifndef TEXT_UNIGRAM_H
#define TEXT_UNIGRAM_H

#include <stdbool.h>

#include "base/err.h"
#include "text/ids.h"
#include "text/vocab.h"

struct unigram {
    const struct vocab *vocab; /* borrowed */
    const float *scores;       /* [vocab->n] borrowed */
    float unk_score;
    size_t longest;   /* bytes of the longest token */
    int unk;          /* -1: characters without a token are dropped */
    int byte_id[256]; /* -1: none */
};

void unigram_init(struct unigram *u, struct vocab *v, const float *scores, int unk, bool fallback);

/* Scratch of one thread, zero-initialised. */
struct unigram_work {
    struct unigram_cell *cells; /* owned */
    size_t cap;
};

void unigram_work_fini(struct unigram_work *w);
/* Appends the ids of s[0..n), n > 0. */
int unigram_encode(const struct unigram *u, struct unigram_work *w, const char *s, size_t n,
                   struct ids *out, struct err *e);

#endif
