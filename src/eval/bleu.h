/* BLEU (Papineni et al., ACL 2002) as sacrebleu 2 computes it (arXiv 1804.08771): tokenizer 13a,
 * case kept, 1- to 4-grams, a precision of 0 smoothed to 1/2, 1/4, ... of one match. Scores lie in
 * [0,1]; sacrebleu prints 100 times as much.
 */
#ifndef EVAL_BLEU_H
#define EVAL_BLEU_H

#include "base/buf.h"
#include "base/err.h"

enum { BLEU_ORDER = 4 };

/* Counts of a sentence, or summed over a corpus. Zero-initialise. */
struct bleu {
    double match[BLEU_ORDER], total[BLEU_ORDER]; /* n-grams of the guess */
    double guess, truth;                         /* words */
};

/* Adds a pair of texts. Fails only for lack of memory. */
int bleu_add(struct bleu *b, const char *truth, const char *guess, struct err *e);
/* The score of a corpus: 0 where the guesses are too short to have 4-grams. */
double bleu_corpus(const struct bleu *b);
/* The score of one sentence: only orders that it is long enough for. */
double bleu_sentence(const struct bleu *b);

/* Appends the words, each followed by a NUL; their number, or -1. */
int bleu_tokens(const char *text, struct buf *out, struct err *e);

#endif
